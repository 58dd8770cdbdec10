"""An event loop whose clock goes on only when it waits: a busy machine cannot change what such a test sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Clock(asyncio.SelectorEventLoop):
    """`now` in seconds.  Waiting takes no time at all; work that is to take some adds it to `now` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def at_once(timeout: float | None = None) -> list[Any]:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = at_once

    def time(self) -> float:
        return self.now


def run(session: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    """Runs `session(clock)` in such a loop."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(session(runner.get_loop()))
