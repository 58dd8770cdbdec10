import threading
import time

stopped = threading.Event()


def wait(job):
    while not job.finished:
        time.sleep(1.0)
    while not stopped.wait(2):
        print(job.status)
