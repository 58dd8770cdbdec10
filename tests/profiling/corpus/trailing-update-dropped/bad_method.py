from time import perf_counter


class Status:
    def __init__(self, draw):
        self.draw = draw
        self.shown = 0.0

    def step(self, count):
        if perf_counter() - self.shown <= 0.5:
            return
        self.shown = perf_counter()
        self.draw(count)
