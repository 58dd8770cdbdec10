from subprocess import PIPE, Popen


def lines(command):
    program = Popen(command, stdout=PIPE, stderr=PIPE, text=True)
    for line in program.stdout:
        print(line)
    return program.wait(timeout=60)
