import threading


class Camera:
    def acquire(self):
        return b""

    def release(self):
        return None


guard = threading.Lock()


def count(work):
    guard.acquire()
    try:
        work()
    finally:
        guard.release()


def try_it(work):
    if guard.acquire(timeout=1):
        try:
            work()
        finally:
            guard.release()


def look():
    camera = Camera()
    camera.acquire()
    camera.release()
