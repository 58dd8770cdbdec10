from functools import lru_cache as remembered


class Tape:
    @remembered
    def rate(self):
        return 25

    def frames(self):
        return self.rate() * 60
