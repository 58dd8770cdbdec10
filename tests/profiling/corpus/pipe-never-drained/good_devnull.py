import subprocess


def convert(command):
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    program.wait(timeout=600)
    return program.returncode
