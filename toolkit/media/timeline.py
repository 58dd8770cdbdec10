"""Presentation times of a long tape in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator


class Timeline:
    """Whole numbers, appended one by one and given back in order, exactly; evenly spaced ones take no memory.

    They are kept as runs.  A run is a digital straight line: number n of it is `start + floor((a * n - offset) / b)`.
    With b = 1 that is a constant step; other b hold a constant rate that a clock too coarse for it rounds, such as
    33, 33, 34 milliseconds by turns.  Times that follow no rate cost a run (40 bytes) for every two or three.

    Runs are found by the recognition of digital lines of Debled-Rennesson and Reveilles (1995, "A linear algorithm for
    segmentation of digital curves"): a point belongs to the line while offset <= a * x - b * y < offset + b; a point
    that misses this by one makes the line steeper or flatter, any other ends it.
    """

    def __init__(self, times: Iterable[int] = ()) -> None:
        self._runs = array("q")  # start, a, b, offset, count of every run that ended
        self._count = 0  # of the run under way
        self._before = 0  # of those that ended
        self.extend(times)

    def append(self, time: int) -> None:
        x, n = self._count, self._count
        if n == 0:
            self._start, self._a, self._b, self._offset = time, 0, 1, 0
        elif n == 1:
            self._a = time - self._start
            first, second = (0, 0), (1, self._a)
            self._upper, self._lower = [first, second], [first, second]  # first and last point on either border
        elif not self._bend(x, time - self._start):
            self._runs.extend((self._start, self._a, self._b, self._offset, n))
            self._before += n
            self._count = 0
            return self.append(time)
        self._count += 1
        return None

    def _bend(self, x: int, y: int) -> bool:
        """Takes the point in, changing the line where it has to; False when it is on no line with those before."""
        rest = self._a * x - self._b * y - self._offset
        if not -1 <= rest <= self._b:
            return False
        if rest <= 0:
            self._upper[1] = (x, y)
        if rest >= self._b - 1:
            self._lower[1] = (x, y)
        if rest == -1:
            self._lower[0] = self._lower[1]
            left = self._upper[0]
        elif rest == self._b:
            self._upper[0] = self._upper[1]
            left = self._lower[0]
        else:
            return True
        self._a, self._b = y - left[1], x - left[0]
        x, y = self._upper[0]
        self._offset = self._a * x - self._b * y
        return True

    def extend(self, times: Iterable[int]) -> None:
        for time in times:
            self.append(int(time))

    @property
    def runs(self) -> int:
        return len(self._runs) // 5 + bool(self._count)

    def __len__(self) -> int:
        return self._before + self._count

    def __iter__(self) -> Iterator[int]:
        runs = iter(self._runs)
        for start, a, b, offset, count in zip(runs, runs, runs, runs, runs, strict=True):
            yield from (start + (a * n - offset) // b for n in range(count))
        if self._count:
            yield from (self._start + (self._a * n - self._offset) // self._b for n in range(self._count))

    def __repr__(self) -> str:
        return f"Timeline({len(self)} times in {self.runs} runs)"
