"""How far a missing sample may stray from the average of the fields before and after it.

This is the temporal limit of yadif (Michael Niedermayer's "yet another deinterlacing filter"), which bwdif shares:

* `average` of the two nearest fields that have the line;
* `motion`, the largest of: half the difference of those two fields; the mean difference between the lines above and
  below and the same lines one frame earlier; the same one frame later;
* where the average sticks out, seen down the column, between the lines two above and two below it, the limit grows by
  as much as it sticks out: a lone line that differs from all its neighbours is combing, not detail.

Each is here three times: in NumPy for the definitions, on lanes for the bodies, on single samples for the plain bodies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from kernels.deinterlace.around import Around, half
from kernels.lanes import Lanes, apart, average_down, excess, high, low


def temporal(a: Around) -> tuple[Any, Any, Any]:
    """`average`, `change` (difference of the two fields) and `motion` at every missing line."""
    earlier, later = a.at(a.earlier, 0), a.at(a.later, 0)
    above, below = a.at(a.now, -1), a.at(a.now, 1)
    change = abs(earlier - later)
    before = half(abs(a.at(a.before, -1) - above) + abs(a.at(a.before, 1) - below))
    after = half(abs(a.at(a.after, -1) - above) + abs(a.at(a.after, 1) - below))
    return half(earlier + later), change, np.maximum(half(change), np.maximum(before, after))


def grown(a: Around, average: Any, motion: Any) -> Any:
    """The limit: `motion`, or more where the average sticks out of its column."""
    above, below = a.at(a.now, -1), a.at(a.now, 1)
    over = half(a.at(a.earlier, -2) + a.at(a.later, -2)) - above
    under = half(a.at(a.earlier, 2) + a.at(a.later, 2)) - below
    up, down = average - above, average - below
    highest = np.maximum(np.maximum(up, down), np.minimum(over, under))
    lowest = np.minimum(np.minimum(up, down), np.maximum(over, under))
    return np.maximum(motion, np.maximum(lowest, -highest))


# On lanes.  "Sticks out" is split into upwards and downwards, so that unsigned saturating arithmetic suffices.
# `over` and `under` are the averages two lines above and below.


def temporal_lanes(above, below, earlier, later, before_up, before_down, after_up, after_down) -> tuple[Lanes, ...]:
    change = apart(earlier, later)
    before = average_down(apart(before_up, above), apart(before_down, below))
    after = average_down(apart(after_up, above), apart(after_down, below))
    return change, high(change >> 1, high(before, after))


def grown_lanes(average, motion, above, below, over, under) -> Lanes:
    up = low(excess(average, high(above, below)), high(excess(over, above), excess(under, below)))
    down = low(excess(low(above, below), average), high(excess(above, over), excess(below, under)))
    return high(motion, high(up, down))


# On single samples, int32 or float32.


@njit(cache=True, nogil=True)
def temporal_sample(above, below, earlier, later, before_up, before_down, after_up, after_down):
    change = abs(earlier - later)
    before = half(abs(before_up - above) + abs(before_down - below))
    after = half(abs(after_up - above) + abs(after_down - below))
    return half(earlier + later), change, max(half(change), max(before, after))


@njit(cache=True, nogil=True)
def grown_sample(average, motion, above, below, earlier_up, later_up, earlier_down, later_down):
    over, under = half(earlier_up + later_up) - above, half(earlier_down + later_down) - below
    up, down = average - above, average - below
    highest = max(max(up, down), min(over, under))
    lowest = min(min(up, down), max(over, under))
    return max(motion, max(lowest, -highest))
