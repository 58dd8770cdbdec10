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


def _size(shape: tuple[int, ...], width: int, height: int) -> tuple[int, int]:
    return height or 2 * shape[1], width or 2 * shape[2]


def _outputs(shapes, dtype, knobs):
    return [((shapes[0][0], *_size(shapes[0], knobs["width"], knobs["height"])), dtype)]


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
    down the columns.  Sums are kept in float and rounded once, half up, to `0 .. 2**bits - 1`; float32 is not
    limited.  Edge samples repeat.

    frames    : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    width     : target width; 0 is twice the source's.
    height    : target height; 0 is twice the source's.
    left, top : where the target's edges lie, in source samples right of and below the source's; `chroma_offset` gives
                what chroma planes need.
    Returns `(T, height, width)`, same dtype.
    """
    high, wide = _size(frames.shape, width, height)
    down, across = (
        _matrix(n, target, filter, offset)
        for n, target, offset in ((frames.shape[1], high, top), (frames.shape[2], wide, left))
    )
    made = down @ (frames.astype(np.float64) @ across.T)
    if frames.dtype.kind == "f":
        return made.astype(np.float32)
    return np.clip(np.floor(made + 0.5), 0, (1 << depth(frames, bits)) - 1).astype(frames.dtype)


def _matrix(length: int, target: int, filter: str, offset: float) -> np.ndarray:
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


# The Numba body.  Each task makes a block of target rows of one frame: source rows are widened once into a ring of
# float rows that stays in the L1/L2 cache, and each target row is the weighted sum of GROUP rows of it at a time.

GROUP = 6  # rows summed in one pass: the six of Lanczos-3
FAST = {"contract"}  # fused multiply-add only


@njit(nogil=True, fastmath=FAST)
def _widen(line, first, weights, phases, out):
    """One padded source row, `out.size` target samples; `first` counts from the start of the padding."""
    count = weights.shape[1]
    if phases == 1:
        for x in range(out.shape[0]):
            total = np.float32(0)
            at = line[first[x] : first[x] + count]
            w = weights[x]
            for k in range(count):
                total += w[k] * at[k]
            out[x] = total
        return
    for p in range(phases):
        out[p::phases] = np.float32(0)
        for k in range(count):
            w = weights[p, k]
            to = out[p::phases]
            at = line[first[p] + k : first[p] + k + to.shape[0]]
            for i in range(to.shape[0]):
                to[i] += w * at[i]


@njit(nogil=True, fastmath=FAST)
def _sum_rows(a, b, c, d, e, f, w, k, total):
    w0, w1, w2, w3, w4, w5 = w[k], w[k + 1], w[k + 2], w[k + 3], w[k + 4], w[k + 5]
    if k == 0:
        for x in range(total.shape[0]):
            total[x] = w0 * a[x] + w1 * b[x] + w2 * c[x] + w3 * d[x] + w4 * e[x] + w5 * f[x]
    else:
        for x in range(total.shape[0]):
            total[x] += w0 * a[x] + w1 * b[x] + w2 * c[x] + w3 * d[x] + w4 * e[x] + w5 * f[x]


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST)
def _resize(frames, out, start, x_first, x_weights, phases, y_first, y_weights, half, low, high, blocks):
    height, width = frames.shape[1:]
    rows, columns = out.shape[1:]
    count = y_weights.shape[1]
    # Columns before and behind the source that the filters reach into.
    before = max(0, -x_first.min())
    last = x_first.max() + (width - 1 if phases > 1 else 0)
    behind = max(0, last + x_weights.shape[1] - width)
    first = x_first + before
    for task in prange(out.shape[0] * blocks):
        n, block = task // blocks, task % blocks
        src = frames[start + n]
        ring = np.empty((count, columns), np.float32)
        line = np.empty(before + width + behind, np.float32)
        total = np.empty(columns, np.float32)
        done = -(1 << 40)  # the last row in the ring, counted without clamping
        for y in range(block * rows // blocks, (block + 1) * rows // blocks):
            for row in range(max(y_first[y], done + 1), y_first[y] + count):
                s = src[min(max(row, 0), height - 1)]
                line[:before] = s[0]
                line[before : before + width] = s
                line[before + width :] = s[width - 1]
                _widen(line, first, x_weights, phases, ring[row % count])
            done = y_first[y] + count - 1
            w = y_weights[y]
            at = y_first[y]
            for k in range(0, count, GROUP):
                _sum_rows(
                    ring[(at + k) % count],
                    ring[(at + k + 1) % count],
                    ring[(at + k + 2) % count],
                    ring[(at + k + 3) % count],
                    ring[(at + k + 4) % count],
                    ring[(at + k + 5) % count],
                    w,
                    k,
                    total,
                )
            to = out[n, y]
            for x in range(columns):
                to[x] = min(max(total[x] + half, low), high)


@lru_cache(maxsize=64)
def _tables(length: int, target: int, filter: str, offset: float, group: int) -> tuple[np.ndarray, np.ndarray, int]:
    """`taps` in int64 and float32, padded with zeros to a multiple of `group`, and the number of phases.

    A whole-number enlargement has only that many different rows: then only those are returned.
    """
    first, weights = taps(length, target, filter, offset)
    phases = target // length if target % length == 0 else 1
    if 1 < phases <= 8:
        first, weights = first[:phases], weights[:phases]
    else:
        phases = 1
    pad = -weights.shape[1] % group
    return first.copy(), np.pad(weights, ((0, 0), (0, pad))).astype(np.float32), phases


@resize.cpu
def _(frames, out, start, width, height, filter, left, top, bits):
    x_first, x_weights, phases = _tables(frames.shape[2], out.shape[2], filter, left, 1)
    y_first, y_weights = taps(frames.shape[1], out.shape[1], filter, top)
    y_weights = np.pad(y_weights, ((0, 0), (0, -y_weights.shape[1] % GROUP))).astype(np.float32)
    real = frames.dtype.kind == "f"
    half, low, high = (0, -np.inf, np.inf) if real else (0.5, 0, (1 << bits) - 1)
    blocks = max(1, min(4 * numba.get_num_threads() // len(out), out.shape[1] // 32))
    _resize(
        frames, out, start, x_first, x_weights, phases, y_first, y_weights,
        np.float32(half), np.float32(low), np.float32(high), blocks,
    )  # fmt: skip


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
