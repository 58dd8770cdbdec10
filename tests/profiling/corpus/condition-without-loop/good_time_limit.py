import threading


class Result:
    def __init__(self):
        self.changed = threading.Condition()
        self.value = None

    def get(self, timeout):
        with self.changed:
            if self.value is None:
                self.changed.wait(timeout)
            if self.value is None:
                raise TimeoutError
            return self.value
