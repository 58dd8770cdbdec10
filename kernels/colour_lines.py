"""The Numba bodies of kernels.colour: line by line, in vectors.

8-bit frames are computed in int16 (`(sample - 128) << 8`, and the products' upper halves), all others in float32;
`weigh` of kernels.simd does either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.simd import LANES, load, scaled, splat, store, store_levels, store_pairs, weigh

ONE = 1 << 14  # the weight 1 of a chroma filter in int16; what it gives is SHORT bits below a line's scale
SHORT = np.int16(2)
PAD = 8  # samples repeated on both sides of a line, as far as any chroma filter reaches
SLOTS = 16  # RGB lines kept, more than any chroma filter is high


def filter_weights(weights: np.ndarray, fixed: bool) -> np.ndarray:
    """Weights of a chroma filter, which sum to 1, for `_filter`."""
    return np.rint(weights * ONE).astype(np.int16) if fixed else weights.astype(np.float32)


def mixing(change: np.ndarray, offset: np.ndarray, fixed: bool, real: bool, bits: int) -> tuple[Any, ...]:
    """`change @ samples + offset` for `_mix`: weights, offsets with the rounding, the power of two that a level is
    worth, the peak."""
    peak = np.float32((1 << bits) - 1)
    if not fixed:
        return change.astype(np.float32), (offset + (0.0 if real else 0.5)).astype(np.float32), np.int16(0), peak
    power = 7 - int(np.clip(np.ceil(np.log2(np.abs(change).max() / 0.999)), 0, 2))
    weights = np.rint(change * (1 << (power + 8)))
    # Half a level for the rounding, and half a unit for each product, because they are rounded down.
    start = (offset + 128 * change.sum(1) - 128 + 0.5) * (1 << power) + np.count_nonzero(weights, axis=1) / 2
    return weights.astype(np.int16), np.rint(start).astype(np.int16), np.int16(power), peak


@njit(nogil=True)
def _vectors(size):
    return (size + LANES - 1) // LANES * LANES


@njit(nogil=True)
def _take(src, fixed, to):
    """Samples in the scale of the arithmetic."""
    if fixed:
        for x in range(src.shape[0]):
            to[x] = np.int16(np.int16(src[x]) - np.int16(128)) << np.int16(8)
    else:
        for x in range(src.shape[0]):
            to[x] = src[x]


@njit(nogil=True)
def _filter(source, places, weights, target):
    """The weighted sum of what begins at each of the flat `places` of `source`; the weights sum to 1."""
    none = splat(weights.dtype.type(0))
    for x in range(0, target.shape[0], LANES):
        total = none
        for k in range(weights.shape[0]):
            total = weigh(total, load(source, places[k] + x), splat(weights[k]))
        store(target, x, scaled(total, SHORT))


@njit(nogil=True)
def _repeat_edges(line, size):
    """The padding of a line of `size` samples that begin at PAD."""
    line[:PAD] = line[PAD]
    line[PAD + size :] = line[PAD + size - 1]


@njit(nogil=True)
def _mix(a, b, c, weights, offset, power, peak, spare, out):
    """One line of the result: three lines, weighted, as levels."""
    size = out.shape[0]
    p, q, r, none = splat(weights[0]), splat(weights[1]), splat(weights[2]), splat(offset)
    for x in range(0, size - LANES + 1, LANES):
        total = weigh(weigh(weigh(none, load(a, x), p), load(b, x), q), load(c, x), r)
        store_levels(out, x, total, power, peak)
    x = size // LANES * LANES
    if x < size:
        total = weigh(weigh(weigh(none, load(a, x), p), load(b, x), q), load(c, x), r)
        store_levels(spare, 0, total, power, peak)
        out[x:] = spare[: size - x]


@njit(nogil=True)
def _spread(line, places, ways, parts, wide):
    """A padded chroma line on luma's grid, 1, 2 or 4 samples for each of its own; `places` is room for two."""
    step, size = len(places) - 2, parts.shape[1] // 2
    for p in range(step):
        places[step], places[step + 1] = places[p], places[p] + 1
        _filter(line, places[step:], ways[p], parts[p, :size] if step > 1 else wide)
    if step == 2:
        for x in range(0, size, LANES):
            store_pairs(wide, 2 * x, load(parts[0], x), load(parts[1], x))
    if step == 4:
        for x in range(0, size, LANES):
            store_pairs(parts[4], 2 * x, load(parts[0], x), load(parts[2], x))
            store_pairs(parts[5], 2 * x, load(parts[1], x), load(parts[3], x))
        for x in range(0, 2 * size, LANES):
            store_pairs(wide, 2 * x, load(parts[4], x), load(parts[5], x))


