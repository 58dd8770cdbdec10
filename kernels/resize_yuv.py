"""Planar YUV at another size and in another colour matrix, with nothing rounded in between.

The formulas are those of `kernels.colour` (rematrix) and `kernels.resize`.  One after the other they round 8-bit planes
twice, which costs a hundredth of a decibel, and pass over the frame once more.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from kernels.arrays import beside, depth, empty_like_backend
from kernels.colour import (
    Matrix,
    Range,
    Siting,
    Subsampling,
    chroma_shape,
    lift_facts,
    lift_scalars,
    lifted,
    matrix_change,
    planes_of,
)
from kernels.colour_lines import lift_row, mixing, take_line, vectors
from kernels.declare import Bits, Halo, Launch, kernel
from kernels.resize import (
    FILTERS,
    UP,
    Filter,
    Offset,
    Size,
    axes,
    blocks_of,
    few_taps,
    matrix,
    resize_block,
    taps,
    wanted_size,
)
from kernels.simd import LANES, after, keep, load, pointer, scaled, splat, store, weigh


def _outputs(shapes, dtype, knobs):
    luma = (shapes[0][0], *wanted_size(shapes[0], knobs["width"], knobs["height"]))
    chroma = chroma_shape(luma, knobs["target_subsampling"])
    return [(luma, dtype), (chroma, dtype), (chroma, dtype)]


@kernel(
    halo=lambda filter, **knobs: Halo(pixels=2 + FILTERS[filter][1]), tolerance=1, inputs=planes_of, outputs=_outputs
)
def resize_yuv(
    y, u, v,
    width: Size = 0,
    height: Size = 0,
    filter: Filter = "lanczos3",
    chroma_left: Offset = 0.0,
    chroma_top: Offset = 0.0,
    source: Matrix = "bt601",
    target: Matrix = "bt709",
    range: Range = "limited",
    subsampling: Subsampling = "420",
    target_subsampling: Subsampling = "420",
    siting: Siting = "left",
    bits: Bits = 0,
):  # fmt: skip
    """Shows planar YUV at another size, its colours kept in another colour matrix.

    As `rematrix` and then `resize`, but what stands between the two is not rounded; integers are limited to
    `0 .. 2**bits - 1` there and in the end.

    y, u, v       : luma `(T, H, W)` and chroma of the layout `subsampling`, sited as `siting` says; uint8, uint16 or
                    float32.
    width, height : of the target's luma; 0 is twice the source's.
    chroma_left, chroma_top : `left` and `top` of `resize` for chroma; `chroma_offset` gives them.
    Returns `(y, u, v)` at the target's size in the layout `target_subsampling`, same dtype.
    """
    bits, real = depth(y, bits), y.dtype.kind == "f"
    high, wide = wanted_size(y.shape, width, height)
    change, offset = matrix_change(source, target, range, "same", bits)
    wide_chroma = (lifted(p, *y.shape[1:], subsampling, siting) for p in (u, v))
    luma = np.einsum("c,ctyx->tyx", change[0], np.stack([y.astype(np.float64), *wide_chroma])) + offset[0]
    chroma = np.einsum("rc,ctyx->rtyx", change[1:, 1:], np.stack([u, v]).astype(np.float64))
    made, small = [], chroma_shape((1, high, wide), target_subsampling)[1:]
    chroma = [(plane + o, small, chroma_left, chroma_top) for plane, o in zip(chroma, offset[1:], strict=True)]
    for plane, shape, left, top in ((luma, (high, wide), 0.0, 0.0), *chroma):
        plane = plane if real else np.clip(plane, 0, (1 << bits) - 1)
        down = matrix(plane.shape[1], shape[0], filter, top)
        plane = down @ (plane @ matrix(plane.shape[2], shape[1], filter, left).T)
        made.append(plane if real else np.clip(np.floor(plane + 0.5), 0, (1 << bits) - 1))
    return tuple(plane.astype(y.dtype) for plane in made)


# The Numba body.  A task makes a block of rows of one frame: the source's rows that it needs are mixed into planes in
# the scale of the resampling (int16 for 8-bit frames, else float32), which stay in the cache, and enlarged from there.


@njit(nogil=True)
def _mix(a, b, c, weights, offset, up, limits, line, to, size):
    """One line of the mixture, limited; `line` is room for whole vectors."""
    p, q, r, none = splat(weights[0]), splat(weights[1]), splat(weights[2]), splat(offset)
    for x in range(0, size, LANES):
        total = weigh(weigh(weigh(none, load(a, x), p), load(b, x), q), load(c, x), r)
        store(line, x, scaled(total, up))
    low, high = limits[0], limits[1]
    for x in range(size):
        to[x] = min(max(line[x], low), high)


@njit(nogil=True)
def _mixed_luma(y, u, v, t, lift, change, limits, low, high, mixed):
    """Rows `low` to `high` of frame `t`: luma mixed with chroma brought to its grid."""
    weights_a, offset, power, _ = change
    height, width = y.shape[1:]
    step, size, kind = lift[2].shape[0], vectors(u.shape[2]), lift[3].dtype
    luma_a, wide_a = np.empty(vectors(width), kind), np.empty(2 * step * size, kind)
    lines_a, line_a = np.zeros(4 * size, kind), np.empty(size + 2 * LANES, kind)
    parts_a, room_a, pair_a = np.empty(8 * size, kind), np.empty(LANES, y.dtype), np.empty(2, np.intp)
    made_a = np.empty(vectors(width), kind)
    luma, wide, lines, line = pointer(luma_a), pointer(wide_a), pointer(lines_a), pointer(line_a)
    parts, room, pair, made = pointer(parts_a), pointer(room_a), pointer(pair_a), pointer(made_a)
    weights, target, have = pointer(weights_a), pointer(mixed), -2
    for row in range(low, high):
        take_line(after(pointer(y), (t * height + row) * width), width, luma, room)
        have = lift_row(u, v, t, row, have, lift, lines, line, wide, room, parts, pair)
        to, up = after(target, row * width), UP - power
        _mix(luma, wide, after(wide, step * size), weights, offset[0], up, limits, made, to, width)
    keep(luma_a, wide_a, lines_a, line_a, parts_a, room_a, pair_a, made_a, weights_a, lift, y, u, v, mixed)


@njit(nogil=True)
def _mixed_chroma(u, v, t, change, limits, low, high, c, mixed):
    """Rows `low` to `high` of frame `t`: the chroma plane `c` (1 or 2) of the other matrix."""
    weights_a, offset, power, _ = change
    rows, columns = u.shape[1:]
    size, kind = vectors(columns), weights_a.dtype
    a_a, b_a, made_a = np.empty(size, kind), np.empty(size, kind), np.empty(size, kind)
    room_a = np.empty(LANES, u.dtype)
    a, b, made, room, weights = pointer(a_a), pointer(b_a), pointer(made_a), pointer(room_a), pointer(weights_a)
    for row in range(low, high):
        at = (t * rows + row) * columns
        take_line(after(pointer(u), at), columns, a, room)
        take_line(after(pointer(v), at), columns, b, room)
        to = after(pointer(mixed), row * columns)
        _mix(a, a, b, after(weights, 3 * c), offset[c], UP - power, limits, made, to, columns)
    keep(a_a, b_a, made_a, room_a, weights_a, u, v, mixed)


@njit(nogil=True)
def _reached(down, low, high, height):
    """The source's rows that target rows `low` to `high` are made of."""
    first, count = down[0], down[1].shape[1]
    return min(max(first[low], 0), height - 1), min(max(first[high - 1] + count, 1), height)


