"""The Numba bodies of kernels.colour: line by line, in vectors.

8-bit frames are computed in int16 (`(sample - 128) << 8`, and the products' upper halves), all others in float32;
`weigh` of kernels.simd does either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.simd import (
    LANES,
    after,
    keep,
    load,
    pointer,
    scaled,
    splat,
    store,
    store_levels,
    store_pairs,
    take,
    weigh,
)

ONE = 1 << 14  # the weight 1 of a chroma filter in int16; what it gives is SHORT bits below a line's scale
SHORT = np.int16(2)
UP = np.int16(8)  # the power of two that a level is worth in a line
PAD = 8  # samples repeated on both sides of a line, as far as any chroma filter reaches
SLOTS = 16  # RGB lines kept, more than any chroma filter is high


def filter_weights(weights: np.ndarray, fixed: bool) -> np.ndarray:
    """Weights of a chroma filter, which sum to 1, for `filter_lines`."""
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
def vectors(size):
    return (size + LANES - 1) // LANES * LANES


# What follows works on pointers (see kernels.simd); lines have room for whole vectors.


@njit(nogil=True)
def take_line(source, size, line, room):
    """Samples in the scale of the arithmetic; `room` is for one vector of samples."""
    for x in range(0, size - LANES + 1, LANES):
        take(source, x, line, x, UP)
    if size >= LANES:  # the last ones, some of them twice
        take(source, size - LANES, line, size - LANES, UP)
    else:
        for x in range(size):
            room[x] = source[x]
        take(room, 0, line, 0, UP)


@njit(nogil=True)
def filter_lines(source, places, weights, count, none, size, target):
    """The weighted sum of what begins at each of the `places` of `source`; the weights sum to 1."""
    for x in range(0, size, LANES):
        total = none
        for k in range(count):
            total = weigh(total, load(source, places[k] + x), splat(weights[k]))
        store(target, x, scaled(total, SHORT))


@njit(nogil=True)
def repeat_edges(line, size, room):
    """The padding of a line of `size` samples that begin at PAD, up to `room` in all."""
    low, high = line[PAD], line[PAD + size - 1]
    for x in range(PAD):
        line[x] = low
    for x in range(PAD + size, room):
        line[x] = high


@njit(nogil=True)
def _mix(a, b, c, weights, offset, power, peak, room, out, size):
    """One line of the result: three lines, weighted, as levels."""
    p, q, r, none = splat(weights[0]), splat(weights[1]), splat(weights[2]), splat(offset)
    for i in range(0, size, LANES):
        x = i if i + LANES <= size else max(size - LANES, 0)  # the last ones, some of them twice
        total = weigh(weigh(weigh(none, load(a, x), p), load(b, x), q), load(c, x), r)
        if size >= LANES:
            store_levels(out, x, total, power, peak)
        else:
            store_levels(room, 0, total, power, peak)
            for k in range(size):
                out[k] = room[k]


@njit(nogil=True)
def spread(line, step, first, ways, none, size, pair, parts, wide):
    """A padded chroma line on luma's grid, `step` (1, 2 or 4) samples for each; `pair` is room for two places."""
    for p in range(step):
        pair[0], pair[1] = PAD + first[p], PAD + first[p] + 1
        filter_lines(line, pair, after(ways, 2 * p), 2, none, size, after(parts, p * size) if step > 1 else wide)
    if step == 2:
        for x in range(0, size, LANES):
            store_pairs(wide, 2 * x, load(parts, x), load(parts, size + x))
    if step == 4:
        even, odd = after(parts, 4 * size), after(parts, 6 * size)
        for x in range(0, size, LANES):
            store_pairs(even, 2 * x, load(parts, x), load(parts, 2 * size + x))
            store_pairs(odd, 2 * x, load(parts, size + x), load(parts, 3 * size + x))
        for x in range(0, 2 * size, LANES):
            store_pairs(wide, 2 * x, load(even, x), load(odd, x))


@njit(nogil=True)
def lift_row(u, v, t, row, have, lift, lines, line, wide, room, parts, pair):
    """Brings both chroma planes of frame `t` to luma's row `row` in `wide`; returns the upper line it was made of.

    have  : the upper one of the two lines of each plane that lie in `lines`, -2 for none.
    lines : room for four lines of chroma in whole vectors; `line`, `wide`, `room`, `parts`, `pair` as in `_wide_frame`.
    """
    rows, row_ways, first, ways = lift
    last, columns = u.shape[1] - 1, u.shape[2]
    step, size, none = first.shape[0], vectors(columns), splat(ways.dtype.type(0))
    upper = rows[row]
    above, below = max(upper, 0), min(upper + 1, last)
    for c in range(2):
        plane, two = after(pointer(u if c == 0 else v), t * (last + 1) * columns), after(lines, 2 * c * size)
        if have != upper:
            take_line(after(plane, above * columns), columns, two, room)
            take_line(after(plane, below * columns), columns, after(two, size), room)
        pair[0], pair[1] = 0, size
        filter_lines(two, pair, after(pointer(row_ways), 2 * row), 2, none, size, after(line, PAD))
        repeat_edges(line, columns, size + 2 * LANES)
        to = after(wide, c * step * size)
        spread(line, step, pointer(first), pointer(ways), none, size, pair, parts, to)
    return upper


