import subprocess


def lines(command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    count = 0
    for line in program.stdout:
        count += len(line)
        print(count)
    program.wait(timeout=60)
    return count


def handed_over(command, show, ends):
    program = subprocess.Popen(command, stdout=subprocess.PIPE)
    ends.callback(program.kill)
    ends.push(program)
    for line in program.stdout:
        show(line)
    return program.wait()
