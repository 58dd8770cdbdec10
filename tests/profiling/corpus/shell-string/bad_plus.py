from os import popen


def duration(path):
    return popen("ffprobe " + path).read()
