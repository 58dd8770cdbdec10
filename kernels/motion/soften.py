"""Lines evened out before motion is sought: frames made of one field each flicker in their finest lines.

The binomial weights 1, 4, 6, 4, 1 over 16 down each column.  The frame of a top field and that of a bottom field show
the same edge with different lines made up; a search that sees this finds vectors of one line that are not there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.declare import Bits, Halo, Launch, kernel

TAPS = (1, 4, 6, 4, 1)


@kernel(halo=Halo(pixels=2))
def soften_lines(frames, bits: Bits = 0):
    """Evens out what differs from line to line; from side to side everything stays sharp.

    Weights 1, 4, 6, 4, 1 over 16, rounded half up; beyond the edge lines repeat.

    frames : `(T, H, W)` uint8, uint16 or float32.
    bits   : has no effect here; results never leave the range of the input.
    Returns frames of the same shape and dtype.
    """
    real = frames.dtype.kind == "f"
    wide = np.pad(frames, ((0, 0), (2, 2), (0, 0)), mode="edge").astype(np.float64 if real else np.int64)
    total = sum(tap * wide[:, k : k + frames.shape[1]] for k, tap in enumerate(TAPS))
    return (total / 16 if real else (total + 8) >> 4).astype(frames.dtype)


@njit(parallel=True, cache=True, nogil=True)
def _soften_int(frames, out, start):
    height, width = frames.shape[1:]
    for n in prange(out.shape[0]):
        src = frames[start + n]
        for y in range(height):
            a, b, c = src[max(y - 2, 0)], src[max(y - 1, 0)], src[y]
            d, e, to = src[min(y + 1, height - 1)], src[min(y + 2, height - 1)], out[n, y]
            for x in range(width):
                v = np.int32(a[x]) + np.int32(e[x]) + np.int32(4) * (np.int32(b[x]) + np.int32(d[x]))
                to[x] = (v + np.int32(6) * np.int32(c[x]) + np.int32(8)) >> np.int32(4)


@njit(parallel=True, cache=True, nogil=True)
def _soften_float(frames, out, start):
    height, width = frames.shape[1:]
    for n in prange(out.shape[0]):
        src = frames[start + n]
        for y in range(height):
            a, b, c = src[max(y - 2, 0)], src[max(y - 1, 0)], src[y]
            d, e, to = src[min(y + 1, height - 1)], src[min(y + 2, height - 1)], out[n, y]
            for x in range(width):
                v = (a[x] + e[x]) + np.float32(4) * (b[x] + d[x]) + np.float32(6) * c[x]
                to[x] = v * np.float32(1 / 16)


@soften_lines.cpu
def _(frames, out, start, bits):
    (_soften_float if frames.dtype.kind == "f" else _soften_int)(frames, out, start)


def _plan(arrays: list[Any], out: Any, start: int, bits: int) -> list[Launch]:
    count, height, width = out.shape
    args = (arrays[0], out, np.int32(start), np.int32(height), np.int32(width))
    return [Launch("soften_lines", (-(-width // 128), height, count), (128, 1, 1), args)]


soften_lines.cuda("soften.cu", _plan)