@njit(parallel=True, cache=True, nogil=True)
def _resize_yuv(y, u, v, start, lift, change, limits, luma, chroma, peak, blocks, to_y, to_u, to_v):
    (how, across, down), (how_c, across_c, down_c) = luma, chroma
    for task in prange(to_y.shape[0] * blocks):
        n, block = task // blocks, task % blocks
        t, kind = start + n, change[0].dtype
        high, high_c = to_y.shape[1], to_u.shape[1]
        low, end = block * high // blocks, (block + 1) * high // blocks
        mixed = np.empty((1, *y.shape[1:]), kind)
        first, last = _reached(down, low, end, y.shape[1])
        _mixed_luma(y, u, v, t, lift, change, limits, first, last, mixed)
        resize_block(mixed, 0, to_y, n, low, end, how, across, down, peak)
        low, end = block * high_c // blocks, (block + 1) * high_c // blocks
        if low < end:
            mixed = np.empty((1, *u.shape[1:]), kind)
            first, last = _reached(down_c, low, end, u.shape[1])
            _mixed_chroma(u, v, t, change, limits, first, last, 1, mixed)
            resize_block(mixed, 0, to_u, n, low, end, how_c, across_c, down_c, peak)
            _mixed_chroma(u, v, t, change, limits, first, last, 2, mixed)
            resize_block(mixed, 0, to_v, n, low, end, how_c, across_c, down_c, peak)


