"""Line jitter: lines that a worn or stretched tape plays a little too early or too late.

A line's displacement is measured against the same line of the frame before and of the frame after: the sum of squared
differences over all displacements within reach, its minimum made finer by the parabola through the three values around
it (block matching with a sub-pixel peak: G. Tziritas, C. Labit, "Motion Analysis for Image Sequence Coding", 1994; here
on blocks of one line).  Even motion lies as far on one side in the frame before as on the other in the frame after, so
the mean of both does not hold it; and motion is shared by the lines around, jitter is not (A. C. Kokaram, "Motion
Picture Restoration", 1998, on line registration).

    costs = line_costs(luma)
    shifts = displacements(costs)
    luma, chroma = shift_lines(luma, shifts), shift_lines(chroma, shifts / 2)
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload, register_jitable

from kernels.arrays import beside, depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import wide
from kernels.rows import copy_row

REACH = 16  # samples, at the most
PHASES, TAPS = 64, 6
FARTHEST = 64  # samples that a line can be moved
PARTS = 4  # of a line, that must agree
AGREE = 0.5  # samples, of parts of one line
ONE = 1 << 14  # the sum of the taps of a phase

Reach = Annotated[int, Knob(1, REACH, step=1, unit="samples", soft=(1, 8))]


def _costs_shape(shapes: list[tuple[int, ...]], dtype: Any, knobs: dict[str, Any]) -> list[tuple[tuple, Any]]:
    count, height, _ = shapes[0]
    return [((count, height, 2, PARTS, 2 * knobs["reach"] + 1), np.float64)]


@kernel(halo=lambda reach, **_: Halo(1, reach), outputs=_costs_shape, smallest=(1, 2 * REACH + PARTS))
def line_costs(frames, reach: Reach = 8, bits: Bits = 0):
    """Says how well each quarter of a line, moved along itself, fits the frame before and the frame after.

    reach : the largest displacement that is looked at.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane, interlaced or not.
    Returns `(T, H, 2, 4, 2 reach + 1)` float64: mean squared difference, in 8-bit levels, of `line[x + d]` from the
    frame before [0] and after [1], in each quarter of the line, for d from -reach to reach, without the `reach` samples
    at each end of the line; 0 where there is no such frame.
    """
    kind = np.float64 if frames.dtype.kind == "f" else np.int64
    scale = 4.0 ** (depth(frames, bits) - 8)
    count, height, width = frames.shape
    x = frames.astype(kind)
    costs = np.zeros((count, height, 2, PARTS, 2 * reach + 1))
    ends = _ends(width, reach)
    for t in range(count):
        for side, other in enumerate((t - 1, t + 1)):
            for k in range(2 * reach + 1 if 0 <= other < count else 0):
                apart = x[t][:, k : k + width - 2 * reach] - x[other][:, reach : width - reach]
                for part, (low, high) in enumerate(zip(ends, ends[1:], strict=False)):
                    own = apart[:, low:high]
                    costs[t, :, side, part, k] = (own * own).sum(axis=1) / (scale * (high - low))
    return costs


@register_jitable
def _ends(width, reach):
    """Where the parts of a line begin and the last one ends, counted from `reach`."""
    inner = width - 2 * reach
    return [part * inner // PARTS for part in range(PARTS + 1)]


@njit(nogil=True)
def _squares(line, other, total):
    for x in range(line.shape[0]):
        apart = _long(wide(wide(line[x]) - wide(other[x])))
        total += apart * apart
    return total


def _long(v: Any) -> Any:
    """A number in 64 bits."""


@overload(_long)
def _(v):
    return (lambda v: np.float64(v)) if isinstance(v, types.Float) else (lambda v: np.int64(v))


@njit(parallel=True, cache=True, nogil=True)
def _line_costs(frames, out, start, reach, scale, zero):
    count, height, width = frames.shape
    ends = np.array(_ends(width, reach))
    for n in prange(out.shape[0]):
        t = start + n
        for y in range(height):
            for side in range(2):
                other = t + 2 * side - 1
                if not 0 <= other < count:
                    out[n, y, side] = 0.0
                    continue
                for part in range(PARTS):
                    low, high = ends[part], ends[part + 1]
                    middle = frames[other, y, reach + low : reach + high]
                    for k in range(2 * reach + 1):
                        total = _squares(frames[t, y, k + low : k + high], middle, zero)
                        out[n, y, side, part, k] = total / (scale * (high - low))


@line_costs.cpu
def _(frames, out, start, reach, bits):
    zero = np.float64(0) if frames.dtype.kind == "f" else np.int64(0)
    _line_costs(frames, out, start, reach, 4.0 ** (bits - 8), zero)


def _plan_costs(arrays: list[Any], out: Any, start: int, reach: int, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    scale = np.float64(4.0 ** (bits - 8))
    args = (frames, out, i(start), i(count), i(height), i(width), i(reach), scale)
    threads = -(-2 * PARTS * (2 * reach + 1) // 32) * 32
    return [Launch("line_costs", (1, height, len(out)), (threads, 1, 1), args)]


line_costs.cuda("jitter.cu", _plan_costs)


def displacements(costs: np.ndarray, sure: float = 0.15, fields: bool = False, lines: int = 24) -> np.ndarray:
    """How far each line lies too far right, in samples: float32 `(T, H, 1)`, as `shift_lines` takes it.

    costs  : of `line_costs`.
    sure   : a line is moved when that takes away more than this part of its difference from the frames before and
             after; fully from twice as much on.
    fields : the frames are interlaced, so lines of the same field are neighbours.
    lines  : what so many lines on each side do on the median is motion, and left in.

    Two thirds of what is measured against two frames, half of it against one: they jitter as much as the line itself.
    """
    there = costs.any(axis=(1, 3, 4))  # (T, 2): is there such a frame
    found, trust = np.zeros((2, *costs.shape[:2], PARTS)), np.ones((2, *costs.shape[:2], PARTS))
    for side in (0, 1):
        for part in range(PARTS):
            own = costs[:, :, side, part]
            best, least = _minimum(own)
            motion = _median_along(best, lines, fields)
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = np.nan_to_num(1 - least / _cost_at(own, motion), nan=0.0, posinf=0.0, neginf=0.0)
            found[side, ..., part] = best - motion
            trust[side, ..., part] = np.where(there[:, side, None], np.clip(gain / sure - 1, 0, 1), 1)
    sides = there.sum(axis=1)[:, None]
    each, weights = found.sum(axis=0) / np.maximum(sides, 1)[..., None], trust.min(axis=0)
    middle = _weighted_median(each, weights)
    # A tape moves all of a line; what moves a part of it, or by another way before than after, is in the picture.
    agree = (np.abs(each - middle[..., None]) < AGREE)
    sum_of = (weights * agree).sum(axis=-1)
    mean = (weights * agree * each).sum(axis=-1) / np.maximum(sum_of, 1e-9)
    certain = np.clip(2 * sum_of / PARTS - 0.75, 0, 1)
    return (mean * certain * np.where(sides == 2, 2 / 3, 1 / 2)).astype(np.float32)[..., None]


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The value, along the last axis, on both sides of which lies half the weight."""
    order = np.argsort(values, axis=-1)
    passed = np.cumsum(np.take_along_axis(weights, order, -1), axis=-1)
    at = (passed < passed[..., -1:] / 2).sum(axis=-1, keepdims=True)
    return np.take_along_axis(np.take_along_axis(values, order, -1), np.minimum(at, values.shape[-1] - 1), -1)[..., 0]


