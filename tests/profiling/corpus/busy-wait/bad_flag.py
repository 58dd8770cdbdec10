class Player:
    def __init__(self):
        self.ready = False

    def wait(self):
        while not self.ready:
            continue
