"""Planes at another size: separable polyphase resampling, up or down by any ratio, at an exact phase.

Filters, by their published formulas: Lanczos windowed sinc (Duchon 1979), the two-parameter cubics of Mitchell and
Netravali (1988; "bicubic" is Keys' a = -0.5, i.e. Catmull-Rom), the cubic spline over 6 points ("spline36") and the
triangle ("bilinear").  A filter is widened by the ratio when shrinking, so that what cannot be shown is averaged.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

import numba
import numpy as np
from numba import njit, prange

from kernels.arrays import depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.simd import (
    LANES,
    TILE,
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
    transpose,
    weigh,
)

Filter = Literal["lanczos2", "lanczos3", "lanczos4", "bicubic", "mitchell", "spline36", "bilinear"]
Size = Annotated[int, Knob(0, 32768, step=1, unit="samples")]
Offset = Annotated[float, Knob(-64, 64, unit="samples", soft=(-2, 2))]


def _lanczos(lobes: int):
    return lambda d: np.where(d < lobes, np.sinc(d) * np.sinc(d / lobes), 0.0)


def _cubic(b: float, c: float):
    def weight(d):
        near = ((12 - 9 * b - 6 * c) * d**3 + (-18 + 12 * b + 6 * c) * d**2 + (6 - 2 * b)) / 6
        far = ((-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 + (-12 * b - 48 * c) * d + (8 * b + 24 * c)) / 6
        return np.where(d < 1, near, np.where(d < 2, far, 0.0))

    return weight


def _spline36(d):
    e, f = d - 1, d - 2
    near = ((13 / 11 * d - 453 / 209) * d - 3 / 209) * d + 1
    mid = ((-6 / 11 * e + 270 / 209) * e - 156 / 209) * e
    far = ((1 / 11 * f - 45 / 209) * f + 26 / 209) * f
    return np.where(d < 1, near, np.where(d < 2, mid, np.where(d < 3, far, 0.0)))


#: Weight over distance, and how far each filter reaches, in samples.
FILTERS: dict[str, tuple[Any, int]] = {
    "lanczos2": (_lanczos(2), 2),
    "lanczos3": (_lanczos(3), 3),
    "lanczos4": (_lanczos(4), 4),
    "bicubic": (_cubic(0.0, 0.5), 2),
    "mitchell": (_cubic(1 / 3, 1 / 3), 2),
    "spline36": (_spline36, 3),
    "bilinear": (lambda d: np.maximum(1 - d, 0.0), 1),
}


@lru_cache(maxsize=64)
def taps(length: int, target: int, filter: str = "lanczos3", offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """First source index (int64) and weights (float64, `(target, taps)`, rows sum to 1) of each target sample.

    Target sample x has its centre at `(x + 0.5) * length / target - 0.5 + offset` of the source.  Indices may lie
    outside the source: edge samples repeat there.
    """
    weight, reach = FILTERS[filter]
    ratio = length / target
    wide = max(1.0, ratio)
    at = np.round((np.arange(target) + 0.5) * ratio - 0.5 + offset, 9)  # equal phases stay equal
    first = np.floor(at - reach * wide).astype(np.int64) + 1
    steps = np.arange(int(np.ceil(2 * reach * wide)))
    weights = weight(np.abs(first[:, None] + steps - at[:, None]) / wide)
    weights[np.abs(weights) < 1e-12] = 0.0
    used = np.flatnonzero(weights.any(0))
    first, weights = first + used[0], weights[:, used[0] : used[-1] + 1]
    weights /= weights.sum(1, keepdims=True)
    first.flags.writeable = weights.flags.writeable = False
    return first, weights


def wanted_size(shape: tuple[int, ...], width: int, height: int) -> tuple[int, int]:
    return height or 2 * shape[1], width or 2 * shape[2]


def _outputs(shapes, dtype, knobs):
    return [((shapes[0][0], *wanted_size(shapes[0], knobs["width"], knobs["height"])), dtype)]


def _halo(filter, **knobs):
    return Halo(frames=0, pixels=FILTERS[filter][1])


@kernel(halo=_halo, outputs=_outputs, tolerance=1)
def resize(
    frames,
    width: Size = 0,
    height: Size = 0,
    filter: Filter = "lanczos3",
    left: Offset = 0.0,
    top: Offset = 0.0,
    bits: Bits = 0,
):
    """Shows each plane at another size, without moving it.

    Every target sample is the weighted mean of the source samples around its own centre: first along the lines, then
    down the columns.  The result is rounded once, half up, to `0 .. 2**bits - 1`; float32 is not limited.  Edge
    samples repeat.  The bodies may differ by one level where a value lies near the middle of two.

    frames    : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    width     : target width; 0 is twice the source's.
    height    : target height; 0 is twice the source's.
    left, top : where the target's edges lie, in source samples right of and below the source's; `chroma_offset` gives
                what chroma planes need.
    Returns `(T, height, width)`, same dtype.
    """
    high, wide = wanted_size(frames.shape, width, height)
    down, across = (
        matrix(n, target, filter, offset)
        for n, target, offset in ((frames.shape[1], high, top), (frames.shape[2], wide, left))
    )
    made = down @ (frames.astype(np.float64) @ across.T)
    if frames.dtype.kind == "f":
        return made.astype(np.float32)
    return np.clip(np.floor(made + 0.5), 0, (1 << depth(frames, bits)) - 1).astype(frames.dtype)


def matrix(length: int, target: int, filter: str, offset: float) -> np.ndarray:
    """The resampling of one axis as a `(target, length)` matrix, repeated edge samples folded in."""
    first, weights = taps(length, target, filter, offset)
    matrix = np.zeros((target, length))
    for k in range(weights.shape[1]):
        np.add.at(matrix, (np.arange(target), np.clip(first + k, 0, length - 1)), weights[:, k])
    return matrix


def chroma_offset(ratio: float, subsampling: int, sited: float, target_subsampling: int | None = None,
                  target_sited: float | None = None) -> float:  # fmt: skip
    """The `left` (or `top`) that keeps chroma on luma's place when a picture is resized along one axis.

    ratio       : source luma samples per target luma sample (0.5 when the picture doubles).
    subsampling : log2 of luma samples per chroma sample in the source (and in the target, unless given).
    sited       : where the first chroma sample lies, in luma samples from the first luma sample: 0 for "left" (and
                  "topleft" vertically), `(2**subsampling - 1) / 2` between the luma samples.
    """
    target_subsampling = subsampling if target_subsampling is None else target_subsampling
    target_sited = sited if target_sited is None else target_sited
    step, target_step = 1 << subsampling, 1 << target_subsampling
    # The target's first chroma sample in source luma samples, then in source chroma samples, less what
    # the centre convention already assumes.
    at = ((target_sited + 0.5) * ratio - 0.5 - sited) / step
    return at - (0.5 * ratio * target_step / step - 0.5)


# The Numba body.  A task makes a block of target rows of one frame: source rows are resampled along the line into a
# ring of rows that stays in the cache, and each target row is the weighted sum of some of them.  8-bit frames are
# computed in int16 (`(sample - 128) << 7`, the products' upper halves), all others in float32.

FIXED_TAPS = 64  # with more of them the rounding of int16 products would add up
SAME, DOUBLE, ANY = 0, 1, 2  # along the line
UP = np.int16(7)  # the power of two that a level is worth in the ring


@lru_cache(maxsize=64)
def _tables(length: int, target: int, filter: str, offset: float, fixed: bool) -> tuple[np.ndarray, ...]:
    """`taps` as the body takes them: first index, weights and what to add for rounding, per target sample, and the
    power of two that one level is worth in int16 sums of products."""
    first, weights = taps(length, target, filter, offset)
    if 3 < weights.shape[1] < 6:  # six have bodies of their own
        weights = np.pad(weights, ((0, 0), (0, 6 - weights.shape[1])))
    if not fixed:
        return first.copy(), weights.astype(np.float32), np.zeros(target, np.float32), np.int16(0)
    power = 6 if weights.max() < 0.99 else 5
    one = 1 << (power + 9)
    whole = np.rint(weights * one)
    whole[np.arange(target), weights.argmax(1)] += one - whole.sum(1)
    # The upper half of a product is rounded down: half a unit is lost with each weight.
    bias = np.count_nonzero(whole, axis=1) // 2
    return first.copy(), whole.astype(np.int16), bias.astype(np.int16), np.int16(power)


# What follows works on pointers (see kernels.simd): `weights` has `count` of them for each target sample.


@njit(nogil=True)
def _take_line(source, width, before, length, wide, line):
    """A source row in the scale of the ring, its edge samples repeated; `wide` is room for a vector of samples."""
    for x in range(0, width - LANES + 1, LANES):
        take(source, x, line, before + x, UP)
    if width >= LANES:  # the last ones, some of them twice
        take(source, width - LANES, line, before + width - LANES, UP)
    else:
        for x in range(width):
            wide[x] = source[x]
        take(wide, 0, line, before, UP)
    low, high = line[before], line[before + width - 1]
    for x in range(before):
        line[x] = low
    for x in range(before + width, length):
        line[x] = high


@njit(nogil=True)
def _double(line, width, first, weights, count, bias, up, ring):
    """Two target samples for each of `width` source samples: the two phases side by side."""
    a, b, w = first[0], first[1], weights
    if count == 6:
        p0, p1, p2, p3, p4, p5 = splat(w[0]), splat(w[1]), splat(w[2]), splat(w[3]), splat(w[4]), splat(w[5])
        q0, q1, q2, q3, q4, q5 = splat(w[6]), splat(w[7]), splat(w[8]), splat(w[9]), splat(w[10]), splat(w[11])
        for x in range(0, width, LANES):
            e, o, ax, bx = splat(bias[0]), splat(bias[1]), a + x, b + x
            e = weigh(weigh(weigh(e, load(line, ax), p0), load(line, ax + 1), p1), load(line, ax + 2), p2)
            o = weigh(weigh(weigh(o, load(line, bx), q0), load(line, bx + 1), q1), load(line, bx + 2), q2)
            e = weigh(weigh(weigh(e, load(line, ax + 3), p3), load(line, ax + 4), p4), load(line, ax + 5), p5)
            o = weigh(weigh(weigh(o, load(line, bx + 3), q3), load(line, bx + 4), q4), load(line, bx + 5), q5)
            store_pairs(ring, 2 * x, scaled(e, up), scaled(o, up))
        return
    for x in range(0, width, LANES):
        even, odd = splat(bias[0]), splat(bias[1])
        for k in range(count):
            even = weigh(even, load(line, a + x + k), splat(w[k]))
            odd = weigh(odd, load(line, b + x + k), splat(w[count + k]))
        store_pairs(ring, 2 * x, scaled(even, up), scaled(odd, up))


@njit(nogil=True)
def _any_ratio(lines, length, first, weights, count, bias, up, upright, made, ring, pitch, columns):
    """LANES rows at once: they are turned so that a vector holds one column, summed column by column, turned back."""
    for x in range(0, length, TILE):
        for y in range(0, LANES, TILE):
            transpose(lines, y * length + x, length, upright, x * LANES + y, LANES)
    for x in range(0, columns, TILE):
        for i in range(TILE):
            column = min(x + i, columns - 1)
            total = splat(bias[column])
            at, w = after(upright, first[column] * LANES), after(weights, column * count)
            for k in range(0, count - 1, 2):
                total = weigh(total, load(at, k * LANES), splat(w[k]))
                total = weigh(total, load(at, (k + 1) * LANES), splat(w[k + 1]))
            if count % 2:
                total = weigh(total, load(at, (count - 1) * LANES), splat(w[count - 1]))
            store(made, i * LANES, scaled(total, up))
        for y in range(0, LANES, TILE):
            transpose(made, y, LANES, ring, y * pitch + x, pitch)


@njit(nogil=True)
def _sum_rows(ring, places, x, weights, count, none):
    total = none
    for k in range(count):
        total = weigh(total, load(ring, places[k] + x), splat(weights[k]))
    return total


@njit(nogil=True)
def _down(ring, places, weights, count, bias, power, peak, wide, out, columns):
    """One target row: the weighted sum of the ring's rows that begin at `places`."""
    none, p, w = splat(bias), places, weights
    if count == 6:
        r0, r1, r2, r3, r4, r5 = p[0], p[1], p[2], p[3], p[4], p[5]
        w0, w1, w2, w3, w4, w5 = splat(w[0]), splat(w[1]), splat(w[2]), splat(w[3]), splat(w[4]), splat(w[5])
        for x in range(0, columns - LANES + 1, LANES):
            total = weigh(weigh(weigh(none, load(ring, r0 + x), w0), load(ring, r1 + x), w1), load(ring, r2 + x), w2)
            total = weigh(weigh(weigh(total, load(ring, r3 + x), w3), load(ring, r4 + x), w4), load(ring, r5 + x), w5)
            store_levels(out, x, total, power, peak)
    else:
        x = 0
        while x + 2 * LANES <= columns:  # two vectors for each weight that is fetched
            total, other = none, none
            for k in range(count):
                factor, row = splat(weights[k]), places[k] + x
                total, other = weigh(total, load(ring, row), factor), weigh(other, load(ring, row + LANES), factor)
            store_levels(out, x, total, power, peak)
            store_levels(out, x + LANES, other, power, peak)
            x += 2 * LANES
        if x + LANES <= columns:
            store_levels(out, x, _sum_rows(ring, places, x, weights, count, none), power, peak)
    if columns < LANES:
        store_levels(wide, 0, _sum_rows(ring, places, 0, weights, count, none), power, peak)
        for x in range(columns):
            out[x] = wide[x]
    elif columns % LANES:  # the last ones, some of them twice
        x = columns - LANES
        store_levels(out, x, _sum_rows(ring, places, x, weights, count, none), power, peak)


