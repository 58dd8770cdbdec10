"""The queue in a dictionary and a JSON file.

Faults: `LockedQueue` has one lock for readers and writers, held while the file is written, and a change that fails
half-way stays half done.  `TwoRLocks` is the reader-writer lock that allows many readers at a time: the last reader
out cannot release what the first one in has taken, and then nobody can write any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


class LockedQueue:
    def __init__(self, path: Path, jobs: int) -> None:
        self.path, self.lock = path, threading.Lock()
        self.jobs = {n: {"state": "pending", "output": f"{n}.mp4", "progress": 0.0} for n in range(1, jobs + 1)}
        self._save()

    def counts(self) -> dict[str, int]:
        with self.lock:
            return dict(Counter(job["state"] for job in self.jobs.values()))

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[int, dict]]:
        with self.lock:
            yield self.jobs
            self._save()

    def _save(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.jobs))
        os.replace(new, self.path)


class TwoRLocks:
    def __init__(self) -> None:
        self.readers = 0
        self.read_lock, self.write_lock = threading.RLock(), threading.RLock()

    def enter_read(self) -> None:
        with self.read_lock:
            self.readers += 1
            if self.readers == 1:
                self.write_lock.acquire()

    def leave_read(self) -> None:
        with self.read_lock:
            self.readers -= 1
            if self.readers == 0:
                self.write_lock.release()

    def enter_write(self, timeout: float = -1) -> bool:
        return self.write_lock.acquire(timeout=timeout)

    def leave_write(self) -> None:
        self.write_lock.release()
