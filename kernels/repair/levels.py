"""Levels: black point, white point, gamma and saturation of a plane.

The luma curve is the levels adjustment of every grading tool: `y = x ^ (1 / gamma)` between the chosen black (x = 0)
and white (x = 1), and beyond black the straight line through it.  Black and white are those of ITU-R BT.601-7: 16 and
235 in limited range, 0 and 255 in full range, and colour differences lie around 128.  An integer sample has few
values, so its curve is a table; float samples take the formula.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import numpy as np
from numba import get_num_threads, njit, prange

from kernels.arrays import beside, depth
from kernels.declare import Bits, Knob, Launch, kernel
from kernels.tables import look_up
from kernels.tasks import next_task

ROWS = 64
PIECE = 1 << 17  # samples that a thread takes at a time
SMALL = 3 << 19  # samples that one thread is through with by the time that another would be awake
Point = Annotated[float, Knob(-100, 100, step=0.5, unit="levels", soft=(-40, 40))]


def _line(black: float, white: float, range: str) -> tuple[float, float, float]:
    """Where the chosen black lies, what one is in levels before, and the span of the result, at 8 bits."""
    low, high = (16.0, 235.0) if range == "limited" else (0.0, 255.0)
    return low + black, (high + white) - (low + black), high - low


@kernel()
def levels(
    frames,
    black: Point = 0.0,
    white: Point = 0.0,
    gamma: Annotated[float, Knob(0.1, 10, step=0.01, soft=(0.5, 2), scale="log")] = 1.0,
    saturation: Annotated[float, Knob(0, 4, step=0.01, unit="times", soft=(0, 2))] = 1.0,
    plane: Literal["luma", "chroma"] = "luma",
    range: Literal["limited", "full"] = "limited",
    bits: Bits = 0,
):
    """Sets black and white where the tape has them, brightens or darkens between them, and colours more or less.

    black, white : how far the tape's black and white lie above (or, negative, below) the nominal ones; what lies there
                   becomes nominal.  With black -10 and white 20 all between 6 and 255 is brought to 16 to 235.
    gamma        : above 1 brightens the middle, below 1 darkens it.
    saturation   : of chroma planes; 0 is grey.
    plane        : luma takes black, white and gamma, chroma takes saturation.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane, interlaced or not.
    Returns the same shape and dtype; integers are rounded and limited to their depth.  With the defaults nothing
    changes.
    """
    real = frames.dtype.kind == "f"
    bits = depth(frames, bits)
    scale = 1.0 if real else float(1 << (bits - 8))
    x = frames.astype(np.float64) / scale
    if plane == "chroma":
        y = 128 + saturation * (x - 128)
    else:
        at, span, full = _line(black, white, range)
        x = (x - at) / span
        y = (at - black) + full * np.where(x > 0, np.maximum(x, 0) ** (1 / gamma), x)
    if real:
        return y.astype(np.float32)
    return np.clip(np.floor(y * scale + 0.5), 0, (1 << bits) - 1).astype(frames.dtype)


@functools.lru_cache(maxsize=16)
def _table(dtype: np.dtype, *knobs: Any) -> np.ndarray:
    """The curve of all integer samples that the dtype can hold."""
    every = np.arange(1 << (8 * dtype.itemsize), dtype=dtype).reshape(1, 1, -1)
    return levels.definition(every, *knobs).reshape(-1)


@njit(cache=True, nogil=True)
def _look_up_8bit(frames, out, first, table, taken):
    """Pieces of the flat arrays, until none is left to take; `out` begins at sample `first` of the frames."""
    piece = next_task(taken)
    while piece * PIECE < out.shape[0]:
        at = piece * PIECE
        look_up(table, frames, first + at, out, at, min(PIECE, out.shape[0] - at))
        piece = next_task(taken)


@njit(parallel=True, cache=True, nogil=True)
def _look_up_by_all(frames, out, first, table, taken, threads):
    for _ in prange(threads):
        _look_up_8bit(frames, out, first, table, taken)


@njit(parallel=True, cache=True, nogil=True)
def _look_up(frames, out, start, table):
    height = frames.shape[1]
    strips = (height + ROWS - 1) // ROWS
    for i in prange(out.shape[0] * strips):
        n, top = i // strips, i % strips * ROWS
        for y in range(top, min(top + ROWS, height)):
            row, to = frames[start + n, y], out[n, y]
            for x in range(row.shape[0]):
                to[x] = table[row[x]]


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _curve(frames, out, start, at, span, low, full, power):
    """`low + full ((v - at) / span) ^ power`; a straight line where the power is 1 or the sample lies below `at`."""
    height = frames.shape[1]
    strips = (height + ROWS - 1) // ROWS
    for i in prange(out.shape[0] * strips):
        n, top = i // strips, i % strips * ROWS
        for y in range(top, min(top + ROWS, height)):
            row, to = frames[start + n, y], out[n, y]
            if power == np.float32(1):
                for x in range(row.shape[0]):
                    to[x] = low + full * ((row[x] - at) / span)
            else:
                for x in range(row.shape[0]):
                    v = (row[x] - at) / span
                    to[x] = low + full * (v**power if v > 0 else v)


def _formula(black, white, gamma, saturation, plane, range) -> list[np.float32]:
    if plane == "chroma":
        return [np.float32(v) for v in (128, 1, 128, saturation, 1)]
    at, span, full = _line(black, white, range)
    return [np.float32(v) for v in (at, span, at - black, full, 1 / gamma)]


@levels.cpu
def _(frames, out, start, black, white, gamma, saturation, plane, range, bits):
    if frames.dtype.kind == "f":
        _curve(frames, out, start, *_formula(black, white, gamma, saturation, plane, range))
    else:
        table = _table(frames.dtype, black, white, gamma, saturation, plane, range, bits)
        if frames.dtype != np.uint8:
            _look_up(frames, out, start, table)
            return
        threads, first = get_num_threads(), start * frames[0].size
        work = frames.reshape(-1), out.reshape(-1), first, table, np.zeros(1, np.int64)
        if threads == 1 or out.size < SMALL:
            _look_up_8bit(*work)
        else:
            _look_up_by_all(*work, threads)


def _plan(
    arrays: list[Any], out: Any, start: int, black, white, gamma, saturation, plane, range, bits
) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = out.shape
    grid, block = (-(-width // 128), height, count), (128, 1, 1)
    size = (i(start), i(height), i(width))
    if frames.dtype.kind == "f":
        terms = _formula(black, white, gamma, saturation, plane, range)
        return [Launch("curve", grid, block, (frames, out, *size, *terms))]
    table = beside(frames, _table(frames.dtype, black, white, gamma, saturation, plane, range, bits))
    return [Launch("look_up", grid, block, (frames, out, table, *size))]


levels.cuda("levels.cu", _plan)
