"""hqdn3d: a recursive low-pass along x, then y, then time, whose strength falls with the size of the step.

The family of "high quality 3D denoise" filters (Daniel Moreno, MPlayer, 2003; the filter `hqdn3d` of FFmpeg, whose
documentation names the knobs).  The published description is a first-order recursion in which the step
`d = previous - current` is kept to the part `d (1 - |d| / 255) ** gamma`, with gamma such that the part is a quarter
where `|d|` is the strength.  What the description leaves open was measured on FFmpeg 9 as a black box (constant
frames, steps and noise of 8, 10, 12 and 16 bit through its binary): samples are held as 16-bit fixed point with
half a unit, less one step, added; up to 15 bits `d` is cut to 1/16 level and the part read from a table at the middle
of each cut, at 16 bits it is not cut; the part is rounded to the nearest 1/256 level; the state starts as the first
frame unfiltered.  tests/test_denoise_ffmpeg.py holds the kernel to that binary.

Cost per sample: three table look-ups, each waiting for the last along its own axis (about 8 cycles).  Along x eight
rows walk side by side, so that their waits overlap (1.6 cycles per sample); along y and t columns are independent and
the look-ups are vector gathers (0.6 cycles each).

It is the one recursive kernel: a sample needs the results beside it, above it and before it.  So no single split feeds
all threads: along x and y they take frames, along time rows, and meet twice for every sixteen frames.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any

import numpy as np
from numba import get_num_threads, njit, prange

from kernels.arrays import beside, depth, empty_like_backend
from kernels.declare import Bits, Knob, Launch, kernel
from kernels.denoise.stack import stack_array

#: Stronger is not possible: FFmpeg's answers stop changing here, before the formula loses its value.
FULL = 252.0
SPAN = 256  # samples of a row that are worked on at a time
EIGHT_ROWS = 8 * SPAN


def step_table(strength: float, bits: int) -> np.ndarray:
    """The part of a step that is kept, int32 in 1/256 level, for `(previous - current) >> cut` + half the length.

    `bits` 16 has a cut of 0 (131072 entries), fewer bits 4 (8192 entries).
    """
    gamma = math.log(0.25) / math.log(1 - min(strength, FULL) / 255 - 1e-5)
    if bits == 16:
        step = np.arange(-65536, 65536, dtype=np.float64)
    else:
        step = np.arange(-4096, 4096) * 16 + 7.5
    share = np.maximum(1 - np.abs(step) / (255 * 256), 0) ** gamma
    return np.rint(step * share).astype(np.int32)


@functools.lru_cache(maxsize=16)
def _based_table(strength: float, bits: int) -> np.ndarray:
    return step_table(strength, bits) + np.int32(65536)


def _fixed_point(bits: int) -> tuple[int, int, int]:
    """Left shift to 16 bits, what is added to sit in the middle, and the cut of a step."""
    shift = 16 - bits
    return shift, max((1 << shift) // 2 - 1, 0), 0 if bits == 16 else 4


def _state_of(state: Any, frames: Any) -> None:
    if state.shape != frames.shape[1:] or state.dtype != np.uint16:
        raise ValueError(
            f"hqdn3d: state is {state.dtype} {tuple(state.shape)}; expected the uint16 {tuple(frames.shape[1:])} that "
            f"an earlier call on planes of this size returned, or None"
        )


@kernel(recursive=True)
def hqdn3d(
    frames,
    state,
    spatial: Annotated[float, Knob(0, 255, unit="levels", soft=(0, 16))] = 4.0,
    temporal: Annotated[float, Knob(0, 255, unit="levels", soft=(0, 24))] = 6.0,
    bits: Bits = 0,
):
    """Smooths low noise in space and over time and leaves steps larger than the strengths.

    Recursive low-pass along x, y and time; a step as large as the strength passes three quarters, larger ones more.
    FFmpeg's defaults for luma are 4 and 6; for chroma it takes 0.75 of `spatial` and of `temporal`.  0 is off.

    frames : `(T, H, W)` uint8, uint16 or float32 (0..255, computed and clipped as 16-bit samples).
    state  : uint16 `(H, W)` from the call on the frames before, or None at the start.
    Returns the frames and the new state; the given state is not changed.
    Source: see the module.
    """
    real = frames.dtype.kind == "f"
    bits = 16 if real else depth(frames, bits)
    shift, middle, cut = _fixed_point(bits)
    if real:
        fixed = np.clip(np.rint(frames * np.float32(256)), 0, 65535).astype(np.int64)
    else:
        fixed = (np.minimum(frames, (1 << bits) - 1).astype(np.int64) << shift) + middle
    across, along = step_table(spatial, bits), step_table(temporal, bits)
    half = len(across) // 2
    if state is not None:
        _state_of(state, frames)
    held = fixed[0] if state is None else state.astype(np.int64)
    out = np.empty_like(frames)
    for t, now in enumerate(fixed):
        now = now.copy()
        for x in range(1, now.shape[1]):
            now[:, x] += across[((now[:, x - 1] - now[:, x]) >> cut) + half]
        for y in range(1, now.shape[0]):
            now[y] += across[((now[y - 1] - now[y]) >> cut) + half]
        held = now + along[((held - now) >> cut) + half]
        out[t] = held / 256 if real else held >> shift
    return out, held.astype(np.uint16)


@njit(cache=True, nogil=True)
def _across_and_down(src, to, table, base, shift, middle, cut):
    """The recursions along x and y of one frame.

    Eight rows walk along x side by side, so that their waits overlap, SPAN samples at a time; then the span's rows
    follow each other along y.  Rows past the end repeat the last one and are thrown away.
    """
    height, width = src.shape
    low = np.int32(middle - base)
    peak = np.int32((1 << (16 - shift)) - 1)  # a sample above it would look past the table
    near = stack_array(EIGHT_ROWS)
    above = np.empty(width, np.int32)
    for y in range(0, height, 8):
        p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = 0
        for left in range(0, width, SPAN):
            n = min(SPAN, width - left)
            for k in range(8):
                row = src[min(y + k, height - 1), left : left + n]
                for x in range(n):
                    near[k * SPAN + x] = (min(np.int32(row[x]), peak) << shift) + low
            start = 0
            if left == 0:  # a step of nothing has a part too (the middle of its cut), but the first sample stays
                p0, p1, p2, p3 = near[0] + base, near[SPAN] + base, near[2 * SPAN] + base, near[3 * SPAN] + base
                p4, p5 = near[4 * SPAN] + base, near[5 * SPAN] + base
                p6, p7 = near[6 * SPAN] + base, near[7 * SPAN] + base
                near[0], near[SPAN], near[2 * SPAN], near[3 * SPAN] = p0, p1, p2, p3
                near[4 * SPAN], near[5 * SPAN], near[6 * SPAN], near[7 * SPAN] = p4, p5, p6, p7
                start = 1
            for x in range(start, n):
                n0, n1, n2, n3 = near[x], near[SPAN + x], near[2 * SPAN + x], near[3 * SPAN + x]
                n4, n5, n6, n7 = near[4 * SPAN + x], near[5 * SPAN + x], near[6 * SPAN + x], near[7 * SPAN + x]
                p0 = n0 + table[np.uint64((p0 - n0) >> cut)]
                p1 = n1 + table[np.uint64((p1 - n1) >> cut)]
                p2 = n2 + table[np.uint64((p2 - n2) >> cut)]
                p3 = n3 + table[np.uint64((p3 - n3) >> cut)]
                p4 = n4 + table[np.uint64((p4 - n4) >> cut)]
                p5 = n5 + table[np.uint64((p5 - n5) >> cut)]
                p6 = n6 + table[np.uint64((p6 - n6) >> cut)]
                p7 = n7 + table[np.uint64((p7 - n7) >> cut)]
                near[x], near[SPAN + x], near[2 * SPAN + x], near[3 * SPAN + x] = p0, p1, p2, p3
                near[4 * SPAN + x], near[5 * SPAN + x], near[6 * SPAN + x], near[7 * SPAN + x] = p4, p5, p6, p7
            over = above[left : left + n]
            for k in range(min(8, height - y)):
                at, row = k * SPAN, to[y + k, left : left + n]
                if y + k > 0:
                    for x in range(n):
                        now = np.int32(near[at + x] - base)
                        near[at + x] = now + table[np.uint32(np.int32(over[x] - now) >> cut)]
                for x in range(n):
                    over[x] = near[at + x]
                for x in range(n):
                    row[x] = near[at + x]


@njit(cache=True, nogil=True)
def _along(rows, y, state, out, table, base, shift, cut):
    """The recursion along time of row y of all frames."""
    held = stack_array(SPAN)
    width = state.shape[0]
    for left in range(0, width, SPAN):
        n = min(SPAN, width - left)
        kept = state[left : left + n]
        for x in range(n):
            held[x] = np.int32(kept[x])
        for t in range(out.shape[0]):
            row, to = rows[t, y, left : left + n], out[t, y, left : left + n]
            for x in range(n):
                now = np.int32(np.int32(row[x]) - base)
                held[x] = now + table[np.uint32(np.int32(held[x] - now) >> cut)]
            for x in range(n):
                to[x] = held[x] >> shift
        for x in range(n):
            kept[x] = held[x]


@njit(parallel=True, cache=True, nogil=True)
def _filter(frames, state, out, across, along, shift, middle, cut, chunk):
    """Fills `out` and carries `state` on, `chunk` frames at a time, which bounds the memory between the two passes.

    Along x and y frames do not depend on each other, along time rows do not.  The tables hold the part plus `base`,
    half their span, and samples are held less `base`: so a cut difference is the index, and the sum needs no
    correction.
    """
    count, height, width = frames.shape
    base = np.int32(np.int32(across.shape[0] // 2) << cut)
    rows = np.empty((chunk, height, width), np.uint16)
    for begin in range(0, count, chunk):
        n = min(chunk, count - begin)
        for i in prange(n):
            _across_and_down(frames[begin + i], rows[i], across, base, shift, middle, cut)
        for y in prange(height):
            _along(rows, y, state[y], out[begin : begin + n], along, base, shift, cut)


@njit(parallel=True, cache=True, nogil=True)
def _to_fixed(frames, out):
    for t in prange(frames.shape[0]):
        a, b = frames[t].ravel(), out[t].ravel()
        for x in range(a.shape[0]):
            b[x] = np.uint16(np.int32(min(max(np.rint(a[x] * np.float32(256)), np.float32(0)), np.float32(65535))))


@hqdn3d.cpu
def _(frames, state, out, start, spatial, temporal, bits):
    real = frames.dtype.kind == "f"
    if real:
        bits, fixed = 16, np.empty(frames.shape, np.uint16)
        _to_fixed(frames, fixed)
    else:
        fixed = frames
    shift, middle, cut = (np.int32(v) for v in _fixed_point(bits))
    if state is None:
        state = (np.minimum(fixed[0], (1 << bits) - 1).astype(np.uint16) << np.uint16(shift)) + np.uint16(middle)
    else:
        _state_of(state, frames)
        state = state.copy()
    done = fixed if real else out
    # Waking the other threads takes as long as a tenth of a frame, so they are woken for many frames at once.
    chunk = 8 if get_num_threads() == 1 else 16
    tables = _based_table(spatial, bits), _based_table(temporal, bits)
    _filter(fixed, state, done, *tables, shift, middle, cut, min(chunk, len(fixed)))
    if real:
        np.multiply(done, np.float32(1 / 256), out=out)
    return state


def _plan(arrays: list[Any], out: Any, start: int, spatial: float, temporal: float, bits: int, state: Any = None):
    frames = arrays[0]
    count, height, width = frames.shape
    bits = 16 if frames.dtype.kind == "f" else bits
    i = np.int32
    shift, middle, cut = (i(v) for v in _fixed_point(bits))
    across, along = (beside(frames, step_table(strength, bits)) for strength in (spatial, temporal))
    half, fresh, size = i(len(across) // 2), state is None, height * width
    rows = empty_like_backend(frames, frames.shape, np.uint16)
    if fresh:
        state = empty_like_backend(frames, (height, width), np.uint16)
    else:
        _state_of(state, frames)
    lines = count * height
    first = (frames, rows, i(lines), i(width), across, half, shift, middle, cut)
    last = (frames, rows, state, out, i(count), i(size), i(fresh), along, half, shift, middle, cut)
    return [
        Launch("across", (-(-lines // 128), 1, 1), (32, 4, 1), first),
        Launch("down", (-(-width // 128), count, 1), (128, 1, 1), (rows, i(height), i(width), across, half, cut)),
        Launch("along", (-(-size // 256), 1, 1), (256, 1, 1), last),
    ], state


hqdn3d.cuda("hqdn3d.cu", _plan)
