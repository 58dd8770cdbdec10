"""Medians over space and over time, by sorting networks.

The middle of nine is the middle of: the largest of the columns' smallest, the middle of the columns' middles, the
smallest of the columns' largest (Smith: "Implementing median filters in XC4000E FPGAs", Xcell 23, 1996).  Five and
seven frames use the same idea: what certainly lies above or below the middle is dropped pair by pair.

All of it is minima and maxima in the samples' own type, 64 bytes at a time; memory is the limit.  Over space a line's
columns are sorted once, for the three windows that hold them.  Over time one piece of the picture is taken through all
frames before the next, so that a piece of a frame is still in the cache when its neighbours in time need it.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels import lanes
from kernels.declare import Halo, Knob, Launch, kernel
from kernels.deinterlace.around import STEP, on_a_cache_line
from kernels.lanes import high, low

ROWS = 64
PIECE = 16384  # samples that go through all frames at once


@kernel(halo=Halo(0, 1))
def median(frames):
    """Removes single wrong samples: each becomes the middle of the 3x3 around it.

    Samples beyond the edges repeat those at the edges.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype.
    """
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.sort(windows.reshape(*frames.shape, 9), axis=-1)[..., 4]


@kernel(halo=lambda radius: Halo(radius))
def temporal_median(frames, radius: Annotated[int, Knob(1, 3, step=1, unit="frames")] = 1):
    """Removes what lasts less than `radius` frames, such as dropouts: each sample becomes its middle over time.

    Takes the middle of `2 radius + 1` frames; beyond the ends of the clip its first and last frame repeat.  Fast
    motion of small things is lost too; the motion-gated mean `temporal` keeps it.

    frames : `(T, H, W)` uint8, uint16 or float32.
    Returns the same shape and dtype.
    """
    last = len(frames) - 1
    around = [frames[np.clip(np.arange(len(frames)) + k, 0, last)] for k in range(-radius, radius + 1)]
    return np.sort(around, axis=0)[radius]


@njit(cache=True, nogil=True)
def _middle3(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@njit(cache=True, nogil=True)
def _middle5(a, b, c, d, e):
    return _middle3(max(min(a, b), min(c, d)), min(max(a, b), max(c, d)), e)


@njit(cache=True, nogil=True)
def _middle7(a, b, c, d, e, f, g):
    """The smallest and the largest of six, then of five, cannot be the middle of seven; five and three are left."""
    a, b = min(a, b), max(a, b)
    c, d = min(c, d), max(c, d)
    e, f = min(e, f), max(e, f)
    low1, high1 = max(a, c), min(b, d)
    low2, high2 = max(min(a, c), e), min(max(b, d), f)  # without the smallest and the largest of the six
    return _middle5(low1, high1, low2, high2, g)


# Integers, 64 bytes at a time.


def _between(a, b, c):
    return high(low(a, b), low(high(a, b), c))


@lanes.step(STEP, outputs=3)
def _sorted(a, b, c):
    small, large = low(a, b), high(a, b)
    return low(small, c), high(small, low(large, c)), high(large, c)


@lanes.step(STEP)
def _middle_of_columns(a, b, c, d, e, f, g, h, i):
    return _between(high(high(a, b), c), _between(d, e, f), low(low(g, h), i))


@lanes.step(STEP)
def _of_three(a, b, c):
    return _between(a, b, c)


@lanes.step(STEP)
def _of_five(a, b, c, d, e):
    return _between(high(low(a, b), low(c, d)), low(high(a, b), high(c, d)), e)


@lanes.step(STEP)
def _of_seven(a, b, c, d, e, f, g):
    (a, b), (c, d), (e, f) = ((low(p, q), high(p, q)) for p, q in ((a, b), (c, d), (e, f)))
    low1, high1 = high(a, c), low(b, d)
    low2, high2 = high(low(a, c), e), low(high(b, d), f)
    return _between(high(low(low1, high1), low(low2, high2)), low(high(low1, high1), high(low2, high2)), g)


@njit(parallel=True, cache=True, nogil=True)
def _space_lanes(frames, out, start):
    height, width = frames.shape[1:]
    src, dst = frames.reshape(-1), out.reshape(-1)
    count = STEP // frames.itemsize
    row = (width + count - 1) // count * count + 2 * count  # a vector's room at both ends
    strips = (height + ROWS - 1) // ROWS
    for job in prange(out.shape[0] * strips):
        n, top = job // strips, job % strips * ROWS
        columns = on_a_cache_line(3 * row, frames)
        one, two, three = count, row + count, 2 * row + count
        for y in range(top, min(top + ROWS, height)):
            here = ((start + n) * height + y) * width
            a, c = here - (width if y > 0 else 0), here + (width if y < height - 1 else 0)
            for x in range(0, width, count):
                i = min(x, width - count)
                _sorted(columns, one + i, two + i, three + i, src, a + i, here + i, c + i)
            for first in (one, two, three):
                columns[first - 1], columns[first + width] = columns[first], columns[first + width - 1]
            to = (n * height + y) * width
            for x in range(0, width, count):
                i = min(x, width - count)
                p, q, r = one + i, two + i, three + i
                _middle_of_columns(dst, to + i, columns, p - 1, p, p + 1, q - 1, q, q + 1, r - 1, r, r + 1)


@njit(parallel=True, cache=True, nogil=True)
def _time_lanes(frames, out, start, radius):
    last, size = frames.shape[0] - 1, frames.shape[1] * frames.shape[2]
    src, dst = frames.reshape(-1), out.reshape(-1)
    count = STEP // frames.itemsize
    for job in prange((size + PIECE - 1) // PIECE):
        begin, end = job * PIECE, min(job * PIECE + PIECE, size)
        for n in range(out.shape[0]):
            t, to = start + n, n * size
            b1, a1 = max(t - 1, 0) * size, min(t + 1, last) * size
            b2, a2 = max(t - 2, 0) * size, min(t + 2, last) * size
            b3, a3 = max(t - 3, 0) * size, min(t + 3, last) * size
            t *= size
            for x in range(begin, end, count):
                i = min(x, size - count)
                if radius == 1:
                    _of_three(dst, to + i, src, b1 + i, t + i, a1 + i)
                elif radius == 2:
                    _of_five(dst, to + i, src, b2 + i, b1 + i, a1 + i, a2 + i, t + i)
                else:
                    _of_seven(dst, to + i, src, b3 + i, b2 + i, b1 + i, t + i, a1 + i, a2 + i, a3 + i)


# Floats, and integer planes too narrow for lanes.


@njit(parallel=True, cache=True, nogil=True)
def _space(frames, out, start):
    height, width = frames.shape[1:]
    strips = (height + ROWS - 1) // ROWS
    for i in prange(out.shape[0] * strips):
        n, top = i // strips, i % strips * ROWS
        low = np.empty(width + 2, frames.dtype)
        mid = np.empty(width + 2, frames.dtype)
        high = np.empty(width + 2, frames.dtype)
        for y in range(top, min(top + ROWS, height)):
            plane = frames[start + n]
            a, b, c, to = plane[max(y - 1, 0)], plane[y], plane[min(y + 1, height - 1)], out[n, y]
            low_, mid_, high_ = low[1:], mid[1:], high[1:]
            for x in range(width):
                low_[x] = min(min(a[x], b[x]), c[x])
            for x in range(width):
                mid_[x] = _middle3(a[x], b[x], c[x])
            for x in range(width):
                high_[x] = max(max(a[x], b[x]), c[x])
            low[0], mid[0], high[0] = low[1], mid[1], high[1]
            low[width + 1], mid[width + 1], high[width + 1] = low[width], mid[width], high[width]
            low__, mid__, high__ = low[2:], mid[2:], high[2:]
            for x in range(width):
                lowest = max(max(low[x], low_[x]), low__[x])
                highest = min(min(high[x], high_[x]), high__[x])
                to[x] = _middle3(lowest, _middle3(mid[x], mid_[x], mid__[x]), highest)


@njit(parallel=True, cache=True, nogil=True)
def _time(frames, out, start, radius):
    last, height, width = frames.shape[0] - 1, frames.shape[1], frames.shape[2]
    strips = (height + ROWS - 1) // ROWS
    for i in prange(out.shape[0] * strips):
        n, top = i // strips, i % strips * ROWS
        t = start + n
        for y in range(top, min(top + ROWS, height)):
            to, here = out[n, y], frames[t, y]
            b1, a1 = frames[max(t - 1, 0), y], frames[min(t + 1, last), y]
            b2, a2 = frames[max(t - 2, 0), y], frames[min(t + 2, last), y]
            b3, a3 = frames[max(t - 3, 0), y], frames[min(t + 3, last), y]
            if radius == 1:
                for x in range(width):
                    to[x] = _middle3(b1[x], here[x], a1[x])
            elif radius == 2:
                for x in range(width):
                    to[x] = _middle5(b2[x], b1[x], a1[x], a2[x], here[x])
            else:
                for x in range(width):
                    to[x] = _middle7(b3[x], b2[x], b1[x], here[x], a1[x], a2[x], a3[x])


@median.cpu
def _(frames, out, start):
    wide = frames.dtype.kind != "f" and frames.shape[2] >= STEP // frames.itemsize
    (_space_lanes if wide else _space)(frames, out, start)


@temporal_median.cpu
def _(frames, out, start, radius):
    wide = frames.dtype.kind != "f" and frames[0].size >= STEP // frames.itemsize
    (_time_lanes if wide else _time)(frames, out, start, radius)


def _plan_space(arrays: list[Any], out: Any, start: int) -> list[Launch]:
    count, height, width = out.shape
    sizes = np.int32(start), np.int32(height), np.int32(width)
    return [Launch("median", (-(-width // 128), height, count), (128, 1, 1), (arrays[0], out, *sizes))]


def _plan_time(arrays: list[Any], out: Any, start: int, radius: int) -> list[Launch]:
    count, height, width = out.shape
    size, i = height * width, np.int32
    args = (arrays[0], out, i(start), i(len(arrays[0])), i(size), i(radius))
    return [Launch("temporal_median", (-(-size // 256), count, 1), (256, 1, 1), args)]


median.cuda("median.cu", _plan_space)
temporal_median.cuda("median.cu", _plan_time)
