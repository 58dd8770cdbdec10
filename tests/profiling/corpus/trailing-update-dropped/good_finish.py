import time


class Status:
    def __init__(self, draw):
        self.draw = draw
        self.shown = 0.0

    def step(self, count):
        now = time.monotonic()
        if now - self.shown < 0.5:
            return
        self.shown = now
        self.draw(count)

    def close(self):
        self.draw("done")
