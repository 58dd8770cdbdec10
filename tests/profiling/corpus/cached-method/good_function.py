import functools


@functools.lru_cache(maxsize=8)
def noise(path):
    return len(path)


class Tape:
    @staticmethod
    @functools.lru_cache(maxsize=8)
    def table(bits):
        return list(range(1 << bits))
