import threading


class Tables:
    def __init__(self):
        self.jobs_lock, self.tapes_lock = threading.RLock(), threading.RLock()
        self.jobs, self.tapes = {}, {}

    def add(self, job, tape):
        with self.jobs_lock, self.tapes_lock:
            self.jobs[job], self.tapes[tape] = tape, job
