"""Gathers quick changes into one: the work is done once they pause, and always with the last value."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


class Debounced:
    """Calls `work()` once, `wait` seconds after the last of a row of calls.

    quick : work that took less than this, in seconds, the last time does not wait for a pause: it is done right after
            what is being handled, so a picture follows a slider while it is dragged.

    The trailing call is never lost: a call that comes while the work is done plans another one.  Without a running
    event loop (a script, a test) the work is done at once.
    """

    def __init__(self, work: Callable[[], Any], wait: float = 0.1, quick: float = 0.0) -> None:
        self.work, self.wait, self.quick = work, wait, quick
        self.took = float("inf")  # seconds, the last time
        self._planned: asyncio.TimerHandle | None = None

    def __call__(self, *_: Any) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._work()
            return
        self.cancel()
        self._planned = loop.call_later(0 if self.took < self.quick else self.wait, self._now)

    def _now(self) -> None:
        self._planned = None
        self._work()

    def _work(self) -> None:
        began = time.perf_counter()
        self.work()
        self.took = time.perf_counter() - began

    def flush(self) -> None:
        """Does the planned work now."""
        if self._planned is not None:
            self.cancel()
            self._work()

    def cancel(self) -> None:
        """Forgets the planned work."""
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
