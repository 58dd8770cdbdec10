import time
from threading import Lock


class Service:
    def __init__(self):
        self.lock = Lock()

    def ask(self, send):
        with self.lock:
            answer = send()
            time.sleep(0.2)
        return answer