@njit(nogil=True)
def _wide_frame(y, u, v, fixed, lift, change, out):
    """`out` `(planes, H, W)`: mixtures of luma and of chroma brought to its grid."""
    rows, row_ways, first, ways = lift
    weights, offset, power, peak = change
    (height, width), (last, columns) = y.shape, (u.shape[0] - 1, u.shape[1])
    step, size, kind = first.shape[0], _vectors(columns), ways.dtype
    luma, wide = np.empty(_vectors(width), kind), np.empty((2, step * size), kind)
    taken, line = np.zeros((2, 2, size), kind), np.empty(size + 2 * LANES, kind)
    parts, spare = np.empty((6, 2 * size), kind), np.empty(LANES, out.dtype)
    places = np.zeros(step + 2, np.intp)
    places[:step] = PAD + first
    have = -2  # the upper of the two chroma lines in `taken`
    for row in range(height):
        _take(y[row], fixed, luma)
        for c in range(2):
            plane = u if c == 0 else v
            if have != rows[row]:
                _take(plane[max(rows[row], 0)], fixed, taken[c, 0])
                _take(plane[min(rows[row] + 1, last)], fixed, taken[c, 1])
            places[step], places[step + 1] = 0, size
            _filter(taken[c], places[step:], row_ways[row], line[PAD : PAD + size])
            _repeat_edges(line, columns)
            _spread(line, places, ways, parts, wide[c])
        have = rows[row]
        for c in range(out.shape[0]):
            _mix(luma, wide[0], wide[1], weights[c], offset[c], power, peak, spare, out[c, row])


@njit(nogil=True)
def _chroma_frame(u, v, fixed, change, to_u, to_v):
    """Chroma from chroma alone."""
    weights, offset, power, peak = change
    size = _vectors(u.shape[1])
    a, b, spare = np.empty(size, weights.dtype), np.empty(size, weights.dtype), np.empty(LANES, to_u.dtype)
    for row in range(u.shape[0]):
        _take(u[row], fixed, a)
        _take(v[row], fixed, b)
        _mix(a, a, b, weights[1], offset[1], power, peak, spare, to_u[row])
        _mix(a, a, b, weights[2], offset[2], power, peak, spare, to_v[row])


@njit(nogil=True)
def _narrow_frame(rgb, fixed, drop, change, to_y, to_u, to_v):
    """Luma, and chroma from RGB that was filtered down and across."""
    step_x, step_y, first_x, across, first_y, down = drop
    weights, offset, power, peak = change
    (height, width), (rows, columns) = to_y.shape, to_u.shape
    size, kind = _vectors(width), weights.dtype
    ring, line, full = np.zeros((3, SLOTS, size), kind), np.empty(size + 2 * LANES, kind), np.empty(size, kind)
    thin, spare = np.zeros((3, _vectors(columns)), kind), np.empty(LANES, to_y.dtype)
    beside, above = PAD + first_x + np.arange(across.shape[0]), np.empty(down.shape[0], np.intp)
    done = 0  # chroma lines made
    for row in range(height):
        slot = row % SLOTS
        for c in range(3):
            _take(rgb[c, row], fixed, ring[c, slot])
        _mix(ring[0, slot], ring[1, slot], ring[2, slot], weights[0], offset[0], power, peak, spare, to_y[row])
        while done < rows and min(step_y * done + first_y + down.shape[0] - 1, height - 1) <= row:
            for c in range(3):
                for k in range(down.shape[0]):
                    above[k] = min(max(step_y * done + first_y + k, 0), height - 1) % SLOTS * size
                _filter(ring[c], above, down, line[PAD : PAD + size])
                _repeat_edges(line, width)
                _filter(line, beside, across, full)
                for x in range(columns):
                    thin[c, x] = full[step_x * x]
            _mix(thin[0], thin[1], thin[2], weights[1], offset[1], power, peak, spare, to_u[done])
            _mix(thin[0], thin[1], thin[2], weights[2], offset[2], power, peak, spare, to_v[done])
            done += 1


@njit(parallel=True, cache=True, nogil=True)
def to_rgb(y, u, v, start, fixed, lift, change, out):
    for n in prange(out.shape[0]):
        _wide_frame(y[start + n], u[start + n], v[start + n], fixed, lift, change, out[n])


@njit(parallel=True, cache=True, nogil=True)
def to_yuv(rgb, start, fixed, drop, change, to_y, to_u, to_v):
    for n in prange(to_y.shape[0]):
        _narrow_frame(rgb[start + n], fixed, drop, change, to_y[n], to_u[n], to_v[n])


@njit(parallel=True, cache=True, nogil=True)
def to_other(y, u, v, start, fixed, lift, change, to_y, to_u, to_v):
    for n in prange(to_y.shape[0]):
        t = start + n
        _wide_frame(y[t], u[t], v[t], fixed, lift, change, to_y[n : n + 1])
        _chroma_frame(u[t], v[t], fixed, change, to_u[n], to_v[n])
