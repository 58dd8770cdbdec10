"""The head-switching band: the torn lines at the foot of the picture, where the recorder changes from head to head.

What was on those lines is displaced and partly lost.  Overscan hides them on a television set; here the nearest good
line takes their place, the softer the further down: fine detail says least about the lines below it, and repeated it
would draw streaks.  Softening is by the Gaussian, the kernel of diffusion (Koenderink, "The structure of images",
Biological Cybernetics 50, 1984).
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.arrays import beside
from kernels.declare import Halo, Knob, Launch, kernel
from kernels.rows import copy_rows

#: Standard deviation of the softening, in samples for each line further down.  Over 12 lines of five photographs the
#: error is 1 dB below that of the repeated line (tests/test_repair.py).
SOFTENING = 0.75


def _reach(lines: int) -> int:
    return math.ceil(3 * SOFTENING * lines)


@functools.cache
def _weights(lines: int) -> np.ndarray:
    """Gaussian weights `(lines, 2 * reach + 1)`, float32, of the samples left and right, for each line further down."""
    away = np.arange(-_reach(lines), _reach(lines) + 1)
    wide = SOFTENING * np.arange(1, lines + 1)[:, None]
    table = np.where(np.abs(away) <= np.ceil(3 * wide), np.exp(-0.5 * (away / wide) ** 2), 0)
    return (table / table.sum(1, keepdims=True)).astype(np.float32)


@kernel(halo=lambda lines: Halo(0, _reach(lines)), tolerance=1)
def head_switching(frames, lines: Annotated[int, Knob(0, 64, step=1, unit="lines", soft=(0, 32))] = 0):
    """Covers the torn lines at the foot of the picture with the nearest good line, softer the further down.

    lines : how many lines are torn; 10 to 14 of a frame on most tapes.  At least one line of the picture is kept.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype; integers are rounded half up.
    """
    good, width = max(frames.shape[1] - lines, 1), frames.shape[2]
    weights = _weights(frames.shape[1] - good).astype(np.float64)
    reach = weights.shape[1] // 2
    line = np.pad(frames[:, good - 1].astype(np.float64), ((0, 0), (reach, reach)), mode="edge")
    out = frames.copy()
    for row, taps in enumerate(weights, good):
        made = sum(tap * line[:, k : k + width] for k, tap in enumerate(taps))
        out[:, row] = made if frames.dtype.kind == "f" else np.floor(made + 0.5)
    return out


@njit(parallel=True, cache=True, nogil=True)
def _cover(frames, out, start, good, weights, half):
    height, width = frames.shape[1:]
    reach = weights.shape[1] // 2
    for n in prange(out.shape[0]):
        copy_rows(out[n, :good], frames[start + n, :good])
        last, line = frames[start + n, good - 1], np.empty(width + 2 * reach, np.float32)
        total = np.empty(width, np.float32)
        for x in range(width + 2 * reach):
            line[x] = last[min(max(x - reach, 0), width - 1)]
        for y in range(good, height):
            for x in range(width):
                total[x] = half
            for k in range(2 * reach + 1):
                tap, part = weights[y - good, k], line[k : k + width]
                if tap > 0:
                    for x in range(width):
                        total[x] += tap * part[x]
            to = out[n, y]
            for x in range(width):
                to[x] = total[x]


@head_switching.cpu
def _(frames, out, start, lines):
    good = max(frames.shape[1] - lines, 1)
    half = np.float32(0 if frames.dtype.kind == "f" else 0.5)
    _cover(frames, out, start, good, _weights(frames.shape[1] - good), half)


def _plan(arrays: list[Any], out: Any, start: int, lines: int) -> list[Launch]:
    i, (count, height, width) = np.int32, out.shape
    good = max(height - lines, 1)
    weights = _weights(height - good)
    args = (arrays[0], out, beside(out, weights), i(start), i(height), i(width), i(good), i(weights.shape[1] // 2))
    return [Launch("cover", (-(-width // 128), height, count), (128, 1, 1), args)]


head_switching.cuda("foot.cu", _plan)
