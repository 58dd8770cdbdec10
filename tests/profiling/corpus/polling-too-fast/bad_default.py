import time


def monitor(status, show, seconds, every=0.1):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        show(status())
        time.sleep(every)


def follow(job, *, step: float = 0.2):
    while not job.finished:
        time.sleep(step)
