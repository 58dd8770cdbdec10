import subprocess


def convert(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.wait(600)
    if program.returncode:
        raise RuntimeError(command[0])
