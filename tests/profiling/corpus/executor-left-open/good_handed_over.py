import concurrent.futures
from multiprocessing import Pool


class Writer:
    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)


def make():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    return pool


def convert(clips, work):
    with Pool() as pool:
        return pool.map(work, clips)
