import time


class Monitor:
    def __init__(self):
        self.samples = []

    def run(self, read):
        while True:
            self.samples.append(read())
            time.sleep(2)
