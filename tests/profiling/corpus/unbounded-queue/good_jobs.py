import queue

jobs = queue.Queue()


def add(paths):
    for path in paths:
        jobs.put(path)
