class Settings:
    def __init__(self):
        self.frames_per_second = {}
        self.sizes = {}

    def size(self, name):
        if name not in self.sizes:
            self.sizes[name] = self.measure(name)
        return self.sizes[name]

    def tell(self, name, speed):
        self.frames_per_second[name] = speed
