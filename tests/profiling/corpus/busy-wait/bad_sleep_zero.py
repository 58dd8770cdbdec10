import time


def wait(event):
    while not event.is_set():
        time.sleep(0)
