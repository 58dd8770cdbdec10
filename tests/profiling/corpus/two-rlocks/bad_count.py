import threading


class Shared:
    def __init__(self):
        self.gate = threading.RLock()
        self.door = threading.RLock()
        self.readers = 0

    def begin_reading(self):
        with self.door:
            self.readers += 1
            if self.readers == 1:
                self.gate.acquire()

    def end_reading(self):
        with self.door:
            self.readers -= 1
            if self.readers == 0:
                self.gate.release()
