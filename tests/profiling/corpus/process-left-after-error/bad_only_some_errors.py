import subprocess


def follow(command, show):
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in program.stdout:
            show(line)
    finally:
        program.stdout.close()
    program.wait(timeout=10)
