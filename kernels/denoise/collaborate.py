"""The Numba body of `bm3d` and `bm3d_wiener`: bands of lines in parallel, which write to the sums of their own lines.

What a band's blocks add reaches a search and a block beyond it, so every other band goes at once, then those between;
over time a band goes through its frames one after the other, since their blocks meet in the frames around (and stay in
the cache).  So the order of the additions, and with it the result, depends neither on the number of threads nor on
where a batch begins.  See `alike` for the matching and its limit, `groups` for the spectra and theirs.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from kernels.denoise.alike import ACROSS, GROUP, NONE, PLACES, SIDE, match
from kernels.denoise.groups import put_back, threshold, transform, wiener

BEFORE, BEHIND = 32, 192  # room beside the lines of bytes: the search and a whole vector
NUMBER = (1 << PLACES) - 1


@njit(cache=True, nogil=True)
def frame_of(slot):
    """Which frame a slot stands for: 0, -1, 1, -2, 2, ..."""
    return -((slot + 1) // 2) if slot % 2 else slot // 2


@njit(cache=True, nogil=True)
def span_of(slot, search, motion):
    """How far away candidates may be in that frame: nearer frames have moved less."""
    return motion * ((slot + 1) // 2) if slot else search


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def floats(frames, begin, rows, columns, scale, to):
    """Frames from `begin` on, mirrored to whole blocks, in levels of 8-bit video: into `to` `(F, high, wide)`."""
    high = rows.shape[0]
    for i in prange(to.shape[0] * high):
        line, src = to[i // high, i % high], frames[begin + i // high, rows[i % high]]
        for x in range(columns.shape[0]):
            line[x] = np.float32(src[columns[x]]) * scale


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def levels(planes, to):
    """Rounded to bytes, with room beside the lines."""
    high, wide = planes.shape[1], planes.shape[2]
    for i in prange(planes.shape[0] * high):
        line, src = to[i // high, i % high], planes[i // high, i % high]
        line[:BEFORE] = 0
        line[BEFORE + wide :] = 0
        for x in range(wide):
            line[BEFORE + x] = np.uint8(min(max(src[x] + np.float32(0.5), np.float32(0)), np.float32(255)))


@njit(cache=True, nogil=True, error_model="numpy")
def _band(seen, light, guide, t, start, outs, first, stop, high, wide, step, search, motion, radius, guided, strength,
          window, sums, weights):  # fmt: skip
    """Adds the filtered groups of the blocks in lines first .. stop of frame t to `sums` and `weights`.

    What belongs to frames beyond start .. start + outs goes to one more frame, which nobody reads.
    """
    reach = max(search, radius * motion)
    slots, side, pitch, area = 2 * radius + 1, 2 * reach + 1, wide + BEFORE + BEHIND, high * wide
    count = light.shape[0] // area
    keys = np.empty(GROUP * ACROSS, np.uint32)
    bases, spans = np.empty(slots, np.int64), np.empty(slots, np.int64)
    source, target = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
    group, other = np.empty(GROUP * SIDE * SIDE, np.float32), np.empty(GROUP * SIDE * SIDE, np.float32)
    for y in range(first, stop, step):
        low, end = max(-reach, -y), min(reach, high - SIDE - y) + 1
        for slot in range(slots):
            frame = t + frame_of(slot)
            bases[slot] = (frame * high + y) * pitch + BEFORE if 0 <= frame < count else -1
            spans[slot] = span_of(slot, search, motion)
        for left in range(0, SIDE, step):
            for begin in range(left, wide - SIDE + 1, SIDE * ACROSS):
                match(seen, bases, spans, begin, pitch, low, end, reach, wide - SIDE, keys)
                for lane in range(min(ACROSS, (wide - SIDE - begin) // SIDE + 1)):
                    x = begin + SIDE * lane
                    for k in range(GROUP):
                        key = np.int64(keys[k * ACROSS + lane])
                        slot, dy, dx = 0, 0, 0
                        if key != NONE and key & NUMBER:
                            number = (key & NUMBER) - 1
                            line = number // side
                            dx = number - line * side - reach
                            slot = line // side
                            dy = line - slot * side - reach
                        place = (y + dy) * wide + x + dx
                        frame = t + frame_of(slot)
                        source[k] = frame * area + place
                        target[k] = (frame - start if start <= frame < start + outs else outs) * area + place
                    for pair in range(GROUP // 2):
                        transform(light, source, wide, group, pair)
                    if guided:
                        for pair in range(GROUP // 2):
                            transform(guide, source, wide, other, pair)
                        total = wiener(group, other, strength)
                    else:
                        total = threshold(group, strength)
                    for pair in range(GROUP // 2):
                        put_back(group, pair, np.float32(1) / total, window, sums, weights, target, wide)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def collaborate(seen, light, guide, start, outs, high, wide, step, search, motion, radius, guided, strength, window,
                sums, weights):  # fmt: skip
    """Fills `sums` and `weights` for frames start .. start + outs, flat float32 planes, and one more, which is waste.

    seen, light, guide : flat planes: bytes to match, what is filtered, what Wiener's weights follow (any, unless
                         `guided`).
    strength           : the slope of the ramp of `threshold`, or the power of the noise.
    """
    count = light.shape[0] // (high * wide)
    for i in prange((outs + 1) * high):
        for x in range(i * wide, (i + 1) * wide):
            sums[x], weights[x] = 0, 0
    reach = max(search, radius * motion)
    lines = (2 * reach + 2 * SIDE - 1) // SIDE * SIDE  # of a band: as many as it reaches beyond itself
    bands = (high - SIDE) // lines + 1
    first, stop = max(start - radius, 0), min(start + outs + radius, count)
    chains, each = (1, stop - first) if radius else (stop - first, 1)
    for odd in range(2):
        some = (bands + 1 - odd) // 2
        for i in prange(chains * some):
            top, begin = (2 * (i % some) + odd) * lines, first + i // some * each
            for t in range(begin, begin + each):
                _band(seen, light, guide, t, start, outs, top, min(top + lines, high - SIDE + 1), high, wide, step,
                      search, motion, radius, guided, strength, window, sums, weights)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def finish(sums, weights, out, scale, peak, half):
    """The weighted means as samples; peak 0 is for float."""
    height = out.shape[1]
    for i in prange(out.shape[0] * height):
        t, y = i // height, i % height
        to, total, weight = out[t, y], sums[t, y], weights[t, y]
        for x in range(to.shape[0]):
            v = total[x] / (weight[x] * scale) + half
            to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)
