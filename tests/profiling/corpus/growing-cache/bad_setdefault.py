from collections import OrderedDict

pictures = OrderedDict()


def picture(path, draw):
    return pictures.setdefault(path, draw(path))
