"""Film out of video: fields matched back into the frames they were scanned from, and repeated frames found.

Film in interlaced video is still there whole; its fields only lie in different frames.  3:2 pulldown spreads 4 film
frames over 5 video frames, "2:2" with shifted fields pairs the field of one film frame with that of the next.  The way
of the field matchers (Donald Graft's Decomb, TIVTC; FFmpeg's documentation of fieldmatch and decimate): keep the first
field of every frame, take for the second that of this frame, the one before or the one after, whichever combs least;
of five frames so made one is a repeat and is dropped.

    luma:    offsets = choose_matches(match_combing(luma, order=order))
    planes:  weave_matches(plane, offsets, order)
    then:    kept = keep_of_cycle(change(matched_luma))
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace import Order
from kernels.deinterlace.around import wide
from kernels.measure.psnr import one_value_per_frame

#: Where the second field is taken from, in frames from the one in work; the columns of `match_combing`.
OFFSETS = (0, -1, 1)


def _three_per_frame(shapes: list[tuple[int, ...]], dtype: Any, knobs: dict[str, Any]) -> list[tuple[tuple, Any]]:
    return [((shapes[0][0], len(OFFSETS)), np.float64)]


def _in_samples(levels: float, frames: Any, bits: int) -> np.generic:
    limit = levels * 2.0 ** (bits - 8)
    return np.float32(limit) if frames.dtype.kind == "f" else np.int32(np.floor(limit))


@kernel(halo=Halo(frames=1), outputs=_three_per_frame, smallest=(4, 1))
def match_combing(
    frames,
    order: Order = "tff",
    threshold: Annotated[float, Knob(0, 255, unit="levels", soft=(0, 20))] = 4.0,
    bits: Bits = 0,
):
    """Says how much each frame would comb with its second field taken from itself, from the frame before, and after.

    The first field of each frame stays.  A line of the second field combs where it lies above both its neighbours or
    below both; what it does so by more than `threshold` is averaged over all lines with two neighbours.  At the ends
    of a clip the missing neighbour is the frame itself.

    frames : `(T, H, W)` uint8, uint16 or float32, the luma of interlaced video.
    Returns `(T, 3)` float64 in levels of 8-bit video, in the order of `OFFSETS`.
    """
    bits = depth(frames, bits)
    limit = _in_samples(threshold, frames, bits)
    lines = frames.astype(np.float32 if frames.dtype.kind == "f" else np.int64)
    first, last = (0 if order == "tff" else 1), len(frames) - 1
    between = np.arange(2 if first else 1, frames.shape[1] - 1, 2)
    highest = np.maximum(lines[:, between - 1], lines[:, between + 1])
    lowest = np.minimum(lines[:, between - 1], lines[:, between + 1])
    costs = np.empty((len(frames), len(OFFSETS)))
    for t in range(len(frames)):
        for k, offset in enumerate(OFFSETS):
            second = lines[min(max(t + offset, 0), last), between]
            sticks_out = np.maximum(second - highest[t], lowest[t] - second)
            costs[t, k] = np.maximum(sticks_out - limit, 0).mean(dtype=np.float64)
    return costs / 2.0 ** (bits - 8)


@njit(nogil=True)
def _sticking_out(line, above, below, limit):
    total = limit - limit
    for x in range(line.shape[0]):
        m, a, b = wide(line[x]), wide(above[x]), wide(below[x])
        total += max(max(m - max(a, b), min(a, b) - m) - limit, limit - limit)
    return np.float64(total)


@njit(parallel=True, cache=True, nogil=True)
def _match_combing(frames, start, first, limit, sums):
    height, last = frames.shape[1], frames.shape[0] - 1
    for n in prange(sums.shape[0]):
        t = start + n
        for y in range(1 + first, height - 1, 2):
            above, below = frames[t, y - 1], frames[t, y + 1]
            sums[n, 0] += _sticking_out(frames[t, y], above, below, limit)
            sums[n, 1] += _sticking_out(frames[max(t - 1, 0), y], above, below, limit)
            sums[n, 2] += _sticking_out(frames[min(t + 1, last), y], above, below, limit)


def _count(height: int, width: int, first: int) -> int:
    return len(range(1 + first, height - 1, 2)) * width


@match_combing.cpu
def _(frames, out, start, order, threshold, bits):
    first = 0 if order == "tff" else 1
    out[:] = 0
    _match_combing(frames, start, first, _in_samples(threshold, frames, bits), out)
    out /= _count(*frames.shape[1:], first) * 2.0 ** (bits - 8)


def _plan_matches(arrays: list[Any], out: Any, start: int, order: str, threshold: float, bits: int) -> list[Launch]:
    frames, i, first = arrays[0], np.int32, 0 if order == "tff" else 1
    total, height, width = frames.shape
    scale = np.float64(_count(height, width, first) * 2.0 ** (bits - 8))
    sizes = (i(start), i(total), i(height), i(width), i(first))
    args = (frames, out, *sizes, _in_samples(threshold, frames, bits), scale)
    return [Launch("match_combing", (out.shape[0], len(OFFSETS), 1), (256, 1, 1), args)]


match_combing.cuda("film.cu", _plan_matches)


@kernel(halo=Halo(frames=1), outputs=one_value_per_frame)
def change(frames, block: Annotated[int, Knob(4, 128, step=1, unit="pixels", soft=(8, 64))] = 32, bits: Bits = 0):
    """Says how much the most changed part of each frame differs from the frame before.

    The picture is cut into squares of `block` samples (smaller at the right and lower edge); the result is the largest
    of their mean absolute differences, so that something small that moves is not lost in a still background.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane.
    Returns `(T,)` float64 in levels of 8-bit video; the first frame has no frame before it: NaN.
    """
    height, width = frames.shape[1:]
    rows, columns = np.arange(0, height, block), np.arange(0, width, block)
    lines = frames.astype(np.float64 if frames.dtype.kind == "f" else np.int64)
    apart = abs(np.diff(lines, axis=0))
    sums = np.add.reduceat(np.add.reduceat(apart, rows, axis=1), columns, axis=2)
    sizes = np.outer(np.minimum(block, height - rows), np.minimum(block, width - columns))
    most = (sums / sizes).max(axis=(1, 2)) / 2.0 ** (depth(frames, bits) - 8)
    return np.concatenate([[np.nan], most])


@njit(nogil=True)
def _apart(a, b):
    total = wide(a[0]) - wide(a[0])
    for x in range(a.shape[0]):
        total += abs(wide(a[x]) - wide(b[x]))
    return np.float64(total)


@njit(parallel=True, cache=True, nogil=True)
def _change(frames, out, start, block, scale):
    height, width = frames.shape[1:]
    for n in prange(out.shape[0]):
        t = start + n
        if t == 0:
            out[n] = np.nan
            continue
        most = 0.0
        for top in range(0, height, block):
            bottom = min(top + block, height)
            for left in range(0, width, block):
                right = min(left + block, width)
                total = 0.0
                for y in range(top, bottom):
                    total += _apart(frames[t, y, left:right], frames[t - 1, y, left:right])
                most = max(most, total / ((bottom - top) * (right - left)))
        out[n] = most / scale


@change.cpu
def _(frames, out, start, block, bits):
    _change(frames, out, start, block, 2.0 ** (bits - 8))


def _plan_change(arrays: list[Any], out: Any, start: int, block: int, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    height, width = frames.shape[1:]
    rows, columns = -(-height // block), -(-width // block)
    means = empty_like_backend(frames, (out.shape[0], rows * columns), np.float64)
    sizes, scale = (i(start), i(height), i(width), i(block)), np.float64(2.0 ** (bits - 8))
    return [
        Launch("square_changes", (columns, rows, out.shape[0]), (256, 1, 1), (frames, means, *sizes)),
        Launch("largest", (out.shape[0], 1, 1), (1, 1, 1), (means, out, i(start), i(rows * columns), scale)),
    ]


change.cuda("film.cu", _plan_change)


#: Cadences: where the second field of successive frames lies when the first is kept.
CADENCES = {"own": (0,), "3:2": (0, 0, -1, -1, 0), "before": (-1,), "after": (1,)}
_STATES = [offset for cadence in CADENCES.values() for offset in cadence]


def _following() -> list[int]:
    """For each state (a place in a cadence) the state of the next frame."""
    following, begin = [], 0
    for cadence in CADENCES.values():
        following += [begin + (k + 1) % len(cadence) for k in range(len(cadence))]
        begin += len(cadence)
    return following


def choose_matches(costs: np.ndarray, hold: float = 0.5, own: float = 0.03) -> np.ndarray:
    """Where each frame's second field should come from: 0 itself, -1 the frame before, 1 the frame after.

    The least combing alone decides badly where little moves.  So whole cadences compete (`CADENCES`, in every phase):
    each frame adds the log ratio of the combing of its match to that of the best match, a change of cadence or phase
    adds `hold`, a field from another frame adds `own`; the sequence of least sum wins (Viterbi).

    costs : `(T, 3)` of `match_combing`, of a whole clip or of long stretches.  Returns int8 `(T,)`.
    """
    costs = np.asarray(costs, np.float64) + 1e-3  # level; below it nothing is seen
    ratios = np.log(costs / costs.min(axis=1, keepdims=True)) + own * (np.array(OFFSETS) != 0)
    column = [OFFSETS.index(offset) for offset in _STATES]
    total, came = ratios[0, column], []
    for ratio in ratios[1:]:
        jump = np.full(len(_STATES), int(total.argmin()))
        arrival = np.full(len(_STATES), total.min() + hold)
        for state, successor in enumerate(_following()):
            if total[state] <= arrival[successor]:
                arrival[successor], jump[successor] = total[state], state
        came.append(jump)
        total = arrival + ratio[column]
    states = [int(total.argmin())]
    for jump in reversed(came):
        states.append(int(jump[states[-1]]))
    return np.array([_STATES[state] for state in reversed(states)], np.int8)


def weave_matches(frames: Any, offsets: np.ndarray, order: str) -> Any:
    """Frames with the second field of each taken from the frame at its offset; a new array on the same device.

    frames : `(T, H, W)`; offsets : `(T,)` of `choose_matches`; beyond the ends the frame's own field stays.
    """
    out, second = frames.copy(), 1 if order == "tff" else 0
    for t in np.flatnonzero(offsets):
        source = t + int(offsets[t])
        if 0 <= source < len(frames):
            out[t, second::2] = frames[source, second::2]
    return out


def keep_of_cycle(changes: np.ndarray, cycle: int = 5) -> np.ndarray:
    """Which frames stay when one of every `cycle` is a repeat: all but the least changed of each; bool `(T,)`.

    changes : `(T,)` of `change`; NaN (no frame before) is never dropped.  A last, shorter cycle keeps all.
    """
    kept = np.ones(len(changes), bool)
    known = np.where(np.isnan(changes), np.inf, changes)
    for begin in range(0, len(changes) - cycle + 1, cycle):
        kept[begin + int(known[begin : begin + cycle].argmin())] = False
    return kept
