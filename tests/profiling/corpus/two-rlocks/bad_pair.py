import threading


class Shared:
    def __init__(self):
        self.readers = 0
        self.reading, self.writing = threading.RLock(), threading.RLock()

    def enter_read(self):
        with self.reading:
            self.readers += 1
            if self.readers == 1:
                self.writing.acquire()

    def leave_read(self):
        with self.reading:
            self.readers -= 1
            if self.readers == 0:
                self.writing.release()
