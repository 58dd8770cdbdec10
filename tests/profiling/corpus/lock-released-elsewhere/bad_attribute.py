from threading import Lock, Thread


class Reader:
    def __init__(self, path):
        self.path = path
        self.busy = Lock()
        self.thread = Thread(target=self._read, daemon=True)

    def begin(self):
        self.busy.acquire()
        self.thread.start()

    def _read(self):
        self.path.read_bytes()
        self.busy.release()
