"""Dropouts: streaks of lost signal, found in one frame and healed from what lies around them in time and space.

A sample belongs to a dropout when it stands out from the frame before and from the frame after in the same direction:
the spike detector of A. C. Kokaram ("Motion Picture Restoration", Springer 1998, section 6), in the form of rank order
detectors (M. J. Nadenau, S. K. Mitra, "Blotch and scratch detection in image sequences based on rank ordered
differences", 1996) that compare with the range of several samples of those frames, here 5x5.  Two facts about tape are
added.  A dropout lies along the line and is few lines high, so samples must also stand out from the lines above and
below, and most of a stretch of the line must do so.  And a dropout is there once, whereas a thin bright edge that moves
is seen in the frame before and in the frame after as well, somewhere near: streaks with such a partner on both sides
are left alone.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import wide
from kernels.rows import copy_rows

BOX = 2  # the neighbouring frames are seen through 5x5 samples
NEAR_LINES, NEAR_SAMPLES = 16, 64  # how far a thin thing may move in one frame
REACH = 8  # lines above and below in which healing looks for good samples

Levels = Annotated[float, Knob(4, 128, step=0.5, unit="levels", soft=(10, 60))]
Length = Annotated[int, Knob(4, 256, step=1, unit="samples", soft=(4, 64))]
Lines = Annotated[int, Knob(1, REACH, step=1, unit="lines")]


def _facts(threshold: float, length: int, dtype: Any, bits: int) -> dict[str, Any]:
    """Thresholds in samples, and the stretches of the line, in which at least so many samples must stand out."""
    scale = 1 << (depth(np.empty(0, dtype), bits) - 8)
    level = np.float32 if np.dtype(dtype).kind == "f" else lambda v: np.int32(np.floor(v))
    return {
        "limit": level(threshold * scale),
        "weak": level(threshold * scale / 2),
        "half": 3 * length // 4,
        "need": length,
        "need_weak": length // 2,
        "grow": length // 2,
    }


@kernel(halo=lambda length, **_: Halo(1, NEAR_SAMPLES + 2 * length))
def find_dropouts(frames, threshold: Levels = 20.0, length: Length = 16, lines: Lines = 3, bits: Bits = 0):
    """Shows where dropouts are: white where a streak is in this frame only, black elsewhere.

    threshold : by how much a streak is lighter or darker than the frames before and after and the lines around it.
    length    : the shortest streak.
    lines     : the highest streak.  A lost line of one field is three lines high after deinterlacing.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane, luma.  The first and the last frame of a clip
             have only one neighbour, and nothing is found in them.
    Returns the same shape and dtype: the peak level on streaks and a little around them, else 0.
    Source: see the module.
    """
    facts = _facts(threshold, length, frames.dtype, bits)
    real = frames.dtype.kind == "f"
    peak = 255 if real else (1 << depth(frames, bits)) - 1
    marks = np.zeros_like(frames)
    for sign in (1, -1):
        signed = sign * frames.astype(np.float32 if real else np.int32)
        own = [_out_of_its_lines(p, lines) for p in signed]
        around = [_largest(p, BOX, BOX) for p in signed]
        for t in range(1, len(frames) - 1):
            apart = signed[t] - np.maximum(around[t - 1], around[t + 1])
            streaks = _long(np.minimum(own[t], apart) > facts["limit"], facts["half"], facts["need"])
            partners = []
            for u in (t - 1, t + 1):
                moving = np.minimum(own[u], signed[u] - around[t]) > facts["weak"]
                moving = _long(moving, facts["half"], facts["need_weak"])
                partners.append(_largest(moving, NEAR_LINES, NEAR_SAMPLES))
            streaks &= ~(partners[0] & partners[1])
            marks[t][_largest(streaks, 1, facts["grow"])] = peak
    return marks


def _largest(plane: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The largest value among the samples up to `dy` lines and `dx` columns away."""
    for axis, reach in ((0, dy), (1, dx)):
        width = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, width, mode="edge"), 2 * reach + 1, axis)
        plane = windows.max(-1)
    return plane


