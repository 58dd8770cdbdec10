import subprocess


def lines(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    found = []
    for line in program.stdout:
        found.append(line.decode().strip())
        print(len(found))
    program.wait(timeout=60)
    return found


def handed_over(command, show, ends):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    ends.callback(program.kill)
    ends.push(program)
    for line in program.stdout:
        show(line)
    return program.wait()
