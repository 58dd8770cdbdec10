import subprocess


def start(path, running):
    program = subprocess.Popen(["ffplay", path])
    running.append(program)


class Player:
    def __init__(self, path):
        self.program = subprocess.Popen(["ffplay", path])


def begin(path):
    program = subprocess.Popen(["ffplay", path])
    return program
