"""Progress drawn for every frame, and a monitor that asks ten times a second.  Fault: chatter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any

from tqdm import tqdm


class Bar:
    """A tqdm bar that shows each frame at once."""

    def __init__(self, total: int, file: IO[str]) -> None:
        self._bar = tqdm(total=total, file=file, unit=" frames", mininterval=0, miniters=1)

    def step(self, count: int = 1) -> None:
        self._bar.update(count)
        self._bar.refresh()

    def finish(self) -> None:
        self._bar.close()


def monitor(status: Callable[[], Any], show: Callable[[str], None], seconds: float, every: float = 0.1) -> int:
    """Shows `status()` until `seconds` have passed; returns how often."""
    looks, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        show(str(status()))
        looks += 1
        time.sleep(every)
    return looks
