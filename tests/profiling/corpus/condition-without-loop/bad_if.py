from threading import Condition


class Frames:
    def __init__(self):
        self.changed = Condition()
        self.waiting = []

    def take(self):
        with self.changed:
            # nothing there yet
            if not self.waiting:
                self.changed.wait()  # somebody puts one in
            return self.waiting.pop()
