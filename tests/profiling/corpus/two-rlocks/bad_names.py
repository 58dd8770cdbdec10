from threading import RLock


class ReadWriteLock:
    def __init__(self):
        self._reader = RLock()
        self._writer = RLock()
        self._count = 0
