"""The file behind a widget: frames by position, opened anew when the file was changed under it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from toolkit.clip import Batch, Clip, SoundTrack
from toolkit.errors import InputMissing, RequestError
from toolkit.media.preview import frame_at
from toolkit.media.read import Reader
from toolkit.media.times import frame_times, identity


def check(source: Any, name: str = "clip", expected: str = "a path or a Clip") -> None:
    """Raises `RequestError` where neither a path nor a Clip was given."""
    if not isinstance(source, (Clip, str, os.PathLike)):
        raise RequestError(f"the {name} is {type(source).__name__}", expected=expected, files="")


def opened(source: Clip | Path | str) -> Clip:
    """The clip itself, or the one at a path.  Raises `RequestError` for anything else, and as `Clip.open`."""
    check(source)
    return source if isinstance(source, Clip) else Clip.open(source)


class Reel:
    """Frames of a clip by position, which counts at the clip's average rate; all of them are sought, none counted.

    path  : absolute, so that a change of folder does no harm.
    clip  : None until `refresh` has opened it.
    order : the field order to show fields in; what the file claims until it was measured.
    last  : the last position.
    """

    def __init__(self, source: Clip | Path | str) -> None:
        check(source)
        self._given = source if isinstance(source, Clip) else None
        self.path = Path(self._given.path if self._given else source).absolute()
        self.clip: Clip | None = None
        self.order, self.rate, self.last = "unknown", 25.0, 0
        self._stamp: Any = None
        self._frames: LRUCache = LRUCache(maxsize=2)

    def refresh(self) -> bool:
        """Opens the file when it was not yet, or was changed since; whether it was opened.

        Raises `InputMissing` or `InputUnreadable` (as `Clip.open`); what was known stays, for when the file comes back.
        """
        try:
            stamp = identity(self.path)
        except OSError as error:
            if self.clip is None:
                Clip.open(self.path)  # says why not
            raise InputMissing(
                f"{self.path.name} cannot be read any more ({error.strerror})", files="",
                hint="put it back and move the slider",
            ) from None  # fmt: skip
        if stamp == self._stamp:
            return False
        clip = self._given or Clip.open(self.path)
        self._given = None
        self.clip, self.order = clip, clip.format.field_order
        self.rate = float(clip.rate or 25)
        self.last = self._count(clip) - 1
        self._frames.clear()
        self._stamp = stamp
        return True

    def _count(self, clip: Clip) -> int:
        if clip.duration:
            # An index of packets may count what is not shown, a length of time does not.
            return max(1, round(clip.duration * self.rate))
        if clip.frames:
            return clip.frames
        times = frame_times(clip)  # nothing says how long it is: look at every packet
        span = 0.0 if times is None else float((times[-1] - times[0]) * clip.time_base)
        return max(1, round(span * self.rate) + 1)

    def time(self, position: int) -> float:
        """When the frame at `position` begins, in seconds on the clip's clock."""
        return self.clip.start + position / self.rate

    def frame(self, position: int) -> Batch:
        """The frame at `position`, as a Batch of one in the measured field order."""
        if position not in self._frames:
            # In the middle of its time, so that rounded clocks do not matter.
            self._frames[position] = frame_at(self.clip, self.time(position) + 0.5 / self.rate)
        return self._ordered(self._frames[position])

    def burst(self, position: int, count: int, say: Callable[[str], None]) -> Iterator[Batch]:
        """Up to `count` frames from `position` on, one by one."""
        since = self.time(position) - 0.25 / self.rate
        with Reader(self.clip, size=1, frames=(0, count), since=since, say=say) as reader:
            yield from map(self._ordered, reader)

    def _ordered(self, batch: Batch) -> Batch:
        return batch.replace(format=batch.format.replace(field_order=self.order))

    def sound(self, position: int, seconds: float, track: int) -> tuple[np.ndarray, int]:
        """Samples `(channels, n)` of a stretch that begins at `position`, and their rate.

        Raises `SoundError` where there is none, `RequestError` when there is no such track.
        """
        from toolkit.audio.player import excerpt

        if not 0 <= track < len(self.tracks):
            raise RequestError(f"{self.path.name} has no sound track {track}", files="")
        return excerpt(self.clip, self.time(position), seconds, track)

    @property
    def tracks(self) -> tuple[SoundTrack, ...]:
        return self.clip.sound if self.clip else ()
