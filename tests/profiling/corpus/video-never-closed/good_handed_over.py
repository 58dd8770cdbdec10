import contextlib

import av


class Clip:
    def __init__(self, path):
        self.container = av.open(path)


def begin(path):
    container = av.open(path)
    return container


def streams(path):
    container = av.open(path)
    with contextlib.closing(container):
        return len(container.streams)
