import threading

ready = threading.Condition()


def wait():
    with ready:
        ready.wait()
