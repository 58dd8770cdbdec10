import time


def run(frames, work, bar):
    drawn = 0.0
    for index, frame in enumerate(frames):
        work(frame)
        now = time.monotonic()
        if now - drawn > 1:
            drawn = now
            bar.update(index)
    return index
