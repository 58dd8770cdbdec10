"""The head-switching band: the torn lines at the foot of the picture, where the recorder changes from head to head.

What was on those lines is displaced and partly lost.  Overscan hides them on a television set; here the nearest good
line takes their place (constant extrapolation, the usual way to fill what lies beyond the edge of a picture).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.declare import Halo, Knob, Launch, kernel
from kernels.rows import copy_row, copy_rows


@kernel(halo=lambda lines: Halo(0, lines))
def head_switching(frames, lines: Annotated[int, Knob(0, 64, step=1, unit="lines", soft=(0, 32))] = 0):
    """Covers the torn lines at the foot of the picture with the nearest good line.

    lines : how many lines are torn; 10 to 14 of a frame on most tapes.  At least one line of the picture is kept.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype.
    """
    good = max(frames.shape[1] - lines, 1)
    out = frames.copy()
    out[:, good:] = frames[:, good - 1 : good]
    return out


@njit(parallel=True, cache=True, nogil=True)
def _cover(frames, out, start, good):
    for n in prange(out.shape[0]):
        copy_rows(out[n, :good], frames[start + n, :good])
        for y in range(good, out.shape[1]):
            copy_row(out[n, y], frames[start + n, good - 1])


@head_switching.cpu
def _(frames, out, start, lines):
    _cover(frames, out, start, max(frames.shape[1] - lines, 1))


def _plan(arrays: list[Any], out: Any, start: int, lines: int) -> list[Launch]:
    count, height, width = out.shape
    args = (arrays[0], out, np.int32(start), np.int32(height), np.int32(width), np.int32(max(height - lines, 1)))
    return [Launch("cover", (-(-width // 128), height, count), (128, 1, 1), args)]


head_switching.cuda("foot.cu", _plan)
