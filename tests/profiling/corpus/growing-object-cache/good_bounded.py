class Thumbnails:
    def __init__(self, draw, most=64):
        self.draw, self.most = draw, most
        self.pictures = {}

    def get(self, path):
        if path not in self.pictures:
            if len(self.pictures) >= self.most:
                self.pictures.pop(next(iter(self.pictures)))
            self.pictures[path] = self.draw(path)
        return self.pictures[path]


class Frames:
    def __init__(self):
        self.frames = {}

    def load(self, path):
        self.frames = {}

    def get(self, index):
        if index not in self.frames:
            self.frames[index] = self.decode(index)
        return self.frames[index]
