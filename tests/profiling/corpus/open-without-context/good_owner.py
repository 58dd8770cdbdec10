import os


def open_clip(path):
    return path


def begin(path):
    clip = open_clip(path)
    handle = os.open(path, os.O_RDONLY)
    os.close(handle)
    return clip


class Log:
    def __init__(self, path):
        self.file = open(path, "a")

    def close(self):
        self.file.close()


def spool(path):
    file = open(path, "wb")
    return file


def copy(path, write):
    file = open(path, "rb")
    try:
        write(file.read())
    finally:
        file.close()
