import subprocess


def frames(command, size, show):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        while len(data := program.stdout.read(size)) == size:
            show(data)


def encode(command, pictures):
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        for picture in pictures:
            encoder.stdin.write(picture.tobytes())
        encoder.stdin.close()
    except BaseException:
        encoder.kill()
        raise
    finally:
        encoder.wait()
