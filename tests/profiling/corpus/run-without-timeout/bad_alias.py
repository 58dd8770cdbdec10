import subprocess as sp


def convert(command):
    done = sp.run(command, capture_output=True)
    return done.returncode
