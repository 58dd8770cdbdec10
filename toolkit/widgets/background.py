"""Work that may take its time, in one thread that all widgets share; results arrive where widgets may be touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

#: What is to be done, and what is called with its result, or with the exception it ended in.
Job = tuple[Callable[[], Any], Callable[[Any], None]]
_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vhs-widgets")  # its thread starts with the first job


class Background:
    """Works through a row of jobs, one at a time; a new row takes the place of what is left of the old one.

    Results are handed over in the thread of the event loop this was made in (a notebook's), between two cells; without
    one (a script, a test) in the working thread.  The work must not call parallel Numba code.
    """

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._row = 0
        self._doing: Future | None = None
        self._idle = threading.Event()
        self._idle.set()

    def start(self, jobs: Iterable[Job]) -> None:
        """Begins with `jobs` and forgets what was not done yet."""
        self._row += 1
        self._idle.clear()
        self._submit(iter(jobs), self._row)

    def stop(self) -> None:
        """Forgets what was not done yet; what is being done ends unseen."""
        self._row += 1
        self._idle.set()

    def wait(self, timeout: float) -> bool:
        """Waits until all is done, for at most `timeout` seconds; whether it is.

        Raises what was raised where a result was handed over without an event loop.
        """
        done = self._idle.wait(timeout)
        if done and self._doing is not None and self._doing.done():
            self._doing.result()
        return done

    def _submit(self, jobs: Iterator[Job], row: int) -> None:
        # One at a time, so that several widgets take turns and the end of the process waits for one job at most.
        try:
            self._doing = _pool.submit(self._one, jobs, row)
        except RuntimeError:  # the process is ending
            self._idle.set()

    def _one(self, jobs: Iterator[Job], row: int) -> None:
        if row != self._row:
            return
        job = next(jobs, None)
        if job is None:
            self._idle.set()
            return
        work, arrived = job
        try:
            result = work()
        except Exception as error:
            result = error
        try:
            self._hand_over(lambda: arrived(result) if row == self._row else None)
        except Exception:
            self._idle.set()  # the row ends here, and `wait` says why
            raise
        self._submit(jobs, row)

    def _hand_over(self, call: Callable[[], None]) -> None:
        if self._loop is None:
            call()
            return
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody looks any more
            self.stop()
