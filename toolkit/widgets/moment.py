"""One frame of a pipeline's result, quickly: only the frames that its steps look at, only the part that is shown.

What stands before the step that was changed is not computed again.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from typing import Any

import numpy as np
from cachetools import LRUCache

from toolkit.clip import Batch, Clip
from toolkit.compare.samples import SETTLE
from toolkit.errors import InputUnreadable
from toolkit.pipeline import Pipeline
from toolkit.stages import Context
from toolkit.stages.memory import rates_of, reach

#: Samples around the part that is shown, so that its edges have neighbours.  A multiple of every chroma step.
MARGIN = 32
_KEPT = 12  # results of steps
_TAPE = 96 << 20  # bytes of decoded frames: those of a step back or forth are not decoded again


class Moment:
    """Computes frames of `pipeline(clip)` one at a time.

    clip  : with the field order to work with already decided in its format.
    Equals the whole run's frame, but for steps that carry a state through the tape, which are warmed up, and for nets
    and deinterlacers at the very edge of a part that was cut out.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._kept: OrderedDict[Any, Batch] = OrderedDict()
        self._tape: LRUCache = LRUCache(_TAPE, getsizeof=lambda one: sum(p.nbytes for p in one.planes))
        self.decoded = 0  # frames, for those who want to know

    def frame(
        self, pipeline: Pipeline, index: int, part: tuple[float, float, float, float] = (0, 0, 1, 1)
    ) -> tuple[Batch, Batch]:
        """The tape's frame `index` and what becomes of it (its first frame, at field rate), as Batches of one.

        part : left, top, width and height to show, as fractions of the picture.
        Raises what decoding and the steps raise.
        """
        rates = rates_of(pipeline, self.clip.format)
        needed = reach(pipeline, rates, SETTLE)
        before, after = needed[0]
        first = max(0, index - before)
        stamp = self.clip.path.stat()  # a file that was changed must not be answered from memory
        file = stamp.st_mtime_ns, stamp.st_size
        source = ("source", file, first, index + after + 1, part)
        batch = self._remembered(source, lambda: self._part(self._frames(file, first, index + after + 1), part))
        at = index - first
        if len(batch) <= at:
            raise InputUnreadable(
                f"{self.clip.path} has no frame {index}", expected=f"a number below {first + len(batch)}"
            )
        tape, done = batch[at : at + 1], source
        for step, rate, (before, after) in zip(pipeline, rates, needed[1:], strict=True):
            step.stage.check(batch.format, step.knobs)
            low, at = max(0, at * rate - before), at * rate
            high = at + after + 1
            done = (*done, step, low, high)
            batch = self._remembered(done, lambda b=batch, s=step, lo=low, hi=high, r=rate: _applied(s, b, lo, hi, r))
            at -= low
        return self._shown(tape, part), self._shown(batch[at : at + 1], part)

    def _frames(self, file: Any, first: int, stop: int) -> Batch:
        """Frames of the tape, as many as there are, those decoded that are not there from before."""
        found = {n: self._tape[file, n] for n in range(first, stop) if (file, n) in self._tape}
        missing = [n for n in range(first, stop) if n not in found]
        if missing:
            at = missing[0]
            for batch in self.clip.batches(size=4, frames=(at, missing[-1] + 1)):
                for one in (batch[i : i + 1] for i in range(len(batch))):
                    # Copied, so that a frame that stays does not keep its neighbours.
                    one = one.replace(planes=tuple(p.copy() for p in one.planes), format=self.clip.format)
                    found[at], at = one, at + 1
                    self.decoded += 1
                    with contextlib.suppress(ValueError):  # larger than all that is kept
                        self._tape[file, at - 1] = one
        if first not in found:
            raise InputUnreadable(f"{self.clip.path} has no frame {first}")
        return Batch.join([found[n] for n in sorted(found)])

    def _part(self, whole: Batch, part: tuple[float, float, float, float]) -> Batch:
        """A part of the picture with its margin."""
        left, top, right, bottom = self._cut(part)
        planes = []
        for n, plane in enumerate(whole.planes):
            sx, sy = (whole.format.subsampling or (0, 0)) if n else (0, 0)
            planes.append(np.ascontiguousarray(plane[:, top >> sy : bottom >> sy, left >> sx : right >> sx]))
        return whole.replace(planes=tuple(planes), format=whole.format.replace(width=right - left, height=bottom - top))

    def _cut(self, part: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is decoded for a part: with a margin, on whole chroma samples."""
        fmt = self.clip.format
        if part[2] >= 1 and part[3] >= 1:
            return 0, 0, fmt.width, fmt.height
        left = max(0, math.floor(part[0] * fmt.width) - MARGIN) // 8 * 8
        top = max(0, math.floor(part[1] * fmt.height) - MARGIN) // 8 * 8
        right = min(fmt.width, -(-math.ceil((part[0] + part[2]) * fmt.width + MARGIN) // 8) * 8)
        bottom = min(fmt.height, -(-math.ceil((part[1] + part[3]) * fmt.height + MARGIN) // 8) * 8)
        return left, top, right, bottom

    def _shown(self, batch: Batch, part: tuple[float, float, float, float]) -> Batch:
        """The margin taken off again."""
        if part[2] >= 1 and part[3] >= 1:
            return batch
        left, top, right, bottom = self._cut(part)
        fmt, source = batch.format, self.clip.format
        across, down = fmt.width / (right - left), fmt.height / (bottom - top)
        x0, y0 = part[0] * source.width - left, part[1] * source.height - top
        # Whole chroma samples of the tape, so that both pictures show the same.
        x = [round(round(v / 4) * 4 * across / 2) * 2 for v in (x0, x0 + part[2] * source.width)]
        y = [round(round(v / 4) * 4 * down / 2) * 2 for v in (y0, y0 + part[3] * source.height)]
        planes = []
        for n, plane in enumerate(batch.planes):
            sx, sy = (fmt.subsampling or (0, 0)) if n else (0, 0)
            planes.append(plane[:, y[0] >> sy : y[1] >> sy, x[0] >> sx : x[1] >> sx])
        height, width = planes[0].shape[1:]
        return batch.replace(planes=tuple(planes), format=fmt.replace(width=width, height=height))

    def _remembered(self, key: Any, make: Any) -> Batch:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = self._kept[key] = make()
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made


def _applied(step: Any, batch: Batch, low: int, high: int, rate: int) -> Batch:
    """The step's results `low` to `high`, and no others where it can leave them out."""
    step.stage.prepare(batch.format, step.knobs, "cpu")
    window = low // rate, min(len(batch), -(-high // rate))
    done = step.stage.only(batch, window, batch.format, step.knobs, Context("cpu"))
    return done[low - window[0] * rate : high - window[0] * rate]
