import subprocess


def convert(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.wait()
    out, said = program.communicate(timeout=60)
    assert program.returncode == 0, said
    return out
