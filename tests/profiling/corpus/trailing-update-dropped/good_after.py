import time


def run(frames, work, bar):
    drawn = 0.0
    index = 0
    for index, frame in enumerate(frames):
        work(frame)
        now = time.monotonic()
        if now - drawn > 1:
            drawn = now
            bar.update(index)
    bar.update(index)


def slow(jobs):
    for job in jobs:
        began = time.monotonic()
        job()
        if time.monotonic() - began > 60:
            raise TimeoutError(job)
