import subprocess


def convert(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    out, _ = program.communicate(timeout=60)
    program.wait()
    return out


def stop(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        return program.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
        raise