@resize_yuv.cpu
def _(y, u, v, out, start, width, height, filter, chroma_left, chroma_top, source, target, range, subsampling,
      target_subsampling, siting, bits):  # fmt: skip
    luma = y.shape[1:], out[0].shape[1:], filter, 0.0, 0.0
    chroma = u.shape[1:], out[1].shape[1:], filter, chroma_left, chroma_top
    real, peak = y.dtype.kind == "f", np.float32((1 << bits) - 1)
    fixed = y.dtype == np.uint8 and few_taps(*luma) and few_taps(*chroma)
    change, offset = matrix_change(source, target, range, "same", bits)
    change = mixing(change, offset - 0.5 * fixed, fixed, True, bits)
    if fixed:
        limits = np.array([-128 << UP, 127 << UP], np.int16)
    else:
        limits = np.array([-np.inf, np.inf] if real else [0, peak], np.float32)
    lift = lift_facts(*y.shape[1:], subsampling, siting, fixed)
    both = axes(*luma, fixed, real), axes(*chroma, fixed, real)
    _resize_yuv(y, u, v, start, lift, change, limits, *both, peak, blocks_of(len(out[0]), out[0].shape[1]), *out)


def _plan(arrays, out, start, width, height, filter, chroma_left, chroma_top, source, target, range, subsampling,
          target_subsampling, siting, bits) -> list[Launch]:  # fmt: skip
    i, (y, u, _), count = np.int32, arrays, out[0].shape[0]
    peak = i((1 << bits) - 1)
    mixed = [empty_like_backend(y, (count, *p.shape[1:]), np.float32) for p in arrays]
    change, offset = matrix_change(source, target, range, "same", bits)
    scalars = [np.float32(x) for x in np.column_stack([change, offset]).ravel()]
    sizes = i(start), i(y.shape[1]), i(y.shape[2]), i(u.shape[1]), i(u.shape[2]), peak
    facts = (*sizes, *lift_scalars(subsampling, siting), *scalars)
    launches = [Launch("mix", _grid(mixed[0].shape), (128, 1, 1), (*arrays, *mixed, *facts))]
    lefts, tops = (0.0, chroma_left, chroma_left), (0.0, chroma_top, chroma_top)
    for plane, to, left, top in zip(mixed, out, lefts, tops, strict=True):
        (rows, columns), (high, wide) = plane.shape[1:], to.shape[1:]
        thin = empty_like_backend(y, (count, rows, wide), np.float32)
        tables = []
        for length, size, edge in ((columns, wide, left), (rows, high, top)):
            first, weights = taps(length, size, filter, edge)
            places, shares = beside(y, first.astype(np.int32)), beside(y, weights.astype(np.float32))
            tables.append((places, shares, i(weights.shape[1])))
        launches += [
            Launch("along", _grid(thin.shape), (128, 1, 1), (plane, thin, i(columns), i(wide), *tables[0])),
            Launch("down", _grid(to.shape), (128, 1, 1), (thin, to, i(rows), i(wide), *tables[1], peak)),
        ]
    return launches


def _grid(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return -(-shape[2] // 128), shape[1], shape[0]


resize_yuv.cuda("resize_yuv.cu", _plan)
