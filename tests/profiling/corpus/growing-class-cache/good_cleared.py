class Thumbnails:
    cache = {}

    def get(self, path):
        if path not in self.cache:
            self.cache[path] = self.draw(path)
        return self.cache[path]

    def draw(self, path):
        return path

    def close(self):
        self.cache.clear()
