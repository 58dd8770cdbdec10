import subprocess


def convert(command):
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in program.stderr:
        print(line)
    return program.wait(timeout=600)
