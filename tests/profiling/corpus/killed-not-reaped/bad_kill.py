import subprocess
import time


def record(command, seconds):
    program = subprocess.Popen(command)
    time.sleep(seconds)
    program.kill()
