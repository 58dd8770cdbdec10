import threading


class Player:
    def __init__(self):
        self.read_lock = threading.Lock()
        self.thread_lock = threading.RLock()
        self.write_queue = []
