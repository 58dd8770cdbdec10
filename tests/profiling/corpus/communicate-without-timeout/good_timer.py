import subprocess
import threading


class Telephone:
    def communicate(self):
        return "hello"


def probe(path):
    program = subprocess.Popen(["ffprobe", path], stdout=subprocess.PIPE)
    timer = threading.Timer(60, lambda: program.kill())
    timer.start()
    try:
        out, _ = program.communicate()
    finally:
        timer.cancel()
    return out, Telephone().communicate()
