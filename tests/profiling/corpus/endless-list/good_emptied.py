import time


def serve(socket, write):
    waiting = []
    while True:
        waiting.append(socket.receive())
        if len(waiting) == 16:
            write(waiting)
            waiting.clear()


class Monitor:
    def __init__(self):
        self.samples = []

    def run(self, read):
        while True:
            self.samples.append(read())
            del self.samples[:-100]
            time.sleep(2)