def _out_of_its_lines(plane: np.ndarray, lines: int) -> np.ndarray:
    """By how much a sample exceeds both the lowest above it and the lowest below it, up to `lines` lines away."""
    out = np.zeros_like(plane)
    height = len(plane)
    for y in range(height if height > 1 else 0):
        sides = [plane[max(y - lines, 0) : y], plane[y + 1 : y + 1 + lines]]
        out[y] = plane[y] - np.max([side.min(0) for side in sides if len(side)], axis=0)
    return out


def _long(flags: np.ndarray, half: int, need: int) -> np.ndarray:
    """Flags that have at least `need` flags among the `2 half + 1` of the line around them."""
    padded = np.pad(flags, ((0, 0), (half, half)))
    return flags & (np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, 1).sum(-1) >= need)


@njit(nogil=True)
def _candidates(row, a, b, sign, limit):
    """How many samples of a line stand out from the same places of two others; most lines have none."""
    count = np.int32(0)
    if sign > 0:
        for x in range(row.shape[0]):
            count += np.int32(wide(wide(row[x]) - wide(max(a[x], b[x]))) > limit)
    else:
        for x in range(row.shape[0]):
            count += np.int32(wide(wide(min(a[x], b[x])) - wide(row[x])) > limit)
    return count


@njit(nogil=True)
def _raise_to_box(top, plane, y, sign, column):
    """Raises `top` to the largest of the 5x5 samples around each place of line y.  `column` is working space."""
    height, width = plane.shape
    inner = column[BOX : BOX + width]
    for dy in range(-BOX, BOX + 1):
        row = plane[min(max(y + dy, 0), height - 1)]
        for x in range(width):
            v = wide(sign * wide(row[x]))
            inner[x] = v if dy == -BOX else max(inner[x], v)
    column[:BOX] = inner[0]
    column[BOX + width :] = inner[width - 1]
    for dx in range(2 * BOX + 1):
        part = column[dx : dx + width]
        for x in range(width):
            top[x] = max(top[x], part[x])


@njit(nogil=True)
def _raise_to_side(top, low, plane, y, step, lines, sign):
    """Raises `top` to the lowest sample of the lines above (step -1) or below (step 1)."""
    height, width = plane.shape
    for k in range(1, lines + 1):
        if not 0 <= y + step * k < height:
            break
        row = plane[y + step * k]
        for x in range(width):
            v = wide(sign * wide(row[x]))
            low[x] = v if k == 1 else min(low[x], v)
    for x in range(width):
        top[x] = max(top[x], low[x])


@njit(nogil=True)
def _streaks(now, one, other, y, sign, lines, limit, half, need, kept):
    """Marks in `kept` the samples of line y of `now` that lie in a streak, seen against two frames; counts them."""
    height, width = now.shape
    if height == 1 or _candidates(now[y], one[y], other[y], sign, limit) < need:
        return 0
    kind = np.full(1, limit)
    top, low, column = np.empty(width, kind.dtype), np.empty(width, kind.dtype), np.empty(width + 2 * BOX, kind.dtype)
    flags = np.zeros(width + 2 * half + 1, np.int32)
    row = now[y]
    for x in range(width):
        top[x] = wide(sign * wide(one[y, x]))
    if y > 0:
        _raise_to_side(top, low, now, y, np.int64(-1), lines, sign)
    if y < height - 1:
        _raise_to_side(top, low, now, y, np.int64(1), lines, sign)
    left = np.int32(0)
    for x in range(width):
        left += np.int32(wide(wide(sign * wide(row[x])) - top[x]) > limit)
    if left < need:  # seldom more: the boxes are the costly part
        return 0
    _raise_to_box(top, one, y, sign, column)
    _raise_to_box(top, other, y, sign, column)
    inner = flags[half : half + width]
    for x in range(width):
        inner[x] = np.int32(wide(wide(sign * wide(row[x])) - top[x]) > limit)
    count, found = 0, 0
    for x in range(2 * half):
        count += flags[x]
    for x in range(width):
        count += flags[x + 2 * half]
        if inner[x] and count >= need:
            kept[x] = 1
            found += 1
        count -= flags[x]
    return found


@njit(nogil=True)
def _any_near(marks, y, x):
    height, width = marks.shape
    for j in range(max(y - NEAR_LINES, 0), min(y + NEAR_LINES + 1, height)):
        for i in range(max(x - NEAR_SAMPLES, 0), min(x + NEAR_SAMPLES + 1, width)):
            if marks[j, i]:
                return True
    return False


