KNOWN = {}


def thumbnail(path, time, draw):
    try:
        return KNOWN[path, time]
    except KeyError:
        KNOWN[path, time] = draw(path, time)
        return KNOWN[path, time]
