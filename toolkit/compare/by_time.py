"""Frames of any source, found by their time; of a file, only those near it are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.compare.source import Source
from toolkit.errors import InputUnreadable


class FramesByTime:
    """A path, Clip, demo, Batch or list of Batches.

    name, start : what it is called, and its first presentation time in seconds.
    tick        : seconds a frame usually lasts; `duration` seconds of the whole.
    clip        : the `Clip` behind it, None for frames in memory.
    """

    def __init__(self, source: Any) -> None:
        side = Source(source, "sample")
        self.what, self.name = side.what, side.name
        self.clip = self.what if isinstance(self.what, Clip) else None
        self._side = side
        if self.clip is not None:
            self.start = self.clip.start
            rate, length = self.clip.rate, self.clip.duration
            if length is None and self.clip.frames and rate:
                length = float(self.clip.frames / rate)
            if rate is None or length is None:
                from toolkit.media.times import frame_times

                times = frame_times(self.clip)
                if times is None or len(times) < 2:
                    raise InputUnreadable(f"{self.name} says neither its length nor the times of its frames")
                seconds = times * float(self.clip.time_base)
                self.tick = float(np.median(np.diff(seconds)))
                self.duration = float(seconds[-1] - seconds[0]) + self.tick
            else:
                self.tick, self.duration = float(1 / rate), length
        else:
            first = next(side.batches())
            self.start, self.tick = float(first.times[0]), float(first.durations[0] * first.time_base)
            if hasattr(self.what, "duration"):
                self.duration = float(self.what.duration)
            else:
                ends = [b.times[-1] + float(b.durations[-1] * b.time_base) for b in side.batches()]
                self.duration = float(ends[-1]) - self.start

    def decided_format(self, asked: str) -> tuple[PictureFormat, list[str]]:
        """The format with its field order decided as `restore` does ("auto" measures), and what there is to say."""
        notes: list[str] = []
        fmt = self._side.format
        if self.clip is None:
            return (fmt if asked == "auto" else fmt.replace(field_order=asked)), notes
        from toolkit.decisions import decide_field_order

        return fmt.replace(field_order=decide_field_order(self.clip, asked, notes)), notes

    def between(self, since: float, until: float | None, count: int, mark: float = 0.0) -> Batch | None:
        """The frames shown from `since` on and before `until`, or until there are `count` from `mark` on."""
        parts, held = [], 0
        for batch in self._from(since, count):
            part = batch[int(np.searchsorted(batch.times, since)) :]
            if until is not None:
                part = part[: int(np.searchsorted(part.times, until))]
            if len(part):
                parts.append(part)
                held += int((part.times >= mark).sum())
            if held >= count if until is None else batch.times[-1] >= until:
                break
        return Batch.join(parts) if parts else None

    def _from(self, since: float, count: int) -> Iterator[Batch]:
        if self.clip is None:
            yield from self._side.batches()
            return
        from toolkit.media.read import Reader

        with Reader(self.clip, size=max(1, min(count, 16)), since=since) as reader:
            yield from reader
