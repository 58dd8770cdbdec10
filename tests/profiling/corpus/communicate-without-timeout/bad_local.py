from subprocess import PIPE, Popen


def probe(path):
    program = Popen(["ffprobe", path], stdout=PIPE)
    out, _ = program.communicate()
    return out
