"""What an action leaves behind each time it is done: memory, open files, processes, temporary bytes per round.

The line through the readings is the median of the slopes of all pairs (Theil 1950), its confidence interval that of
Sen (1968, "Estimates of the regression coefficient based on Kendall's tau").  A single step, such as a library that
loads late, moves neither, where a least-squares line would take it for a leak.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.profiling.device import Device
from toolkit.profiling.sizes import bytes_under

#: What is read after every round, and in which unit.
UNITS = {
    "resident": "bytes", "traced": "bytes", "device": "bytes", "files": "open files", "children": "processes",
    "threads": "threads", "temporary": "bytes",
}  # fmt: skip


@dataclass(frozen=True)
class Trend:
    """One figure over the rounds: `slope` per round, with the confidence interval `low` to `high`."""

    name: str
    values: tuple[float, ...]
    slope: float
    low: float
    high: float

    def grows(self, beyond: float = 0.0) -> bool:
        """Whether it surely grows by more than `beyond` a round: the whole interval lies above."""
        return self.low > beyond

    def __str__(self) -> str:
        return (
            f"{self.name:<9} {self.slope:+.1f} {UNITS[self.name]} a round (from {self.low:+.1f} to {self.high:+.1f}), "
            f"{self.values[-1] - self.values[0]:+.0f} in all"
        )


@dataclass(frozen=True)
class Slope:
    """What `slope` gives: a `Trend` for each figure, `found["files"].grows()`; `str()` lists them."""

    rounds: int
    confidence: float
    trends: dict[str, Trend]

    def __getitem__(self, name: str) -> Trend:
        return self.trends[name]

    def __str__(self) -> str:
        head = f"{self.rounds} rounds, intervals of {100 * self.confidence:g} %"
        return "\n".join([head, *map(str, self.trends.values())])


def slope(
    action: Callable[[], Any],
    rounds: int = 20,
    warmup: int = 3,
    *,
    confidence: float = 0.95,
    traced: bool = False,
) -> Slope:
    """Does `action` again and again and tells what each round leaves behind.

    warmup     : rounds before the first reading, in which caches fill and libraries load.
    confidence : of the intervals, a share.
    traced     : also reads what Python itself has allocated (tracemalloc), which sees single kilobytes where resident
                 memory comes in pages; it makes the action slower.

    Before each reading garbage is collected and the allocator gives back what it keeps, so that only what is still
    held counts.  For the time of the measurement the system's temporary folder, of this process and of those it
    starts, is an empty one, counted and removed afterwards.  "device" is there where an NVIDIA GPU is.
    Raises `ValueError` for fewer than five rounds; what `action` raises is raised here.
    """
    import tracemalloc

    if rounds < 5 or warmup < 0 or not 0.5 <= confidence < 1:
        raise ValueError(
            f"{rounds = }, {warmup = }, {confidence = }; expected 5 rounds or more, no negative warm-up, and a share "
            "from 0.5"
        )
    was_tracing = tracemalloc.is_tracing()
    readings: dict[str, list[float]] = {}
    with own_temporary_folder() as folder:
        try:
            if traced and not was_tracing:
                tracemalloc.start()
            for n in range(warmup + rounds):
                action()
                if n >= warmup:
                    for name, value in _read(folder, traced).items():
                        readings.setdefault(name, []).append(value)
        finally:
            if traced and not was_tracing:
                tracemalloc.stop()
    return Slope(rounds, confidence, {n: fit(n, values, confidence) for n, values in readings.items()})


def fit(name: str, values: list[float], confidence: float = 0.95) -> Trend:
    """The trend of readings taken one a round."""
    from scipy.stats import theilslopes

    if min(values) == max(values):
        return Trend(name, tuple(values), 0.0, 0.0, 0.0)
    found = theilslopes(values, alpha=confidence)
    return Trend(name, tuple(values), float(found.slope), float(found.low_slope), float(found.high_slope))


@contextlib.contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """An empty folder that takes the place of the system's temporary folder, for this process and those it starts."""
    from unittest import mock

    from toolkit import scratch

    with scratch.folder() as here:
        folder = here / "temporary"
        folder.mkdir()
        env = {n: str(folder) for n in ("TMPDIR", "TEMP", "TMP")} | {"VHS_TOOLKIT_SCRATCH": str(folder / "scratch")}
        with mock.patch.dict(os.environ, env), mock.patch.object(tempfile, "tempdir", str(folder)):
            yield folder


def _read(folder: Path, traced: bool) -> dict[str, float]:
    import tracemalloc

    import psutil

    gc.collect()
    _trim()
    me = psutil.Process()
    found: dict[str, float] = {"resident": me.memory_info().rss}
    if traced:
        found["traced"] = tracemalloc.get_traced_memory()[0]
    if (device := device_bytes()) is not None:
        found["device"] = device
    found["files"] = me.num_fds() if hasattr(me, "num_fds") else len(me.open_files())
    found["children"] = len(me.children(recursive=True))
    found["threads"] = me.num_threads()
    found["temporary"] = bytes_under(folder)
    return found


def _trim() -> None:
    """Has glibc give freed memory back to the system; elsewhere nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def _device() -> Device:
    return Device()


def device_bytes() -> int | None:
    """Memory in use on all NVIDIA GPUs, by whomever (in a container NVML does not tell processes apart); None: none."""
    look = _device().look()
    return None if look is None else look.bytes
