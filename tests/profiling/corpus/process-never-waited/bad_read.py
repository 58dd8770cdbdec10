from subprocess import PIPE, Popen


def probe(path):
    return Popen(["ffprobe", path], stdout=PIPE).stdout.read()
