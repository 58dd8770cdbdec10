def open(path):
    return path.upper()


def name(path):
    found = open(path).lower()
    return found, open(path).read