def _minimum(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where costs `(T, H, 2 reach + 1)` are least, in samples, and how much they are there, by the parabola."""
    reach = costs.shape[2] // 2
    at = np.clip(costs.argmin(axis=2), 1, 2 * reach - 1)
    left, middle, right = (np.take_along_axis(costs, (at + k)[..., None], 2)[..., 0] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        finer = np.where(bend > 0, np.clip(0.5 * (left - right) / bend, -1, 1), 0.0)
    return np.where(costs.any(axis=2), at - reach + finer, 0.0), np.maximum(middle - 0.25 * (left - right) * finer, 0)


def _cost_at(costs: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The costs at a fractional place, by the parabola through the three nearest."""
    reach = costs.shape[2] // 2
    at = np.clip(np.rint(place).astype(int) + reach, 1, 2 * reach - 1)
    left, middle, right = (np.take_along_axis(costs, (at + k)[..., None], 2)[..., 0] for k in (-1, 0, 1))
    u = place - (at - reach)
    return middle + u * (right - left) / 2 + u * u / 2 * (left - 2 * middle + right)


def _median_along(found: np.ndarray, lines: int, fields: bool) -> np.ndarray:
    """The median of each line and `lines` of them on each side, `(T, H)`; fields apart where there are any."""
    if fields:
        out = np.empty_like(found)
        for parity in (0, 1):
            out[:, parity::2] = _median_along(found[:, parity::2], lines, False)
        return out
    padded = np.pad(found, ((0, 0), (lines, lines)), mode="reflect" if found.shape[1] > lines else "edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * lines + 1, axis=1), axis=-1)


def _taps() -> np.ndarray:
    """Lanczos windows of three lobes for every sixty-fourth of a sample, int32, each summing to `ONE`."""
    at = np.arange(TAPS) - (TAPS // 2 - 1) - np.arange(PHASES)[:, None] / PHASES
    taps = np.sinc(at) * np.sinc(at / (TAPS // 2))
    whole = np.rint(taps / taps.sum(1, keepdims=True) * ONE).astype(np.int32)
    whole[:, TAPS // 2 - 1] += ONE - whole.sum(1, dtype=np.int32)
    return whole


@kernel(
    halo=Halo(0, FARTHEST + TAPS),
    inputs=lambda shape, knobs: [shape, (shape[0], shape[1], 1)],
    others={"shifts": "float32"},
)
def shift_lines(frames, shifts, bits: Bits = 0):
    """Moves each line along itself by a fraction of a sample.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane.
    shifts : `(T, H, 1)` float32, how many samples too far right each line lies; it is moved back by as many, in steps
             of 1/64 and at most 64 samples.
    Returns the same shape and dtype; lines that are not moved are the same to the bit.  The sample at the edge repeats.
    Lanczos window of three lobes: C. E. Duchon, J. Applied Meteorology 18, 1979.
    """
    real = frames.dtype.kind == "f"
    taps = _taps()
    steps = _steps(shifts)
    count, height, width = frames.shape
    out = np.empty_like(frames)
    for t in range(count):
        for y in range(height):
            offset, phase = divmod(int(steps[t, y]), PHASES)
            at = np.arange(width)[:, None] + offset + np.arange(TAPS) - (TAPS // 2 - 1)
            samples = frames[t, y][np.clip(at, 0, width - 1)]
            if real:
                out[t, y] = (samples * taps[phase].astype(np.float64)).sum(1) / ONE
            else:
                sums = (samples.astype(np.int64) * taps[phase]).sum(1)
                out[t, y] = np.clip((sums + ONE // 2) >> 14, 0, (1 << depth(frames, bits)) - 1)
    return out


def _steps(shifts: Any) -> Any:
    """The shifts in 1/64 samples, int32 `(T, H)`."""
    steps = np.clip(shifts[..., 0], -FARTHEST, FARTHEST) * np.float32(PHASES)
    return np.floor(steps + np.float32(0.5)).astype(np.int32)


@njit(parallel=True, cache=True, nogil=True)
def _shift(frames, steps, out, start, taps, real_taps, peak):
    height, width = frames.shape[1:]
    for n in prange(out.shape[0]):
        buffer = np.empty(width + TAPS - 1, frames.dtype)
        for y in range(height):
            row, to, step = frames[start + n, y], out[n, y], steps[n, y]
            if step == 0:
                copy_row(to, row)
                continue
            first = (step >> 6) - 2
            for x in range(buffer.shape[0]):
                buffer[x] = row[min(max(x + first, 0), width - 1)]
            w, v = taps[step & 63], real_taps[step & 63]
            a, b, c = buffer[:width], buffer[1 : 1 + width], buffer[2 : 2 + width]
            d, e, f = buffer[3 : 3 + width], buffer[4 : 4 + width], buffer[5 : 5 + width]
            for x in range(width):
                to[x] = _mixed(a[x], b[x], c[x], d[x], e[x], f[x], w, v, peak)


def _mixed(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any, v: Any, peak: Any) -> Any:
    """Six samples by their weights: `v` for float, `w` for integers, rounded and limited."""


@overload(_mixed)
def _(a, b, c, d, e, f, w, v, peak):
    if isinstance(a, types.Float):
        return lambda a, b, c, d, e, f, w, v, peak: np.float32(
            a * v[0] + b * v[1] + c * v[2] + d * v[3] + e * v[4] + f * v[5]
        )

    def whole(a, b, c, d, e, f, w, v, peak):
        left = np.int32(np.int32(a) * w[0] + np.int32(b) * w[1] + np.int32(c) * w[2])
        right = np.int32(np.int32(d) * w[3] + np.int32(e) * w[4] + np.int32(f) * w[5])
        return min(max(np.int32((left + right + np.int32(8192)) >> np.int32(14)), np.int32(0)), peak)

    return whole


@shift_lines.cpu
def _(frames, shifts, out, start, bits):
    taps = _taps()
    real = (taps / np.float32(ONE)).astype(np.float32)
    steps = _steps(shifts[start : start + len(out)])
    _shift(frames, steps, out, start, taps, real, np.int32((1 << bits) - 1))


def _plan_shift(arrays: list[Any], out: Any, start: int, bits: int) -> list[Launch]:
    frames, shifts = arrays
    count, height, width = out.shape
    i = np.int32
    sizes = (i(start), i(height), i(width), i((1 << bits) - 1))
    args = (frames, shifts, beside(frames, _taps()), out, *sizes)
    return [Launch("shift_lines", (-(-width // 128), height, count), (128, 1, 1), args)]


shift_lines.cuda("jitter.cu", _plan_shift)
