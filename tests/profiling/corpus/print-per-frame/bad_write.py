import sys


def run(frames, work):
    for index, frame in enumerate(frames):
        work(frame)
        sys.stdout.write(f"\rframe {index}")
        sys.stdout.flush()
