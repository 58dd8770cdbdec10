import threading
from concurrent.futures import ThreadPoolExecutor

turn = threading.Lock()


def work(clip):
    clip.restore()
    turn.release()


def run(clips):
    with ThreadPoolExecutor() as pool:
        futures = []
        for clip in clips:
            turn.acquire()
            futures.append(pool.submit(work, clip))
        return [future.result() for future in futures]