@njit(nogil=True)
def _find(before, now, after, out, sign, lines, limit, weak, half, need, need_weak, grow, peak):
    height, width = now.shape
    kept = np.zeros((height, width), np.uint8)
    first, last = height, -1
    for y in range(height):
        if _streaks(now, before, after, y, sign, lines, limit, half, need, kept[y]):
            first, last = min(first, y), y
    if last < 0:
        return
    partners = np.zeros((2, height, width), np.uint8)
    seen = np.zeros(2, np.int32)
    for side in range(2):
        beside = after if side else before
        for y in range(max(first - NEAR_LINES, 0), min(last + NEAR_LINES + 1, height)):
            seen[side] += _streaks(beside, now, now, y, sign, lines, weak, half, need_weak, partners[side, y])
    moves = seen[0] > 0 and seen[1] > 0
    for y in range(first, last + 1):
        for x in range(width):
            if kept[y, x] and not (moves and _any_near(partners[0], y, x) and _any_near(partners[1], y, x)):
                out[max(y - 1, 0) : y + 2, max(x - grow, 0) : x + grow + 1] = peak


@njit(parallel=True, cache=True, nogil=True)
def _find_dropouts(frames, out, start, lines, limit, weak, half, need, need_weak, grow, peak):
    for n in prange(out.shape[0]):
        t = start + n
        out[n] = 0
        if 0 < t < frames.shape[0] - 1:
            for sign in (1, -1):
                _find(
                    frames[t - 1], frames[t], frames[t + 1], out[n], sign, lines, limit, weak, half, need, need_weak,
                    grow, peak,
                )  # fmt: skip


@find_dropouts.cpu
def _(frames, out, start, threshold, length, lines, bits):
    facts = _facts(threshold, length, frames.dtype, bits)
    _find_dropouts(frames, out, start, lines, *facts.values(), frames.dtype.type(_peak(frames, bits)))


def _peak(frames: Any, bits: int) -> int:
    return 255 if frames.dtype.kind == "f" else (1 << bits) - 1


