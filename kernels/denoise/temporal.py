"""A mean along time that closes where the picture moves.

Motion-adaptive temporal averaging (Brailean, Kleihorst, Efstratiadis, Katsaggelos, Lagendijk: "Noise reduction filters
for dynamic image sequences: a review", Proc. IEEE 83(9), 1995, section on motion detection).  The detector here is
two-fold: the mean absolute difference over 5x5 samples decides smoothly, so that noise of single samples does not
open and close it, and a sample that itself differs by more than the gate is left out whatever surrounds it, so that
thin moving things leave no ghost.

Integers: sums of differences, weights (0 to 32) and weighted sums are whole numbers below 2**24 and so exact in
float32, and the two roundings, of the ramp and of the quotient, are the same in every body.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from kernels.arrays import depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel

REACH = 2  # the window is 5x5
AREA = (2 * REACH + 1) ** 2
FULL = 32  # weight of the frame itself and of a neighbour that agrees
ROWS = 48  # rows that one thread filters at a time


def _limits(gate: float, bits: int) -> tuple[np.float32, np.float32, np.float32]:
    """The gate for one sample, the window's sum of differences at which it is shut, and the factor of its ramp.

    Noise of standard deviation s differs by 1.13 s on average; a gate of 3.5 s lets 99 % of such samples pass, and
    its ramp from 3/8 to 5/8 of the gate (1.3 s to 2.2 s) lies above that average.
    """
    gate = gate * (1 << (bits - 8))
    return np.float32(gate), np.float32(gate * AREA * 5 / 8), np.float32(FULL / (gate * AREA / 4))


@kernel(halo=lambda gate, radius, bits: Halo(radius, REACH))
def temporal(
    frames,
    gate: Annotated[float, Knob(1, 128, step=0.5, unit="levels", soft=(2, 40))] = 12.0,
    radius: Annotated[int, Knob(1, 3, step=1, unit="frames")] = 2,
    bits: Bits = 0,
):
    """Averages noise away over neighbouring frames where nothing moves, and leaves moving things as they are.

    Each of the `radius` frames before and after counts fully where its mean absolute difference over 5x5 samples is
    below 3/8 of `gate`, not at all above 5/8, and never for a sample that itself differs by more than `gate`.
    Three and a half times the standard deviation of the noise is a good gate.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.  The ends of a clip have fewer neighbours.
    Returns the same shape and dtype.
    Source: see the module.
    """
    real = frames.dtype.kind == "f"
    single, shut, slope = _limits(gate, depth(frames, bits))
    values = frames.astype(np.float32)
    out = np.empty_like(frames)
    for t, now in enumerate(values):
        total, weight = now * np.float32(FULL), np.full(now.shape, FULL, np.float32)
        for k in range(max(t - radius, 0), min(t + radius + 1, len(frames))):
            if k == t:
                continue
            apart = np.abs(now - values[k])
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(apart, REACH, mode="edge"), (5, 5))
            share = np.clip((shut - windows.sum(axis=(2, 3))) * slope, 0, FULL)
            share = np.where(apart > single, 0, share if real else np.floor(share))
            total, weight = total + share * values[k], weight + share
        out[t] = total / weight if real else total / weight + np.float32(0.5)
    return out


@njit(cache=True, nogil=True)
def _add_apart(column, a, b):
    """Adds |a - b| to the middle of `column`, which has REACH more samples at both ends."""
    inner = column[REACH : REACH + a.shape[0]]
    for x in range(a.shape[0]):
        inner[x] += max(a[x], b[x]) - min(a[x], b[x])


@njit(cache=True, nogil=True)
def _move_apart(column, a, b, c, d):
    """Adds |a - b| and takes |c - d| away, and repeats the ends."""
    width = a.shape[0]
    inner = column[REACH : REACH + width]
    for x in range(width):
        inner[x] += (max(a[x], b[x]) - min(a[x], b[x])) - (max(c[x], d[x]) - min(c[x], d[x]))


def _sum(a, b, c, d, e):
    """a + b + c + d + e in their own type: Numba would widen integers to 64 bit, and the vectors with them."""


@overload(_sum)
def _(a, b, c, d, e):
    narrow = {types.int16: np.int16, types.int32: np.int32, types.float32: np.float32}[a]
    return lambda a, b, c, d, e: narrow(narrow(narrow(narrow(a + b) + c) + d) + e)


@njit(cache=True, nogil=True)
def _share_row(column, now, other, total, weight, single, shut, slope, whole):
    width = now.shape[0]
    for x in range(REACH):
        column[x] = column[REACH]
        column[width + REACH + x] = column[width + REACH - 1]
    c0, c1, c2, c3, c4 = column[:width], column[1:], column[2:], column[3:], column[4:]
    for x in range(width):
        around = np.float32(_sum(c0[x], c1[x], c2[x], c3[x], c4[x]))
        share = min(max((shut - around) * slope, np.float32(0)), np.float32(FULL))
        if whole:
            share = np.floor(share)
        here, there = np.float32(now[x]), np.float32(other[x])
        share = np.float32(0) if abs(here - there) > single else share
        total[x] += share * there
        weight[x] += share


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _average(frames, out, start, radius, single, shut, slope, sums, half):
    """Strips of ROWS rows.  `sums` has the dtype of sums of differences, `half` is what rounding adds (0 for float)."""
    count, height, width = frames.shape
    strips = (height + ROWS - 1) // ROWS
    for i in prange(out.shape[0] * strips):
        n, top = i // strips, i % strips * ROWS
        t = start + n
        low, high = max(t - radius, 0), min(t + radius + 1, count)
        columns = np.zeros((high - low, width + 2 * REACH), sums.dtype)
        total, weight = np.empty(width, np.float32), np.empty(width, np.float32)
        for k in range(low, high):
            for y in range(top - REACH, top + REACH + 1):
                row = min(max(y, 0), height - 1)
                _add_apart(columns[k - low], frames[t, row], frames[k, row])
        for y in range(top, min(top + ROWS, height)):
            now = frames[t, y]
            for x in range(width):
                total[x] = np.float32(now[x]) * np.float32(FULL)
                weight[x] = np.float32(FULL)
            new, old = min(y + REACH, height - 1), max(y - REACH - 1, 0)
            for k in range(low, high):
                if k == t:
                    continue
                if y > top:
                    _move_apart(columns[k - low], frames[t, new], frames[k, new], frames[t, old], frames[k, old])
                _share_row(columns[k - low], now, frames[k, y], total, weight, single, shut, slope, half > 0)
            to = out[n, y]
            for x in range(width):
                to[x] = total[x] / weight[x] + half


#: The narrowest type that holds a sum of 25 differences.
_SUMS = {"uint8": np.int16, "uint16": np.int32, "float32": np.float32}


@temporal.cpu
def _(frames, out, start, gate, radius, bits):
    half = np.float32(0 if frames.dtype.kind == "f" else 0.5)
    _average(frames, out, start, radius, *_limits(gate, bits), np.empty(0, _SUMS[frames.dtype.name]), half)


def _plan(arrays: list[Any], out: Any, start: int, gate: float, radius: int, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    args = (frames, out, i(start), i(count), i(height), i(width), i(radius), *_limits(gate, bits))
    return [Launch("temporal", (-(-width // 32), -(-height // 8), len(out)), (32, 8, 1), args)]


temporal.cuda("temporal.cu", _plan)
