import threading


class Shared:
    def __init__(self):
        self.changed = threading.Condition()
        self.readers = 0

    def begin_reading(self):
        with self.changed:
            self.readers += 1

    def end_reading(self):
        with self.changed:
            self.readers -= 1
            self.changed.notify_all()
