import subprocess


def record(command, stop):
    with subprocess.Popen(command) as program:
        stop()
        program.terminate()
