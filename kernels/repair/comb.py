"""Rainbows and dot crawl: what is left of the colour carrier where a composite signal was taken apart badly.

In composite video colour is a carrier on top of luma.  Luma's own fine detail, taken for colour, shows as rainbows; the
carrier, left in luma, as dots that crawl along coloured edges.  The carrier's phase turns by half a cycle from one
NTSC frame to the next (and every two PAL frames), so both change their sign each time: where nothing moves, the mean
of neighbouring frames is free of them.  This is the frame comb filter (three-dimensional Y/C separation; K. Jack,
"Video Demystified", chapter on NTSC and PAL decoding), applied after the fact.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from kernels.arrays import depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import wide
from kernels.rows import copy_rows

SPAN = 9  # samples of a line that are looked at together, so that noise does not pass for motion
SWING = 6.0  # levels between successive frames, twice, below which nobody sees the carrier
CLEARLY = np.int32(3)  # times what else changes, the carrier must swing
ROWS = 32


def _turn(standard: str) -> int:
    """After how many frames the carrier has the opposite phase."""
    return 1 if standard == "ntsc" else 2


@kernel(halo=lambda standard, **_: Halo(2 * _turn(standard), SPAN // 2))
def frame_comb(
    frames,
    still: Annotated[float, Knob(0, 64, step=0.5, unit="levels", soft=(0, 20))] = 8.0,
    standard: Literal["ntsc", "pal"] = "ntsc",
    bits: Bits = 0,
):
    """Takes rainbows and dot crawl away where nothing moves.

    still    : how much frames of the same carrier phase may differ, on the mean of nine samples along the line, to
               pass as standing still.
    standard : after how many frames the carrier's phase is opposite: "ntsc" one, "pal" two.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane at the tape's own frame rate, interlaced or not (after
             deinterlacing to field rate it is too late).
    Returns the same shape and dtype.

    With the frames a, c of opposite phase on both sides and p, q of the same phase beyond them, a sample b becomes
    (a + 2 b + c) / 4 where |b - p|, |b - q| and |a - c| are each at most `still`, and at most a third of |a - 2 b + c|,
    which is at least 6 levels: only what comes and goes with the carrier is touched.  Frames at the ends of a clip that
    lack one of the four stay as they are.
    Source: see the module.
    """
    bits, d = depth(frames, bits), _turn(standard)
    count = len(frames)
    real = frames.dtype.kind == "f"
    limit, least = _limit(still, frames.dtype, bits), _limit(SWING, frames.dtype, bits)
    x = frames.astype(np.float32 if real else np.int32)
    out = frames.copy()
    for t in range(2 * d, count - 2 * d):
        p, a, c, q = (x[t + k * d] for k in (-2, -1, 1, 2))
        swing = (a + c) - 2 * x[t]
        moving = np.maximum(np.maximum(_box(x[t] - p), _box(x[t] - q)), _box(a - c))
        swing = _box(swing)
        steady = (moving <= limit) & (CLEARLY * moving <= swing) & (swing >= least)
        mean = ((a + c) + 2 * x[t]) * np.float32(0.25) if real else (a + c + 2 * x[t] + 2) >> 2
        out[t] = np.where(steady, mean, x[t])
    return out


def _limit(still: float, dtype: Any, bits: int) -> Any:
    limit = still * SPAN * 2.0 ** (bits - 8)
    return np.float32(limit) if np.dtype(dtype).kind == "f" else np.int32(np.floor(limit))


def _box(difference: np.ndarray) -> np.ndarray:
    """The sum of the absolute differences over `SPAN` samples of the line; the edge repeats."""
    reach = SPAN // 2
    padded = np.pad(abs(difference), ((0, 0), (reach, reach)), mode="edge")
    width = difference.shape[1]
    return sum(padded[:, k : k + width] for k in range(SPAN))


@njit(nogil=True)
def _box_to(buffer, out):
    """`_box` of what stands in the middle of `buffer`; raises `out` to it."""
    reach, width = SPAN // 2, out.shape[0]
    buffer[:reach] = buffer[reach]
    buffer[reach + width :] = buffer[reach + width - 1]
    a, b, c, d, e = buffer, buffer[1:], buffer[2:], buffer[3:], buffer[4:]
    f, g, h, i = buffer[5:], buffer[6:], buffer[7:], buffer[8:]
    for x in range(width):
        total = wide(wide(wide(wide(a[x] + b[x]) + c[x]) + d[x]) + e[x])
        out[x] = max(out[x], wide(wide(wide(wide(total + f[x]) + g[x]) + h[x]) + i[x]))


@njit(nogil=True)
def _apart_to(one, other, buffer, out):
    middle = buffer[SPAN // 2 : SPAN // 2 + out.shape[0]]
    for x in range(out.shape[0]):
        middle[x] = abs(wide(wide(one[x]) - wide(other[x])))
    _box_to(buffer, out)


@njit(parallel=True, cache=True, nogil=True)
def _frame_comb(frames, out, start, d, limit, least):
    count, height, width = frames.shape
    strips = (height + ROWS - 1) // ROWS
    kind = np.full(1, limit)
    for task in prange(out.shape[0] * strips):
        n, top = task // strips, task % strips * ROWS
        t = start + n
        buffer = np.empty(width + SPAN - 1, kind.dtype)
        moving, swing, mean = np.empty(width, kind.dtype), np.empty(width, kind.dtype), np.empty(width, kind.dtype)
        middle = buffer[SPAN // 2 : SPAN // 2 + width]
        if not 2 * d <= t < count - 2 * d:
            copy_rows(out[n, top : top + ROWS], frames[t, top : top + ROWS])
            continue
        for y in range(top, min(top + ROWS, height)):
            now, to, a, c = frames[t, y], out[n, y], frames[t - d, y], frames[t + d, y]
            moving[:] = 0
            swing[:] = 0
            _apart_to(now, frames[t - 2 * d, y], buffer, moving)
            _apart_to(now, frames[t + 2 * d, y], buffer, moving)
            _apart_to(a, c, buffer, moving)
            for x in range(width):
                twice, others = wide(wide(now[x]) + wide(now[x])), wide(wide(a[x]) + wide(c[x]))
                middle[x] = abs(wide(others - twice))
                mean[x] = _quarter(wide(others + twice))
            _box_to(buffer, swing)
            for x in range(width):
                steady = (moving[x] <= limit) & (wide(CLEARLY * moving[x]) <= swing[x]) & (swing[x] >= least)
                to[x] = mean[x] if steady else now[x]


def _quarter(v: Any) -> Any:
    """A quarter, rounded for integers."""


@overload(_quarter)
def _(v):
    if isinstance(v, types.Float):
        return lambda v: np.float32(v * np.float32(0.25))
    return lambda v: np.int32((v + np.int32(2)) >> np.int32(2))


@frame_comb.cpu
def _(frames, out, start, still, standard, bits):
    limits = (_limit(level, frames.dtype, bits) for level in (still, SWING))
    _frame_comb(frames, out, start, _turn(standard), *limits)


def _plan(arrays: list[Any], out: Any, start: int, still: float, standard: str, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    total, (count, height, width) = len(frames), out.shape
    limits = (_limit(level, frames.dtype, bits) for level in (still, SWING))
    args = (frames, out, i(start), i(total), i(height), i(width), i(_turn(standard)), *limits)
    return [Launch("frame_comb", (-(-width // 128), height, count), (128, 1, 1), args)]


frame_comb.cuda("comb.cu", _plan)
