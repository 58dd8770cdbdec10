"""Looks at something again and again in the kernel's own event loop, between cells; never in a second thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Polling:
    """Calls `look()` every `every` seconds until it returns False or `stop()` is called.

    Without a running event loop (a script, a test) nothing is called by itself.
    """

    def __init__(self, look: Callable[[], bool], every: float) -> None:
        self._look, self._every = look, every
        self._planned: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.stop()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._planned = loop.call_later(self._every, self._now)

    def stop(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def _now(self) -> None:
        self._planned = None
        if self._look():
            self.start()
