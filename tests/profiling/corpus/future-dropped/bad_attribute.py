from concurrent.futures import ThreadPoolExecutor


class Writer:
    def __init__(self):
        self.pool = ThreadPoolExecutor(max_workers=1)

    def write(self, frame):
        self.pool.submit(frame.save)

    def close(self):
        self.pool.shutdown()