def _plan_find(arrays: list[Any], out: Any, start: int, threshold: float, length: int, lines: int, bits: int):
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    first, last = max(start - 1, 0), min(start + len(out) + 1, count)
    facts = _facts(threshold, length, frames.dtype, bits)
    levels = [np.float32(facts.pop(n)) if frames.dtype.kind == "f" else i(facts.pop(n)) for n in ("limit", "weak")]
    flags, runs = (empty_like_backend(frames, (last - first, height, width), np.uint8) for _ in range(2))
    size = (i(first), i(count), i(height), i(width))
    half, need, need_weak, grow = (i(v) for v in facts.values())
    grid, block = (-(-width // 128), height, last - first), (128, 1, 1)
    return [
        Launch("stand_out", grid, block, (frames, flags, *size, i(lines), *levels)),
        Launch("keep_runs", grid, block, (flags, runs, i(height), i(width), half, need, need_weak)),
        Launch("blacken", (-(-width // 128), height, len(out)), block, (out, i(height), i(width))),
        Launch(
            "mark_streaks", (-(-width // 128), height, len(out)), block,
            (runs, out, *size, i(start), grow, i(_peak(frames, bits))),
        ),
    ]  # fmt: skip


find_dropouts.cuda("dropouts.cu", _plan_find)


@kernel(halo=Halo(1, REACH), inputs=lambda shape, knobs: [shape, shape])
def heal_dropouts(
    frames,
    marks,
    agree: Annotated[float, Knob(0, 255, step=0.5, unit="levels", soft=(0, 60))] = 12.0,
    bits: Bits = 0,
):
    """Heals what is marked: from the frames before and after where these agree, else with the lines above and below.

    Where the frames before and after differ by no more than `agree`, their mean is taken.  Where they differ more, or
    one is marked or missing, the lines are asked: the nearest sample above and below that is not marked, up to 8 lines
    away, each weighed by the distance of the other.  Of that and the two frames the middle one is taken.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    marks  : the same shape and dtype; samples above half the peak level are healed (`find_dropouts` makes them).
    Returns the same shape and dtype; a sample with nothing good around it stays as it is.
    """
    real = frames.dtype.kind == "f"
    bits = depth(frames, bits)
    bad = marks > _half_peak(frames, bits)
    values = frames.astype(np.float32 if real else np.int32)
    near = _agreement(agree, frames, bits)
    out = frames.copy()
    for t, y, x in zip(*np.nonzero(bad), strict=True):
        times = [values[u, y, x] for u in (t - 1, t + 1) if 0 <= u < len(frames) and not bad[u, y, x]]
        if len(times) == 2 and abs(times[0] - times[1]) <= near:
            out[t, y, x] = _share(sum(times), 2)
            continue
        sides = []
        for step in (-1, 1):
            for k in range(1, REACH + 1):
                if 0 <= y + step * k < frames.shape[1] and not bad[t, y + step * k, x]:
                    sides.append((values[t, y + step * k, x], k))
                    break
        if len(sides) == 2:
            (a, above), (b, below) = sides
            lines = _share(a * below + b * above, above + below)
        elif sides:
            lines = sides[0][0]
        elif times:
            lines = _share(sum(times), len(times))
        else:
            continue
        out[t, y, x] = min(max(lines, min(times)), max(times)) if len(times) == 2 else lines
    return out


def _share(total: Any, parts: Any) -> Any:
    """A part of a sum of samples, rounded for integers."""
    return total / np.float32(parts) if isinstance(total, np.floating) else (total + parts // 2) // parts


@overload(_share)
def _(total, parts):
    if isinstance(total, types.Float):
        return lambda total, parts: np.float32(total / np.float32(parts))
    return lambda total, parts: np.int32((np.int32(total) + np.int32(parts // 2)) // np.int32(parts))


def _half_peak(frames: Any, bits: int) -> Any:
    return np.float32(127.5) if frames.dtype.kind == "f" else np.int32(((1 << bits) - 1) // 2)


def _agreement(agree: float, frames: Any, bits: int) -> Any:
    scaled = agree * (1 << (bits - 8))
    return np.float32(scaled) if frames.dtype.kind == "f" else np.int32(np.floor(scaled))


@njit(nogil=True)
def _good_line(bad, y, x, step, half):
    """How far away the nearest line is whose sample is not marked; 0 when there is none within reach."""
    for k in range(1, REACH + 1):
        if not 0 <= y + step * k < bad.shape[0]:
            return 0
        if not wide(bad[y + step * k, x]) > half:
            return k
    return 0


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _heal(frames, marks, out, start, near, half):
    count, height, width = frames.shape
    for n in prange(out.shape[0]):
        t = start + n
        copy_rows(out[n], frames[t])
        for y in range(height):
            row, found = marks[t, y], np.int32(0)
            for x in range(width):
                found += np.int32(wide(row[x]) > half)
            if not found:
                continue
            for x in range(width):
                if not wide(row[x]) > half:
                    continue
                early = t > 0 and not wide(marks[t - 1, y, x]) > half
                late = t + 1 < count and not wide(marks[t + 1, y, x]) > half
                p = wide(frames[t - 1, y, x]) if early else wide(near - near)
                q = wide(frames[t + 1, y, x]) if late else wide(near - near)
                mean = _share(p + q, 2)
                if early and late and abs(p - q) <= near:
                    out[n, y, x] = mean
                    continue
                above, below = _good_line(marks[t], y, x, -1, half), _good_line(marks[t], y, x, 1, half)
                a, b = wide(frames[t, y - above, x]), wide(frames[t, y + below, x])
                if above and below:
                    lines = _share(wide(a * below) + wide(b * above), above + below)
                elif above or below:
                    lines = a if above else b
                elif early or late:
                    lines = mean if early and late else (p if early else q)
                else:
                    continue
                out[n, y, x] = min(max(lines, min(p, q)), max(p, q)) if early and late else lines


@heal_dropouts.cpu
def _(frames, marks, out, start, agree, bits):
    _heal(frames, marks, out, start, _agreement(agree, frames, bits), _half_peak(frames, bits))


def _plan_heal(arrays: list[Any], out: Any, start: int, agree: float, bits: int) -> list[Launch]:
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    knobs = (_agreement(agree, frames, bits), _half_peak(frames, bits))
    args = (*arrays, out, i(start), i(count), i(height), i(width), *knobs)
    return [Launch("heal", (-(-width // 128), height, len(out)), (128, 1, 1), args)]


heal_dropouts.cuda("dropouts.cu", _plan_heal)
