class Thumbnails:
    def __init__(self, draw):
        self.draw = draw
        self._kept: dict[tuple[str, float], bytes] = {}

    def get(self, path, seconds):
        key = (path, seconds)
        if key not in self._kept:
            self._kept[key] = self.draw(path, seconds)
        return self._kept[key]
