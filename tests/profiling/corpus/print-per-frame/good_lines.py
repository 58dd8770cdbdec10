import time


def clock(job):
    while not job.finished:
        print(job.done, end="\r")
        time.sleep(2)


def listing(names):
    for name in names:
        print(name, end=" ")
