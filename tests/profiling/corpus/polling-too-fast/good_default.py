import time


def monitor(status, show, seconds, every=2.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        show(status())
        time.sleep(every)


def appears(path, patience, step=0.05):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if path.exists():
            return True
        time.sleep(step)
    return False


def settle(gauge, step=0.05):
    end = time.monotonic() + 2
    while time.monotonic() < end:
        gauge.read()
        time.sleep(step)


def follow(job, step=0.2):
    step = max(step, job.shortest)
    while not job.finished:
        time.sleep(step)
