import threading


class Frames:
    def __init__(self):
        self.changed = threading.Condition()
        self.waiting = []

    def take(self):
        with self.changed:
            while not self.waiting:
                self.changed.wait()
            return self.waiting.pop()
