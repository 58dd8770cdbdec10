import queue

import av


class Reader:
    def __init__(self, path):
        self.path = path
        self.frames = queue.Queue(0)

    def run(self):
        with av.open(self.path) as container:
            for frame in container.decode(video=0):
                self.frames.put(frame)
