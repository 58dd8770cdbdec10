import subprocess


def probe(path):
    program = subprocess.Popen(["ffprobe", path], stdout=subprocess.PIPE)
    try:
        return program.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        program.kill()
        return program.communicate()[0]
