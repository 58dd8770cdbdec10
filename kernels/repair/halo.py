"""Halos: the bright and dark rims that sharpening leaves on both sides of an edge.

A recorder sharpens by raising high frequencies along the line, so an edge swings over on its light side and under on
its dark side before it settles.  Mathematical morphology (J. Serra, "Image Analysis and Mathematical Morphology",
1982; the names are those of P. Soille, "Morphological Image Analysis", 2003) takes such a rim apart: an opening removes
what is lighter than its surroundings and narrower than its window, a closing what is darker, and what they removed (the
top hats) is how far the rim sticks out.  Detail sticks out as well, but only a halo lies beside a step that is still
there after the opening and the closing, and has its counterpart of the other sign across that step.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import wide
from kernels.rows import copy_row

ROWS = 32
EVERY, BINS, STEEP, NATURAL, FEWEST = 8, 256, 32.0, 0.06, 200


def _facts(edge: float, strength: float, dtype: Any, bits: int) -> tuple[Any, ...]:
    """The least step in samples, the strength in 256ths for integers."""
    step = edge * 2.0 ** (bits - 8)
    if np.dtype(dtype).kind == "f":
        return np.float32(step), np.float32(strength)
    return np.int32(np.floor(step)), np.int32(np.rint(strength * 256))


@kernel(halo=lambda width, **_: Halo(0, 5 * width))
def dehalo(
    frames,
    width: Annotated[int, Knob(1, 16, step=1, unit="samples", soft=(1, 8))] = 4,
    edge: Annotated[float, Knob(0, 255, step=1, unit="levels", soft=(4, 60))] = 16.0,
    share: Annotated[float, Knob(0, 1, step=0.01, unit="of the step", soft=(0, 0.5))] = 0.2,
    strength: Annotated[float, Knob(0, 1, step=0.01)] = 1.0,
    bits: Bits = 0,
):
    """Takes away the light and dark rims that sharpening left beside edges, along the line.

    width    : the widest rim that is taken away.
    edge     : how high a step must be for its rims to be looked at.
    share    : a rim is lowered by no more than this part of the step; `halo_share` measures it.
    strength : how much of the rim goes.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane, luma, interlaced or not: each line is for itself.
    Returns the same shape and dtype.

    With `over` and `under` the top hats of windows of `width + 1` samples, and `step` the largest opening less the
    smallest closing within `2 width` samples: a light rim is lowered by `min(over, largest under there, share step)`,
    a dark one raised likewise, where `step` exceeds `edge`.
    Source: see the module.
    """
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    limit, amount = _facts(edge, strength, frames.dtype, bits)
    part = _facts(0, share, frames.dtype, bits)[1]
    x = frames.astype(np.float32 if real else np.int32)
    opened = _slide(np.max, _slide(np.min, x, 0, width), width, 0)
    closed = _slide(np.min, _slide(np.max, x, 0, width), width, 0)
    over, under = x - opened, closed - x
    near = 2 * width
    step = _slide(np.max, opened, near, near) - _slide(np.min, closed, near, near)
    most = part * step if real else (part * step) >> 8
    down = np.minimum(np.minimum(over, _slide(np.max, under, near, near)), most)
    up = np.minimum(np.minimum(under, _slide(np.max, over, near, near)), most)
    change = amount * (up - down) if real else (amount * (up - down) + 128) >> 8
    return (x + np.where(step > limit, change, 0)).astype(frames.dtype)


def _slide(function: Any, x: np.ndarray, left: int, right: int) -> np.ndarray:
    """`function` over the samples from `left` before to `right` after each one on its line; the edge repeats."""
    padded = np.pad(x, ((0, 0), (0, 0), (left, right)), mode="edge")
    return function(np.lib.stride_tricks.sliding_window_view(padded, left + right + 1, 2), -1)


@njit(nogil=True)
def _slide_to(largest, x, left, right, buffer, out):
    """The largest or smallest of `_slide` on one line; the window is doubled until it is long enough."""
    n, length = x.shape[0], left + right + 1
    buffer[:left] = x[0]
    copy_row(buffer[left : left + n], x)
    buffer[left + n : left + n + right] = x[n - 1]
    done = 1
    while 2 * done <= length:
        part, ahead = buffer[: n + length - 2 * done], buffer[done : n + length - done]
        _pick_to(largest, part, ahead, part)
        done *= 2
    _pick_to(largest, buffer[:n], buffer[length - done : length - done + n], out)


@njit(nogil=True)
def _pick_to(largest, a, b, out):
    if largest:
        for i in range(out.shape[0]):
            out[i] = max(a[i], b[i])
    else:
        for i in range(out.shape[0]):
            out[i] = min(a[i], b[i])


@njit(nogil=True)
def _rims(x, width, rows, buffer):
    """Of one line: by how much samples stand out, the most nearby does, the largest opening and least closing there."""
    over, under, light, dark, high, low = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    near = 2 * width
    _slide_to(False, x, 0, width, buffer, light)
    _slide_to(True, light, width, 0, buffer, over)
    _slide_to(True, x, 0, width, buffer, dark)
    _slide_to(False, dark, width, 0, buffer, under)
    _slide_to(True, over, near, near, buffer, high)
    _slide_to(False, under, near, near, buffer, low)
    for i in range(x.shape[0]):
        over[i] = wide(x[i] - over[i])
        under[i] = wide(under[i] - x[i])
    _slide_to(True, over, near, near, buffer, light)
    _slide_to(True, under, near, near, buffer, dark)
    return over, under, light, dark, high, low


@njit(parallel=True, cache=True, nogil=True)
def _dehalo(frames, out, start, width, limit, part, amount):
    height, n = frames.shape[1:]
    strips = (height + ROWS - 1) // ROWS
    kind = np.full(1, limit)
    for task in prange(out.shape[0] * strips):
        t, top = task // strips, task % strips * ROWS
        rows, buffer = np.empty((7, n), kind.dtype), np.empty(n + 4 * width, kind.dtype)
        x = rows[6]
        for y in range(top, min(top + ROWS, height)):
            source, to = frames[start + t, y], out[t, y]
            for i in range(n):
                x[i] = wide(source[i])
            over, under, light, dark, high, low = _rims(x, width, rows, buffer)
            for i in range(n):
                step = wide(high[i] - low[i])
                most = _scaled(part, step, 0)
                change = wide(min(min(under[i], light[i]), most) - min(min(over[i], dark[i]), most))
                to[i] = wide(x[i] + _scaled(amount, change, 128)) if step > limit else source[i]


@njit(cache=True, nogil=True)
def _count_rims(frame, width, limit, counts):
    n = frame.shape[1]
    kind = np.full(1, limit)
    rows, buffer = np.empty((7, n), kind.dtype), np.empty(n + 4 * width, kind.dtype)
    x = rows[6]
    for y in range(0, frame.shape[0], EVERY):
        for i in range(n):
            x[i] = wide(frame[y, i])
        over, under, light, dark, high, low = _rims(x, width, rows, buffer)
        for i in range(n):
            step = wide(high[i] - low[i])
            if step > limit:
                share = np.float64(min(light[i], dark[i])) / np.float64(step)
                counts[min(np.int64(share * BINS), BINS - 1)] += 1


def halo_share(frames: np.ndarray, width: int = 4, bits: int = 0) -> np.ndarray:
    """How high the rims beside the steps of each frame are, as a part of the step; 0 where nothing was sharpened.

    frames : `(T, H, W)` uint8, uint16 or float32, luma, NumPy.  Every eighth line is looked at.
    Returns float64 `(T,)`, 0 to 0.5 in steps of 0.02, for the knob `share` of `dehalo`.

    Detail beside steps passes for rims on many of them, sharpening makes them on nearly all.  So the lower quartile
    counts, over all samples near a step of more than 32 levels: on clean pictures it was 0 to 0.06, which is taken off,
    and half of what the rims are.
    """
    limit = _facts(STEEP, 0, frames.dtype, depth(frames, bits))[0]
    found = np.zeros(len(frames))
    for t, frame in enumerate(frames):
        counts = np.zeros(BINS, np.int64)
        _count_rims(frame, width, limit, counts)
        if counts.sum() >= FEWEST:
            quartile = int(np.searchsorted(np.cumsum(counts), counts.sum() / 4)) / BINS
            found[t] = min(max(np.floor(2 * (quartile - NATURAL) * 50 + 0.5) / 50, 0.0), 0.5)
    return found


def _scaled(share: Any, v: Any, half: int) -> Any:
    """A share of v: shares of integers are in 256ths."""


@overload(_scaled)
def _(share, v, half):
    if isinstance(v, types.Float):
        return lambda share, v, half: np.float32(share * v)
    return lambda share, v, half: np.int32((share * v + np.int32(half)) >> np.int32(8))


@dehalo.cpu
def _(frames, out, start, width, edge, share, strength, bits):
    limit, amount = _facts(edge, strength, frames.dtype, bits)
    _dehalo(frames, out, start, width, limit, _facts(0, share, frames.dtype, bits)[1], amount)


def _plan(arrays: list[Any], out: Any, start: int, width: int, edge: float, share: float, strength: float, bits: int):
    frames, i = arrays[0], np.int32
    count, height, n = out.shape
    smallest, largest, opened, closed = (empty_like_backend(out, out.shape, out.dtype) for _ in range(4))
    limit, amount = _facts(edge, strength, frames.dtype, bits)
    part = _facts(0, share, frames.dtype, bits)[1]
    grid, block, size = (-(-n // 128), height, count), (128, 1, 1), (i(start), i(height), i(n), i(width))
    return [
        Launch("extremes", grid, block, (frames, smallest, largest, *size)),
        Launch("open_close", grid, block, (smallest, largest, opened, closed, *size[1:])),
        Launch("limit_rims", grid, block, (frames, opened, closed, out, *size, limit, part, amount)),
    ]


dehalo.cuda("halo.cu", _plan)
