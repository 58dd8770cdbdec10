import subprocess


def frames(command, size, show):
    program, count = subprocess.Popen(command, stdout=subprocess.PIPE), 0
    while len(data := program.stdout.read(size)) == size:
        show(data)
        count += 1
    program.wait(timeout=60)
    return count
