import av


def length(path):
    container = av.open(path)
    return container.duration / 1e6
