from subprocess import PIPE, Popen


def encode(command, frames, enlarge):
    encoder = Popen(command, stdin=PIPE)
    for frame in frames:
        encoder.stdin.write(enlarge(frame).tobytes())
    encoder.stdin.close()
    return encoder.wait()
