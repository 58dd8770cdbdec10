"""Line jitter: lines that a worn or stretched tape plays a little too early or too late.

A line's displacement is measured against the same line of the frames before and after, which jitter on their own: the
sum of squared differences over all displacements within reach, its minimum made finer by the parabola through the
three values around it (the block matching with sub-pixel peak of G. Tziritas, C. Labit, "Motion Analysis for Image
Sequence Coding", 1994, on blocks of one line).  What moves evenly lies as far on one side in the frame before as on the
other in the frame after, so the mean of the two does not follow it.  A. C. Kokaram, "Motion Picture Restoration"
(1998), chapter on line registration, gives the reason to stay small: what all lines around do is motion, not jitter.

    costs = line_costs(luma)
    shifts = displacements(costs)
    luma, chroma = shift_lines(luma, shifts), shift_lines(chroma, shifts / 2)
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from kernels.arrays import beside, depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import wide

REACH = 16  # samples, at the most
PHASES, TAPS = 64, 6
FARTHEST = 64  # samples that a line can be moved
ONE = 1 << 14  # the sum of the taps of a phase

Reach = Annotated[int, Knob(1, REACH, step=1, unit="samples", soft=(1, 8))]


def _costs_shape(shapes: list[tuple[int, ...]], dtype: Any, knobs: dict[str, Any]) -> list[tuple[tuple, Any]]:
    count, height, _ = shapes[0]
    return [((count, height, 2 * knobs["reach"] + 1), np.float64)]


@kernel(halo=lambda reach, **_: Halo(1, reach), outputs=_costs_shape, smallest=(1, 2 * REACH + 1))
def line_costs(frames, reach: Reach = 4, bits: Bits = 0):
    """Says how well each line, moved along itself, fits the same line of the frames around it.

    reach : the largest displacement that is looked at.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane, interlaced or not.
    Returns `(T, H, 2 reach + 1)` float64: mean squared difference, in 8-bit levels, of `line[x + d]` from the mean of
    the frame before and the one after (at the ends of a clip the one there is), for d from -reach to reach, without
    the `reach` samples at each end.  A clip of one frame gives 0.
    """
    kind = np.float64 if frames.dtype.kind == "f" else np.int64
    scale = 4 * 4.0 ** (depth(frames, bits) - 8)
    count, height, width = frames.shape
    x = frames.astype(kind)
    costs = np.zeros((count, height, 2 * reach + 1))
    for t in range(count):
        near = [x[u] for u in (t - 1, t + 1) if 0 <= u < count]
        if not near:
            continue
        around = (near[0] + near[-1])[:, reach : width - reach]
        for k in range(2 * reach + 1):
            apart = 2 * x[t][:, k : k + width - 2 * reach] - around
            costs[t, :, k] = (apart * apart).sum(axis=1) / (scale * (width - 2 * reach))
    return costs


@njit(nogil=True)
def _squares(line, first, second, total):
    for x in range(line.shape[0]):
        apart = _long(wide(wide(line[x]) + wide(line[x])) - wide(wide(first[x]) + wide(second[x])))
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
    inner = width - 2 * reach
    for n in prange(out.shape[0]):
        t = start + n
        before = t - 1 if t > 0 else t + 1
        after = t + 1 if t + 1 < count else t - 1
        for y in range(height if count > 1 else 0):
            first, second = frames[before, y, reach : width - reach], frames[after, y, reach : width - reach]
            for k in range(2 * reach + 1):
                out[n, y, k] = _squares(frames[t, y, k : k + inner], first, second, zero) / (scale * inner)


@line_costs.cpu
def _(frames, out, start, reach, bits):
    out[:] = 0
    zero = np.float64(0) if frames.dtype.kind == "f" else np.int64(0)
    _line_costs(frames, out, start, reach, 4 * 4.0 ** (bits - 8), zero)


def _plan_costs(arrays: list[Any], out: Any, start: int, reach: int, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    scale = np.float64(4 * 4.0 ** (bits - 8) * (width - 2 * reach))
    args = (frames, out, i(start), i(count), i(height), i(width), i(reach), scale)
    return [Launch("line_costs", (2 * reach + 1, height, len(out)), (128, 1, 1), args)]


line_costs.cuda("jitter.cu", _plan_costs, ("-DTHREADS=128",))


def displacements(costs: np.ndarray, sure: float = 0.15, fields: bool = False, lines: int = 24) -> np.ndarray:
    """How far each line lies too far right, in samples: float32 `(T, H, 1)`, as `shift_lines` takes it.

    costs  : of `line_costs`.
    sure   : a line is moved when that takes away more than this part of its difference; fully from twice as much on.
    fields : the frames are interlaced, so lines of the same field are neighbours.
    lines  : what this many lines on each side do on the median is motion, and left in.

    Two thirds of what is measured: the frames it was measured against, two of them, jitter as much as the line itself.
    """
    reach = costs.shape[2] // 2
    at = np.clip(costs.argmin(axis=2), 1, 2 * reach - 1)
    left, least, right = (np.take_along_axis(costs, (at + k)[..., None], 2)[..., 0] for k in (-1, 0, 1))
    bend = left - 2 * least + right
    with np.errstate(divide="ignore", invalid="ignore"):
        finer = np.where(bend > 0, np.clip(0.5 * (left - right) / bend, -1, 1), 0.0)
        own = costs[..., reach]
        gain = np.where(own > 0, (own - (least - 0.25 * (left - right) * finer)) / own, 0.0)
    trust = np.clip(gain / sure - 1, 0, 1)
    found = (at - reach + finer) * trust
    return (2 / 3 * (found - _median_along(found, lines, fields))).astype(np.float32)[..., None]


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
    return np.floor(np.clip(shifts[..., 0], -FARTHEST, FARTHEST) * np.float32(PHASES) + np.float32(0.5)).astype(np.int32)


@njit(parallel=True, cache=True, nogil=True)
def _shift(frames, steps, out, start, taps, real_taps, peak):
    height, width = frames.shape[1:]
    for n in prange(out.shape[0]):
        buffer = np.empty(width + TAPS - 1, frames.dtype)
        for y in range(height):
            row, to, step = frames[start + n, y], out[n, y], steps[n, y]
            if step == 0:
                to[:] = row
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


shift_lines.cuda("jitter.cu", _plan_shift, ("-DTHREADS=128",))
