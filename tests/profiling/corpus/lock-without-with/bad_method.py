from threading import RLock


class Table:
    def __init__(self):
        self.lock = RLock()
        self.rows = {}

    def add(self, key, row):
        self.lock.acquire()
        if key in self.rows:
            self.lock.release()
            return
        self.rows[key] = row
        self.lock.release()
