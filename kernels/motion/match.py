"""The Numba body of `find_motion`: sums of absolute differences on bytes, one frame and direction per task.

Limit, for 720x480 and blocks of 16: some 20 places for each of 5551 blocks, a third more below full size, 8 cycles each
(see `blocks.py`): 1.2 million cycles per reference.  Places, costs and the best of four take about as long again.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from kernels.motion.blocks import CAP, NOTHING, STILL, cross, four
from kernels.motion.planes import make_phases, repeat_edges, shrink
from kernels.rows import copy_row

SPAN = 4  # samples each way, at the smallest size
ROUNDS = 2  # steps of one sample at each larger size, and of half a sample at the end
NONE = 32767  # difference that stands for "no such frame"

#: Every vector that is tried at the smallest size, in their order, filled up to fours.
_SPAN = [STILL] + [STILL + 65536 * y + x for y in range(-SPAN, SPAN + 1) for x in range(-SPAN, SPAN + 1)]
_EVERY = np.array(_SPAN + _SPAN[-1:] * (-len(_SPAN) % 4), np.int64)


@njit(cache=True, nogil=True)
def _down(known):
    return ((known >> 16) & 0xFFFF) - 0x8000


@njit(cache=True, nogil=True)
def _right(known):
    return (known & 0xFFFF) - 0x8000


@njit(cache=True, nogil=True)
def _doubled(known):
    return 2 * (known & 0xFFFFFFFF) - STILL


@njit(cache=True, nogil=True, error_model="numpy")
def _steps(planes, here, there, area, stride, side, fine, weight, top, left, foot, right, known, parent, todo):
    """A line of blocks goes on to the best of the four places around, ROUNDS times.  `left` is of the first block."""
    count, step = known.shape[0], side // 2
    for j in range(count):
        todo[j] = j
    for _ in range(ROUNDS):
        moved = 0
        for k in range(count):
            j = todo[k]
            ground = (here + j * step, there, area, stride, fine, weight, top, left + ((j * step) << fine), foot,
                      right)  # fmt: skip
            found = cross(planes, ground, side, parent[j], known[j])
            todo[moved] = j
            moved += found != known[j]
            known[j] = found
        count = moved


@njit(cache=True, nogil=True, error_model="numpy")
def _level(planes, here, there, height, width, side, weight, above, near, d, best, parent, todo):
    """Whole-sample vectors of one size: what is known of each block into `best`, the vector it began from into
    `parent`.  A step is taken for a line of blocks before the next one: they do not wait for each other."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    foot, right, columns = height + 2 * pad - side, width + 2 * pad - side, best.shape[1]
    tries = np.empty(8, np.int64) if above.shape[0] else _EVERY.copy()
    for i in range(best.shape[0]):
        top = pad + (i - 1) * step
        for j in range(columns):
            left, first, fours = pad + (j - 1) * step, STILL, tries.shape[0] // 4
            if above.shape[0]:
                first, last = _doubled(above[i // 2, j // 2]), _doubled(above[(i + 1) // 2, (j + 1) // 2])
                first = (STILL + 65536 * (min(max(_down(first) + top, 0), foot) - top)
                         + min(max(_right(first) + left, 0), right) - left)  # fmt: skip
                guess = STILL
                if near.shape[0]:
                    guess += near[i, j, 0] * d // (2 * (d - 1)) * 65536 + near[i, j, 1] * d // (2 * (d - 1))
                tries[0], tries[1], tries[2], tries[3], fours = first, last, STILL, guess, 1
                if i & 1 and j & 1:  # else there are at most two different parents
                    tries[1], tries[2] = _doubled(above[i // 2, j // 2 + 1]), _doubled(above[i // 2 + 1, j // 2])
                    tries[3], tries[4], fours = last, STILL, 2
                    tries[5] = tries[6] = tries[7] = guess
            ground = here + top * stride + left, there, 0, stride, 0, weight, top, left, foot, right
            known = NOTHING
            for k in range(0, 4 * fours, 4):
                known = four(planes, ground, side, first, known, tries[k], tries[k + 1], tries[k + 2], tries[k + 3])
            parent[i, j], best[i, j] = first, known
        if above.shape[0]:
            _steps(planes, here + top * stride + pad - step, there, 0, stride, side, 0, weight, top, pad - step, foot,
                   right, best[i], parent[i], todo)  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _settle(planes, here, there, height, width, side, weight, fine, last, best, better, parent, out, todo):
    """The neighbours' vectors; at full size (`last`) also half samples, and the result without the penalty."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    foot, right = height + 2 * pad - side, width + 2 * pad - side
    area, rows, columns = (height + 2 * pad) * stride, best.shape[0], best.shape[1]
    for i in range(rows):
        top, up, down = pad + (i - 1) * step, max(i - 1, 0), min(i + 1, rows - 1)
        count = 0
        for j in range(columns):
            known = best[i, j]
            others = ((best[up, j] ^ known) | (best[down, j] ^ known) | (best[i, max(j - 1, 0)] ^ known)
                      | (best[i, min(j + 1, columns - 1)] ^ known))  # fmt: skip
            better[i, j], todo[count] = known, j
            count += (others & 0xFFFFFFFF) != 0
        for k in range(count):
            j = todo[k]
            left = pad + (j - 1) * step
            ground = here + top * stride + left, there, 0, stride, 0, weight, top, left, foot, right
            better[i, j] = four(planes, ground, side, parent[i, j], best[i, j], best[up, j], best[down, j],
                                best[i, max(j - 1, 0)], best[i, min(j + 1, columns - 1)])  # fmt: skip
        if not last:
            continue
        for j in range(columns):
            parent[i, j] = _doubled(parent[i, j])
            better[i, j] = (better[i, j] >> 40 << 40) + _doubled(better[i, j])
        if fine:
            _steps(planes, here + top * stride + pad - step, there, area, stride, side, 1, weight, 2 * top,
                   2 * (pad - step), 2 * foot + 1, 2 * right + 1, better[i], parent[i], todo)  # fmt: skip
        for j in range(columns):
            known, first = better[i, j], parent[i, j]
            by, bx = _down(known), _right(known)
            differ = (known >> 40) - weight * min(abs(by - _down(first)) + abs(bx - _right(first)), CAP)
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = by, bx, differ * 64 // (side * side)


@njit(cache=True, nogil=True, error_model="numpy")
def _prepare(frame, planes, at, spots, sizes, side, half, scale):
    """One frame in 8 bits, padded, with its phases, and its smaller pictures."""
    height, width, pad = frame.shape[0], frame.shape[1], 2 * side
    stride = width + 2 * pad
    for y in range(height):
        row = at + (y + pad) * stride + pad
        to, src = planes[row : row + width], frame[y]
        if frame.itemsize == 1:
            copy_row(to, src)
        else:
            for x in range(width):
                v = np.float32(src[x]) * scale + np.float32(0.5)
                to[x] = np.int32(min(max(v, np.float32(0)), np.float32(255)))
    repeat_edges(planes, at, height, width, pad)
    for k in range(1, sizes.shape[0]):
        shrink(planes, at + spots[k - 1], sizes[k - 1, 0], sizes[k - 1, 1], at + spots[k], pad)
    if half:
        make_phases(planes, at, height + 2 * pad, stride, np.float32(255))


@njit(cache=True, nogil=True, error_model="numpy")
def _one_way(planes, out, t, way, begin, end, slots, radius, side, half, weight, sizes, spots):
    """The vectors of frame t into the frames before it (`way` 0) or after it."""
    levels = sizes.shape[0]
    total = spots[levels]
    near = np.empty((0, 0, 3), np.int16)
    for d in range(1, radius + 1):
        slot, other = 2 * (d - 1) + way, t + (d if way else -d)
        if not begin <= other < end:
            out[slot, :, :, :2] = 0
            out[slot, :, :, 2] = NONE
            continue
        above = np.empty((0, 0), np.int64)
        for k in range(levels - 1, -1, -1):
            height, width = sizes[k, 0], sizes[k, 1]
            rows, columns = -(-height // (side // 2)) + 1, -(-width // (side // 2)) + 1
            best, better = np.empty((rows, columns), np.int64), np.empty((rows, columns), np.int64)
            parent, todo = np.empty((rows, columns), np.int64), np.empty(columns, np.int64)
            here, there = (t - begin) % slots * total + spots[k], (other - begin) % slots * total + spots[k]
            close = near if k == 0 else near[:0]
            _level(planes, here, there, height, width, side, weight, above, close, d, best, parent, todo)
            _settle(planes, here, there, height, width, side, weight, half, k == 0, best, better, parent, out[slot],
                    todo)  # fmt: skip
            above = better
        near = out[slot]


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def find(frames, out, start, once, radius, side, half, weight, sizes, scale):
    pad, levels = 2 * side, sizes.shape[0]
    spots = np.empty(levels + 1, np.int64)
    spots[0] = 0
    for k in range(levels):
        area = (sizes[k, 0] + 2 * pad) * (sizes[k, 1] + 2 * pad)
        spots[k + 1] = spots[k] + area * (4 if k == 0 and half else 1)
    begin, end = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    total, ready = spots[levels], begin
    # Planes of a few frames, used again and again: to new memory the system first writes zeros.
    slots = min(once + 2 * radius, end - begin)
    planes = np.empty(slots * total + 64, np.uint8)
    for first in range(start, start + out.shape[0], once):
        last = min(first + once, start + out.shape[0])
        wanted = min(last + radius, end)
        for n in prange(wanted - ready):
            slot = (ready + n - begin) % slots
            _prepare(frames[ready + n], planes, slot * total, spots, sizes, side, half, scale)
        ready = wanted
        for task in prange(2 * (last - first)):
            t, way = first + task // 2, task % 2
            _one_way(planes, out[t - start], t, way, begin, end, slots, radius, side, half, weight, sizes, spots)
