import subprocess


def record(command, seconds):
    program = subprocess.Popen(command)
    try:
        program.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
