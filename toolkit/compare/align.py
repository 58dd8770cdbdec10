"""Which frame of the truth belongs to which frame of the result, and where they lie on each other.

Equal presentation times are paired, not equal positions, so a field-rate result meets a frame-rate truth.  Times can
be wrong, so the content is looked at too: thumbnails of each result frame are held against those of the truth around
its time.  A constant offset, a dropped or repeated frame and swapped fields show in which of them fits best.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.compare.meeting import Meeting
from toolkit.compare.source import Source

#: Truth frames each way that are searched for a constant offset, and, while reading, for a change of it.
SEARCH, WATCH = 12, 4
#: Result frames looked at before a change of offset is believed.
AHEAD = 6
#: A thumbnail difference (levels squared) must fall to this share of that at equal times to count against it.
DECISIVE = 0.8
#: Shifts below this are the estimate's own error.
NO_SHIFT = 0.05


@dataclass(frozen=True)
class Finding:
    """Something the alignment noticed.

    kind : "time offset", "dropped frame", "repeated frame", "swapped fields", "exchanged lines", "shift",
           "colour range", "levels", "clock" or "unaligned".
    time : where in the result, seconds; None for all of it.
    value: the number behind it, if there is one.
    """

    kind: str
    text: str
    time: float | None = None
    value: Any = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "time": self.time, "value": self.value}


@dataclass
class Alignment:
    """How a result lies on its truth.

    offset          : seconds added to a result's time to find its truth's (at the start).
    offset_frames   : the same in frames of the truth.
    shift, spread   : samples of the grid by which the result lies right of and below the truth, and how much single
                      frames disagree about it (median absolute deviation).
    crop            : samples (left, top, right, bottom) of the grid left out.
    findings        : what was noticed.
    unpaired_truth, unpaired_result : times in seconds of frames that have no partner.
    """

    offset: float = 0.0
    offset_frames: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    spread: tuple[float, float] = (0.0, 0.0)
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    findings: list[Finding] = field(default_factory=list)
    unpaired_truth: list[float] = field(default_factory=list)
    unpaired_result: list[float] = field(default_factory=list)

    def found(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [f for f in self.findings if f.kind == kind]


def residual(truth: np.ndarray, result: np.ndarray) -> float:
    """Mean squared difference of two thumbnails after the best gain and offset, so that levels do not matter."""
    t, r = truth - truth.mean(), result - result.mean()
    power = float((t * t).mean())
    left = float((r * r).mean())
    return left if power == 0 else max(0.0, left - float((t * r).mean()) ** 2 / power)


def clock_difference(truth: Source, result: Source) -> float:
    """Seconds to add to the result's times: not 0 where the files' clocks start far apart (broadcast streams)."""
    starts = [next(s.frames()).time for s in (truth, result)]
    return starts[0] - starts[1] if abs(starts[0] - starts[1]) > 0.5 else 0.0


def block_size(meeting: Meeting) -> int:
    return max(2, round(meeting.grid.width / 180))
