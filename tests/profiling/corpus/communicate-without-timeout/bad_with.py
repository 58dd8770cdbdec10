import subprocess


def probe(path, data):
    with subprocess.Popen(["ffprobe", path], stdin=subprocess.PIPE) as program:
        program.communicate(data)
        return program.returncode
