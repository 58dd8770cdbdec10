import threading

ready = threading.Condition()
stopped = threading.Event()
frames = []


def wait():
    with ready:
        ready.wait_for(lambda: frames)
    stopped.wait()
