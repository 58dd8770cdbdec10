"""A mean along time that closes where the picture moves.

Motion-adaptive temporal averaging (Brailean, Kleihorst, Efstratiadis, Katsaggelos, Lagendijk: "Noise reduction filters
for dynamic image sequences: a review", Proc. IEEE 83(9), 1995, section on motion detection).  The detector here is
two-fold: the mean absolute difference over 5x5 samples decides smoothly, so that noise of single samples does not
open and close it, and a sample that itself differs by more than the gate is left out whatever surrounds it, so that
thin moving things leave no ghost.

Integers: sums of differences, weights (0 to 32) and weighted sums are whole numbers below 2**24 and so exact in
float32, and the two roundings, of the ramp and of the quotient, are the same in every body.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import get_num_threads, njit, prange

from kernels.arrays import depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.lanes import wide_vectors
from kernels.tasks import next_task

REACH = 2  # the window is 5x5
AREA = (2 * REACH + 1) ** 2
FULL = 32  # weight of the frame itself and of a neighbour that agrees
ROWS = 48  # rows that one thread filters at a time
_ROW: dict[str, Any] = {"cache": True, "nogil": True}
_ROW_DIVIDED: dict[str, Any] = {**_ROW, "error_model": "numpy"}


def _limits(gate: float, bits: int) -> tuple[np.float32, np.float32, np.float32]:
    """The gate for one sample, the window's sum of differences at which it is shut, and the factor of its ramp.

    Noise of standard deviation s differs by 1.13 s on average; a gate of 3.5 s lets 99 % of such samples pass, and
    its ramp from 3/8 to 5/8 of the gate (1.3 s to 2.2 s) lies above that average.
    """
    gate = gate * (1 << (bits - 8))
    return np.float32(gate), np.float32(gate * AREA * 5 / 8), np.float32(FULL / (gate * AREA / 4))


@kernel(halo=lambda gate, radius, bits: Halo(radius, REACH))
def temporal(
    frames,
    gate: Annotated[float, Knob(1, 128, step=0.5, unit="levels", soft=(2, 40))] = 12.0,
    radius: Annotated[int, Knob(1, 3, step=1, unit="frames")] = 2,
    bits: Bits = 0,
):
    """Averages noise away over neighbouring frames where nothing moves, and leaves moving things as they are.

    Each of the `radius` frames before and after counts fully where its mean absolute difference over 5x5 samples is
    below 3/8 of `gate`, not at all above 5/8, and never for a sample that itself differs by more than `gate`.
    Three and a half times the standard deviation of the noise is a good gate.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.  The ends of a clip have fewer neighbours.
    Returns the same shape and dtype.
    Source: see the module.
    """
    real = frames.dtype.kind == "f"
    single, shut, slope = _limits(gate, depth(frames, bits))
    values = frames.astype(np.float32)
    out = np.empty_like(frames)
    for t, now in enumerate(values):
        total, weight = now * np.float32(FULL), np.full(now.shape, FULL, np.float32)
        for k in range(max(t - radius, 0), min(t + radius + 1, len(frames))):
            if k == t:
                continue
            apart = np.abs(now - values[k])
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(apart, REACH, mode="edge"), (5, 5))
            share = np.clip((shut - windows.sum(axis=(2, 3))) * slope, 0, FULL)
            share = np.where(apart > single, 0, share if real else np.floor(share))
            total, weight = total + share * values[k], weight + share
        out[t] = total / weight if real else total / weight + np.float32(0.5)
    return out


# What two frames have apart is the same for both, and so is the weight that each gives the other: it is found once and
# kept until the later frame's turn.  Rows are named by the flat array they lie in and where they begin there: Numba
# counts references for every slice.  Unsigned positions spare the test whether a position counts from the end.


@njit(**_ROW)
def _add_apart(columns, frames, a, b, n):
    """Adds |a - b| to the sums down the columns, which have REACH more samples at both ends."""
    wide_vectors()
    narrow, first = columns.dtype.type, np.uint64(REACH)
    for i in range(n):
        x = np.uint64(i)
        apart = max(frames[a + x], frames[b + x]) - min(frames[a + x], frames[b + x])
        columns[first + x] = narrow(columns[first + x] + narrow(apart))


@njit(**_ROW)
def _move_apart(columns, frames, a, b, c, d, n):
    """Adds |a - b| and takes |c - d| away."""
    wide_vectors()
    narrow, first = columns.dtype.type, np.uint64(REACH)
    for i in range(n):
        x = np.uint64(i)
        enters = max(frames[a + x], frames[b + x]) - min(frames[a + x], frames[b + x])
        leaves = max(frames[c + x], frames[d + x]) - min(frames[c + x], frames[d + x])
        columns[first + x] = narrow(columns[first + x] + narrow(narrow(enters) - narrow(leaves)))


@njit(**_ROW)
def _share_row(columns, box, frames, a, b, shares, s, n, single, shut, slope):
    """The weights of rows a and b for each other, from the sums around them."""
    wide_vectors()
    narrow, share_type = columns.dtype.type, shares.dtype.type
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for i in range(n):
        x = np.uint64(i)
        near = narrow(narrow(columns[x] + columns[x + one]) + columns[x + two])
        box[x] = narrow(narrow(near + columns[x + three]) + columns[x + four])
    for i in range(n):
        x = np.uint64(i)
        share = share_type(min(max((shut - np.float32(box[x])) * slope, np.float32(0)), np.float32(FULL)))
        apart = frames.dtype.type(max(frames[a + x], frames[b + x]) - min(frames[a + x], frames[b + x]))
        shares[s + x] = share if apart <= single else share_type(0)


@njit(**_ROW)
def _begin(total, weight, frames, a, n):
    wide_vectors()
    to, full = total.dtype.type, weight.dtype.type(FULL)
    for i in range(n):
        x = np.uint64(i)
        total[x] = to(to(frames[a + x]) * to(FULL))
        weight[x] = full


@njit(**_ROW)
def _add_two(total, weight, frames, a, b, shares, s, t, n):
    """Two neighbours at once, so that the sums are fetched and stored once for both."""
    wide_vectors()
    to, thin = total.dtype.type, weight.dtype.type
    for i in range(n):
        x = np.uint64(i)
        first, second = shares[s + x], shares[t + x]
        sum_ = to(total[x] + to(to(first) * to(frames[a + x])))
        total[x] = to(sum_ + to(to(second) * to(frames[b + x])))
        weight[x] = thin(thin(weight[x] + first) + second)


@njit(**_ROW_DIVIDED)
def _add_last_two(total, weight, frames, a, b, shares, s, t, out, o, n, half):
    """The same for the last two, and the mean: the quotient takes longer than the sums, which are done meanwhile."""
    wide_vectors()
    to, thin, sample = total.dtype.type, weight.dtype.type, out.dtype.type
    for i in range(n):
        x = np.uint64(i)
        first, second = shares[s + x], shares[t + x]
        sum_ = to(total[x] + to(to(first) * to(frames[a + x])))
        sum_ = to(sum_ + to(to(second) * to(frames[b + x])))
        out[o + x] = sample(np.float32(sum_) / np.float32(thin(thin(weight[x] + first) + second)) + half)


@njit(cache=True, nogil=True)
def _slot(t, distance):
    """Which plane of weights is that of frames `t` and `t + distance`: it is kept for `distance` frames more."""
    return (distance - 1) * (distance + 2) // 2 + t % (distance + 1)


@njit(cache=True, nogil=True)
def _share_strip(frames, a, b, height, width, top, bottom, columns, box, shares, s, single, shut, slope):
    """The weights of two frames, which begin at `a` and `b`, for each other, in rows `top` to `bottom`."""
    n = width
    for x in range(columns.shape[0]):
        columns[x] = 0
    for y in range(top - REACH, top + REACH + 1):
        row = min(max(y, 0), height - 1) * width
        _add_apart(columns, frames, np.uint64(a + row), np.uint64(b + row), n)
    for y in range(top, bottom):
        if y > top:
            new, old = min(y + REACH, height - 1) * width, max(y - REACH - 1, 0) * width
            _move_apart(columns, frames, np.uint64(a + new), np.uint64(b + new), np.uint64(a + old),
                        np.uint64(b + old), n)  # fmt: skip
        for x in range(REACH):
            columns[x] = columns[REACH]
            columns[width + REACH + x] = columns[width + REACH - 1]
        at, to = y * width, np.uint64(s + (y - top) * width)
        _share_row(columns, box, frames, np.uint64(a + at), np.uint64(b + at), shares, to, n, single, shut, slope)


@njit(cache=True, nogil=True)
def _average(frames, shape, out, start, last, span, radius, single, shut, slope, half, like, taken):
    """Frames `start` to `last`, in strips of ROWS rows and `span` frames, until none is left to take.

    Flat arrays.  `like` has the dtypes of sums of differences, weights, weighted sums and sums of weights.
    """
    count, height, width = shape
    columns, box = np.empty(width + 2 * REACH, like[0].dtype), np.empty(width, like[0].dtype)
    total, weight = np.empty(width, like[2].dtype), np.empty(width, like[3].dtype)
    size, blank = ROWS * width, radius * (radius + 3) // 2
    shares = np.empty((blank + 1) * size, like[1].dtype)
    for x in range(blank * size, shares.shape[0]):
        shares[x] = 0
    strips, plane = (height + ROWS - 1) // ROWS, height * width
    task = next_task(taken)
    while task < strips * ((last - start + span - 1) // span):
        top, begin = task % strips * ROWS, start + task // strips * span
        bottom, end = min(top + ROWS, height), min(begin + span, last)
        for t in range(max(begin - radius, 0), end):
            for d in range(max(begin - t, 1), min(radius, count - 1 - t) + 1):
                _share_strip(frames, t * plane, (t + d) * plane, height, width, top, bottom, columns, box, shares,
                             _slot(t, d) * size, single, shut, slope)  # fmt: skip
            if t < begin:
                continue
            for y in range(top, bottom):
                _begin(total, weight, frames, np.uint64(t * plane + y * width), width)
                to = np.uint64((t - start) * plane + y * width)
                for k in range(0, 2 * radius, 2):
                    a, s = _neighbour(t, k, radius, count, blank)
                    b, r = _neighbour(t, k + 1, radius, count, blank)
                    a, b = np.uint64(a * plane + y * width), np.uint64(b * plane + y * width)
                    s, r = np.uint64(s * size + (y - top) * width), np.uint64(r * size + (y - top) * width)
                    if k < 2 * radius - 2:
                        _add_two(total, weight, frames, a, b, shares, s, r, width)
                    else:
                        _add_last_two(total, weight, frames, a, b, shares, s, r, out, to, width, half)
        task = next_task(taken)


@njit(cache=True, nogil=True)
def _neighbour(t, k, radius, count, blank):
    """Frame and plane of weights of the k-th neighbour; before and behind the clip the frame itself, without weight."""
    distance = k - radius if k < radius else k - radius + 1
    there = t + distance
    if there < 0 or there >= count:
        return t, blank
    return there, _slot(min(t, there), abs(distance))


@njit(parallel=True, cache=True, nogil=True)
def _average_by_all(frames, shape, out, start, last, span, radius, single, shut, slope, half, like, taken, threads):
    for _ in prange(threads):
        _average(frames, shape, out, start, last, span, radius, single, shut, slope, half, like, taken)


#: The narrowest types that hold a sum of 25 differences, a weight, a sum of 7 weighted samples and one of weights.
_SUMS = {
    "uint8": (np.int16, np.uint8, np.uint16, np.uint8),
    "uint16": (np.int32, np.uint8, np.int32, np.uint8),
    "float32": (np.float32, np.float32, np.float32, np.float32),
}


@temporal.cpu
def _(frames, out, start, gate, radius, bits):
    threads, strips = get_num_threads(), -(-frames.shape[1] // ROWS)
    single, shut, slope = _limits(gate, bits)
    half = np.float32(0 if frames.dtype.kind == "f" else 0.5)
    if half:  # whole samples are compared with a whole gate
        single = frames.dtype.type(min(np.floor(single), np.iinfo(frames.dtype).max))
    like = tuple(np.empty(0, kind) for kind in _SUMS[frames.dtype.name])
    span = max(4, min(len(out), len(out) * strips // (4 * threads)))
    work = frames.reshape(-1), frames.shape, out.reshape(-1), start, start + len(out), span, radius
    work = *work, single, shut, slope, half, like, np.zeros(1, np.int64)
    if threads == 1:
        _average(*work)
    else:
        _average_by_all(*work, threads)


def _plan(arrays: list[Any], out: Any, start: int, gate: float, radius: int, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    args = (frames, out, i(start), i(count), i(height), i(width), i(radius), *_limits(gate, bits))
    return [Launch("temporal", (-(-width // 32), -(-height // 8), len(out)), (32, 8, 1), args)]


temporal.cuda("temporal.cu", _plan)