@njit(nogil=True)
def resize_block(frames, t, out, n, low, high, how, across, down, peak):
    """Target rows `low` to `high` of frame `t`, as frame `n` of `out`.

    int16 frames are in the scale of the ring already, `(sample - 128) << UP`.
    """
    (height, width), (rows, columns) = frames.shape[1:], out.shape[1:]
    x_first, x_weights, x_bias, x_power, before, behind = across
    y_first, y_weights, y_bias, y_power = down
    kind, x_count, count = x_weights.dtype, x_weights.shape[1], y_weights.shape[1]
    length = (before + width + behind + TILE - 1) // TILE * TILE
    pitch = (columns + 2 * LANES - 1) // (2 * LANES) * 2 * LANES
    step = LANES if how == ANY else 1  # rows made at a time
    slots = (count + 2 * step - 2) // step * step
    ring_a, lines_a = np.empty(slots * pitch + LANES, kind), np.empty(step * length, kind)
    upright_a, made_a = np.empty(length * LANES if how == ANY else 1, kind), np.empty(TILE * LANES, kind)
    taken_a, wide_a, places_a = np.empty(LANES, frames.dtype), np.empty(LANES, out.dtype), np.empty(count, np.intp)
    # Vectors in the ring lie within cache lines.
    ring, edge = pointer(ring_a), -ring_a.ctypes.data % 64 // ring_a.itemsize
    lines, upright, made = pointer(lines_a), pointer(upright_a), pointer(made_a)
    taken, wide, places = pointer(taken_a), pointer(wide_a), pointer(places_a)
    first, along, x_start = pointer(x_first), pointer(x_weights), pointer(x_bias)
    weights, bias, up = pointer(y_weights), pointer(y_bias), UP - x_power
    source, target = after(pointer(frames), t * height * width), after(pointer(out), (n * rows + low) * columns)
    base, done = y_first[low], 0  # rows made, counted from `base`
    for y in range(low, high):
        above = y_first[y] - base
        done = max(done, above // step * step)
        while done < above + count:
            for i in range(step):
                row = min(max(base + done + i, 0), height - 1)
                _take_line(after(source, row * width), width, before, length, taken, after(lines, i * length))
            to = after(ring, edge + done % slots * pitch)
            if how == ANY:
                _any_ratio(lines, length, first, along, x_count, x_start, up, upright, made, to, pitch, columns)
            elif how == DOUBLE:
                _double(lines, width, first, along, x_count, x_start, up, to)
            else:
                for x in range(0, columns, LANES):
                    store(to, x, load(lines, before + x))
            done += step
        slot = above % slots
        for k in range(count):
            places[k] = edge + slot * pitch
            slot = slot + 1 if slot + 1 < slots else 0
        _down(ring, places, after(weights, y * count), count, bias[y], y_power, peak, wide, target, columns)
        target = after(target, columns)
    keep(ring_a, lines_a, upright_a, made_a, taken_a, wide_a, places_a, x_first, x_weights, x_bias, y_weights, y_bias)


@njit(parallel=True, cache=True, nogil=True)
def _resize(frames, out, start, how, across, down, peak, blocks):
    height = out.shape[1]
    for task in prange(out.shape[0] * blocks):
        n, block = task // blocks, task % blocks
        low, high = block * height // blocks, (block + 1) * height // blocks
        resize_block(frames, start + n, out, n, low, high, how, across, down, peak)


def axes(shape: tuple[int, int], target: tuple[int, int], filter: str, left: float, top: float,
         fixed: bool, real: bool) -> tuple[Any, ...]:  # fmt: skip
    """`how, across, down` of `resize_block` for planes of `(H, W)`; `real` results are not rounded."""
    (rows, columns), (high, wide) = shape, target
    first, weights, bias, power = _tables(columns, wide, filter, left, fixed)
    how = DOUBLE if wide == 2 * columns else ANY
    if wide == columns and weights.shape[1] == 1 and first[0] == 0:
        how = SAME
    # What the filter reaches into before and behind the line, and what whole vectors and tiles read beyond.
    before = max(0, -int(first.min()))
    behind = max(0, int(first.max()) + weights.shape[1] - columns) + LANES
    across = first + before, weights, bias, power, before, behind
    first, weights, bias, power = _tables(rows, high, filter, top, fixed)
    bias = bias + ((1 << power) // 2 if fixed else 0 if real else 0.5)
    return how, across, (first, weights, bias.astype(weights.dtype), power)


def few_taps(shape: tuple[int, int], target: tuple[int, int], filter: str, left: float, top: float) -> bool:
    """Whether sums in int16 are exact enough."""
    along, down = (shape[1], target[1], filter, left), (shape[0], target[0], filter, top)
    return max(taps(*along)[1].shape[1], taps(*down)[1].shape[1]) <= FIXED_TAPS


def blocks_of(count: int, high: int) -> int:
    """In how many blocks of rows each of `count` frames is made, so that all threads have work."""
    return max(1, min(4 * numba.get_num_threads() // count, high // 32))


@resize.cpu
def _(frames, out, start, width, height, filter, left, top, bits):
    shape = frames.shape[1:], out.shape[1:], filter, left, top
    fixed = frames.dtype == np.uint8 and few_taps(*shape)
    how, across, down = axes(*shape, fixed, frames.dtype.kind == "f")
    blocks = blocks_of(len(out), out.shape[1])
    _resize(frames, out, start, how, across, down, np.float32((1 << bits) - 1), blocks)


STRIP = 32  # target rows one CUDA thread makes
RING = 48  # rows its ring holds: RING in resize.cu


def _plan(arrays: list[Any], out: Any, start: int, width: int, height: int, filter: str, left: float, top: float,
          bits: int) -> list[Launch]:  # fmt: skip
    frames = arrays[0]
    tables = []
    for axis, offset in ((2, left), (1, top)):
        first, weights = taps(frames.shape[axis], out.shape[axis], filter, offset)
        tables += [_beside(frames, first.astype(np.int32)), _beside(frames, weights.astype(np.float32).copy())]
    i = np.int32
    counts = i(tables[1].shape[1]), i(tables[3].shape[1])
    sizes = i(frames.shape[1]), i(frames.shape[2]), i(out.shape[1]), i(out.shape[2])
    args = (frames, out, i(start), *sizes, *tables, *counts, i((1 << bits) - 1))
    grid = (-(-out.shape[2] // 128), -(-out.shape[1] // STRIP), out.shape[0])
    return [Launch("resize" if counts[1] <= RING else "resize_far", grid, (128, 1, 1), args)]


def _beside(like: Any, table: np.ndarray) -> Any:
    """A small table on the device of `like`."""
    if isinstance(like, np.ndarray):
        return table
    import cupy

    with like.device:
        return cupy.asarray(table)


resize.cuda("resize.cu", _plan)