@njit(nogil=True)
def _wide_frame(y, u, v, t, lift, change, out, n, planes):
    """`planes` planes `(H, W)` of frame `n` of `out`: mixtures of luma and of chroma brought to its grid."""
    weights_a, offset, power, peak = change
    height, width = y.shape[1:]
    step, size, kind = lift[2].shape[0], vectors(u.shape[2]), lift[3].dtype
    luma_a, wide_a = np.empty(vectors(width), kind), np.empty(2 * step * size, kind)
    lines_a, line_a = np.zeros(4 * size, kind), np.empty(size + 2 * LANES, kind)
    parts_a, room_a, pair_a = np.empty(8 * size, kind), np.empty(LANES, out.dtype), np.empty(2, np.intp)
    luma, wide, lines, line = pointer(luma_a), pointer(wide_a), pointer(lines_a), pointer(line_a)
    parts, room, pair, weights = pointer(parts_a), pointer(room_a), pointer(pair_a), pointer(weights_a)
    target, have = pointer(out), -2
    for row in range(height):
        take_line(after(pointer(y), (t * height + row) * width), width, luma, room)
        have = lift_row(u, v, t, row, have, lift, lines, line, wide, room, parts, pair)
        for c in range(planes):
            to = after(target, ((n * planes + c) * height + row) * width)
            _mix(luma, wide, after(wide, step * size), after(weights, 3 * c), offset[c], power, peak, room, to, width)
    keep(luma_a, wide_a, lines_a, line_a, parts_a, room_a, pair_a, weights_a, lift, y, u, v, out)


@njit(nogil=True)
def _chroma_frame(u, v, t, change, to_u, to_v, n):
    """Chroma from chroma alone."""
    weights_a, offset, power, peak = change
    rows, columns = u.shape[1:]
    a_a, b_a = np.empty(vectors(columns), weights_a.dtype), np.empty(vectors(columns), weights_a.dtype)
    room_a = np.empty(LANES, to_u.dtype)
    a, b, room, weights = pointer(a_a), pointer(b_a), pointer(room_a), pointer(weights_a)
    for row in range(rows):
        at, to = (t * rows + row) * columns, (n * rows + row) * columns
        take_line(after(pointer(u), at), columns, a, room)
        take_line(after(pointer(v), at), columns, b, room)
        _mix(a, a, b, after(weights, 3), offset[1], power, peak, room, after(pointer(to_u), to), columns)
        _mix(a, a, b, after(weights, 6), offset[2], power, peak, room, after(pointer(to_v), to), columns)
    keep(a_a, b_a, room_a, weights_a, u, v, to_u, to_v)


@njit(nogil=True)
def _narrow_frame(rgb, t, drop, change, to_y, to_u, to_v, n):
    """Luma, and chroma from RGB that was filtered down and across."""
    step_x, step_y, first_x, across_a, first_y, down_a = drop
    weights_a, offset, power, peak = change
    (height, width), (rows, columns) = to_y.shape[1:], to_u.shape[1:]
    size, thin_size, kind = vectors(width), vectors(columns), weights_a.dtype
    reach, high, room_length = across_a.shape[0], down_a.shape[0], size + 2 * LANES
    ring_a, line_a, full_a = np.zeros(3 * SLOTS * size, kind), np.empty(room_length, kind), np.empty(size, kind)
    thin_a, room_a = np.zeros(3 * thin_size, kind), np.empty(LANES, to_y.dtype)
    beside_a, above_a = PAD + first_x + np.arange(reach), np.empty(high, np.intp)
    ring, line, full, thin, room = pointer(ring_a), pointer(line_a), pointer(full_a), pointer(thin_a), pointer(room_a)
    beside, above, across, down = pointer(beside_a), pointer(above_a), pointer(across_a), pointer(down_a)
    weights, none = pointer(weights_a), splat(kind.type(0))
    done = 0  # chroma lines made
    for row in range(height):
        at = row % SLOTS * size
        for c in range(3):
            source = after(pointer(rgb), ((t * 3 + c) * height + row) * width)
            take_line(source, width, after(ring, c * SLOTS * size + at), room)
        r, g, b = after(ring, at), after(ring, SLOTS * size + at), after(ring, 2 * SLOTS * size + at)
        to = after(pointer(to_y), (n * height + row) * width)
        _mix(r, g, b, weights, offset[0], power, peak, room, to, width)
        while done < rows and min(step_y * done + first_y + high - 1, height - 1) <= row:
            for c in range(3):
                for k in range(high):
                    above[k] = min(max(step_y * done + first_y + k, 0), height - 1) % SLOTS * size
                filter_lines(after(ring, c * SLOTS * size), above, down, high, none, size, after(line, PAD))
                repeat_edges(line, width, room_length)
                filter_lines(line, beside, across, reach, none, size, full)
                for x in range(columns):
                    thin[c * thin_size + x] = full[step_x * x]
            g, b = after(thin, thin_size), after(thin, 2 * thin_size)
            at = (n * rows + done) * columns
            for c in range(1, 3):
                to = after(pointer(to_u if c == 1 else to_v), at)
                _mix(thin, g, b, after(weights, 3 * c), offset[c], power, peak, room, to, columns)
            done += 1
    keep(ring_a, line_a, full_a, thin_a, room_a, beside_a, above_a, across_a, down_a, weights_a, rgb, to_y, to_u, to_v)


@njit(parallel=True, cache=True, nogil=True)
def to_rgb(y, u, v, start, lift, change, out):
    for n in prange(out.shape[0]):
        _wide_frame(y, u, v, start + n, lift, change, out, n, 3)


@njit(parallel=True, cache=True, nogil=True)
def to_yuv(rgb, start, drop, change, to_y, to_u, to_v):
    for n in prange(to_y.shape[0]):
        _narrow_frame(rgb, start + n, drop, change, to_y, to_u, to_v, n)


@njit(parallel=True, cache=True, nogil=True)
def to_other(y, u, v, start, lift, change, to_y, to_u, to_v):
    for n in prange(to_y.shape[0]):
        _wide_frame(y, u, v, start + n, lift, change, to_y, n, 1)
        _chroma_frame(u, v, start + n, change, to_u, to_v, n)
