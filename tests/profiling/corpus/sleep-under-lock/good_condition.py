import threading
import time

changed = threading.Condition()
lock = threading.Lock()


def later(work):
    with lock:

        def wait():
            time.sleep(3)
            work()

    return wait


def take(frames):
    with changed:
        changed.wait_for(lambda: frames)
    with open("log.txt") as file:
        time.sleep(1)
        return file.read()
