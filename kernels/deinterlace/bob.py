"""Line doubling from one field: the simplest deinterlacer, and the fallback of the others where nothing else fits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit, prange

from kernels.arrays import depth
from kernels.declare import Bits, Launch, kernel
from kernels.deinterlace import Order, Rate, frames_per_frame, kept_parity


@kernel(rate=frames_per_frame, smallest=(2, 1))
def bob(
    frames, order: Order = "tff", rate: Rate = "field", method: Literal["linear", "cubic"] = "cubic", bits: Bits = 0
):
    """Turns each field into a whole frame by interpolating its missing lines.

    "linear" averages the lines above and below, `(a + b + 1) >> 1`; "cubic" weighs four lines of the field
    -1, 9, 9, -1 over 16 (the Catmull-Rom spline at its midpoint).  At the top and bottom edge lines repeat.

    frames : `(T, H, W)` uint8, uint16 or float32, one interlaced plane.
    Returns `(2T, H, W)` at field rate, `(T, H, W)` at frame rate, same dtype.
    """
    count = len(frames) * frames_per_frame(rate=rate)
    height = frames.shape[1]
    real = frames.dtype.kind == "f"
    out = np.empty((count, *frames.shape[1:]), frames.dtype)
    peak = (1 << depth(frames, bits)) - 1
    for n in range(count):
        t, parity = kept_parity(n, order, rate)
        lines = frames[t, parity::2].astype(np.float64 if real else np.int64)
        out[n, parity::2] = frames[t, parity::2]
        for y in range(1 - parity, height, 2):
            above = (y - 1 - parity) // 2  # index within the field of the line above y
            at = [np.clip(above + k, 0, len(lines) - 1) for k in (-1, 0, 1, 2)]
            a, b, c, d = (lines[i] for i in at)
            if method == "linear":
                out[n, y] = (b + c) / 2 if real else (b + c + 1) >> 1
            else:
                value = 9 * (b + c) - (a + d)
                out[n, y] = value / 16 if real else np.clip((value + 8) >> 4, 0, peak)
    return out


@njit(parallel=True, cache=True, nogil=True)
def _bob_int(frames, out, start, first, step, cubic, peak):
    height = frames.shape[1]
    for n in prange(out.shape[0]):
        t = start + n // step
        parity = first ^ (n & 1) if step == 2 else first
        src = frames[t]
        last = (height - 1 - parity) // 2 * 2 + parity  # the lowest kept line
        for y in range(height):
            row = out[n, y]
            if (y & 1) == parity:
                row[:] = src[y]
                continue
            b = src[max(y - 1, parity)]
            c = src[min(y + 1, last)]
            if cubic:
                a = src[max(y - 3, parity)]
                d = src[min(y + 3, last)]
                for x in range(row.shape[0]):
                    v = np.int32(9) * (np.int32(b[x]) + np.int32(c[x])) - (np.int32(a[x]) + np.int32(d[x]))
                    row[x] = min(max((v + np.int32(8)) >> np.int32(4), np.int32(0)), peak)
            else:
                for x in range(row.shape[0]):
                    row[x] = (np.int32(b[x]) + np.int32(c[x]) + np.int32(1)) >> np.int32(1)


@njit(parallel=True, cache=True, nogil=True)
def _bob_float(frames, out, start, first, step, cubic):
    height = frames.shape[1]
    for n in prange(out.shape[0]):
        t = start + n // step
        parity = first ^ (n & 1) if step == 2 else first
        src = frames[t]
        last = (height - 1 - parity) // 2 * 2 + parity
        for y in range(height):
            row = out[n, y]
            if (y & 1) == parity:
                row[:] = src[y]
                continue
            a, b = src[max(y - 3, parity)], src[max(y - 1, parity)]
            c, d = src[min(y + 1, last)], src[min(y + 3, last)]
            for x in range(row.shape[0]):
                if cubic:
                    row[x] = (np.float32(9) * (b[x] + c[x]) - (a[x] + d[x])) * np.float32(1 / 16)
                else:
                    row[x] = (b[x] + c[x]) * np.float32(0.5)


@bob.cpu
def _(frames, out, start, order, rate, method, bits):
    first, step = (0 if order == "tff" else 1), frames_per_frame(rate=rate)
    if frames.dtype.kind == "f":
        _bob_float(frames, out, start, first, step, method == "cubic")
    else:
        _bob_int(frames, out, start, first, step, method == "cubic", np.int32((1 << bits) - 1))


def _plan(arrays: list[Any], out: Any, start: int, order: str, rate: str, method: str, bits: int) -> list[Launch]:
    count, height, width = out.shape
    i = np.int32
    step = frames_per_frame(rate=rate)
    args = (arrays[0], out, i(start), i(height), i(width), i(order == "bff"), i(step), i(method == "cubic"))
    return [Launch("bob", (-(-width // 128), height, count), (128, 1, 1), (*args, i((1 << bits) - 1)))]


bob.cuda("bob.cu", _plan)
