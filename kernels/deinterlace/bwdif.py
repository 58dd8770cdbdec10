"""bwdif: the BBC's three-field filter, held to what the neighbouring fields allow.

From the published weights of the BBC's "Weston 3 Field Deinterlacing Filter" (`threefields.py`) and yadif's temporal
limit (`limit.py`), joined as the description of Thomas Mundt's filter "bwdif" says.  Results equal those of FFmpeg 9
everywhere, except in a clip of one frame (FFmpeg weaves its two fields; here both are taken as ends).  FFmpeg 8.1
differs from its successor in the three lines at the top and bottom of the first and the last field, and in deeper than
8 bit in the six lines at the top and bottom of every field.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels import lanes
from kernels.arrays import depth
from kernels.declare import Bits, Halo, Launch, kernel
from kernels.deinterlace import Order, Rate, frames_per_frame
from kernels.deinterlace.around import (
    AHEAD,
    STEP,
    Around,
    ask_ahead,
    copy_line,
    half,
    neighbours,
    on_a_cache_line,
    place,
    reflected,
    share_out,
    whole_frames,
    wide,
)
from kernels.deinterlace.limit import grown, grown_lanes, grown_sample, temporal, temporal_lanes, temporal_sample
from kernels.deinterlace.threefields import (
    OTHER_PART,
    OWN_ALONE,
    OWN_PART,
    complex_detail,
    complex_sample,
    over,
    own_detail,
    own_sample,
)
from kernels.lanes import apart, average_down, by_halves, excess, high, low, lower, packed, pick, sum_held, upper
from kernels.rows import copy_row


@kernel(halo=Halo(frames=1, pixels=4), rate=frames_per_frame, smallest=(2, 1))
def bwdif(frames, order: Order = "tff", rate: Rate = "field", bits: Bits = 0):
    """Fills the missing lines from three fields where things move little, from one field where they move much.

    Where the lines above and below differ by more than the field before and the field after do, the three-field filter
    is used, else the own field alone; the result is held to `average +- limit` of `limit.py`.  Where the limit is 0
    before it grows, the result is the average of the fields before and after.  In the four lines at the top and the
    bottom the lines above and below are averaged; the limit grows only from the third line on.  The first field of a
    clip and its last have no neighbour on one side: their own field alone fills them, and where a line three away is
    outside the picture, the near line on the other side stands in.

    frames : `(T, H, W)` uint8, uint16 or float32, one interlaced plane.
    Returns `(2T, H, W)` at field rate, `(T, H, W)` at frame rate, same dtype.
    """
    peak = np.float32(np.inf) if frames.dtype.kind == "f" else (1 << depth(frames, bits)) - 1
    lowest = -peak if frames.dtype.kind == "f" else 0

    def missing(a: Around) -> np.ndarray:
        near = a.at(a.now, -1) + a.at(a.now, 1)
        far = np.where(a.y >= 3, a.at(a.now, -3), a.at(a.now, 1))
        far = far + np.where(a.y + 3 < a.height, a.at(a.now, 3), a.at(a.now, -1))
        alone = over(OWN_ALONE[0] * near + OWN_ALONE[1] * far, 13)
        total = OWN_PART[0] * near + OWN_PART[1] * far
        for other in (a.earlier, a.later):
            total = total + OTHER_PART[0] * a.at(other, 0)
            total = total + OTHER_PART[1] * (a.at(other, -2) + a.at(other, 2))
            total = total + OTHER_PART[2] * (a.at(other, -4) + a.at(other, 4))
        average, change, motion = temporal(a)
        steep = abs(a.at(a.now, -1) - a.at(a.now, 1)) > change
        filtered = np.clip(np.where(steep, over(total, 15), alone), lowest, peak)
        edge = (a.y < 4) | (a.y + 4 >= a.height)
        filtered = np.where(edge, half(near), filtered)
        limit = np.where((a.y < 2) | (a.y + 2 >= a.height), motion, grown(a, average, motion))
        if a.at_start or a.at_end:
            return np.clip(alone, lowest, peak)
        return np.where(motion == 0, average, np.clip(filtered, average - limit, average + limit))

    return whole_frames(frames, order, rate, missing)


# The CPU body for integers.


def _held(filtered, average, motion, limit):
    held = low(high(filtered, excess(average, limit)), sum_held(average, limit))
    return pick(motion.equals(0), average, held)


@lanes.step(STEP)
def _inside(peak, a, b, a3, b3, p, n, bu, bd, au, ad, average, over, under, e4, e2, e0, f2, f4, g4, g2, g0, h2, h4):
    change, motion = temporal_lanes(a, b, p, n, bu, bd, au, ad)
    limit = grown_lanes(average, motion, a, b, over, under)
    steep = apart(a, b) > change

    def filtered(part, up4, up2, here, down2, down4):
        near, far = part(a) + part(b), part(a3) + part(b3)
        three = complex_detail(near, far, here, up2 + down2, up4 + down4)
        return (near + pick(part(steep), three, own_detail(near, far))) >> 1

    value = packed(filtered(lower, e4, e2, e0, f2, f4), filtered(upper, g4, g2, g0, h2, h4))
    return _held(low(value, peak), average, motion, limit)


@lanes.step(STEP)
def _edge(a, b, p, n, bu, bd, au, ad, pu, nu, pd, nd):
    average = average_down(p, n)
    _, motion = temporal_lanes(a, b, p, n, bu, bd, au, ad)
    limit = grown_lanes(average, motion, a, b, average_down(pu, nu), average_down(pd, nd))
    return _held(average_down(a, b), average, motion, limit)


@lanes.step(STEP)
def _alone(peak, a, b, a3, b3):
    def filtered(a, b, a3, b3):
        return (a + b + own_detail(a + b, a3 + b3)) >> 1

    return low(by_halves(filtered, a, b, a3, b3), peak)


# Both other fields are needed at five lines, as sums, and at three, as averages.  A ring keeps those of five lines, so
# that each is computed once; beside `lower` halves of the sums stand the `upper` ones, `uppers` further on.

_RING = 5


@lanes.step(STEP, outputs=2)
def _sums(p, n):
    return tuple(part(p) + part(n) for part in (lower, upper))


@lanes.step(STEP)
def _averages(p, n):
    return average_down(p, n)


@njit(cache=True, nogil=True)
def _add_line(ring, means, at, uppers, src, p, n, width):
    """Sums and averages of the lines p and n into the ring."""
    count = STEP // src.itemsize
    for x in range(0, width, count):
        i, h = min(x, width - count), at + x // 2
        _sums(ring, h, uppers + h, src, p + i, n + i)
        _averages(means, 2 * at + x, src, p + i, n + i)


@njit(cache=True, nogil=True)
def _piece(frames, out, start, first, step, peak, sums, t, piece, pieces):
    """One of `pieces` equal parts of what is made of frame `t` of one plane."""
    total, height, width = frames.shape
    src, dst = frames.reshape(-1), out.reshape(-1)
    size, two = height * width, 2 * width
    count = STEP // frames.itemsize
    top, stop = piece * height // pieces, (piece + 1) * height // pieces
    slot = (width + count - 1) // count * (count // 2)  # vectors of sums per line of the ring, in samples
    uppers = _RING * slot
    most = np.full(count, peak, frames.dtype)
    ring, means = on_a_cache_line(2 * uppers, sums), on_a_cache_line(2 * uppers, frames)
    for field in range(step):
        before, after, earlier, later = neighbours(t, field == 0, total)
        ends = t == 0 and field == 0 or t == total - 1 and field == 1
        kept = first ^ field
        # Where in the ring the lines y - 4, y - 2, y, y + 2, y + 4 stand.
        u4, u2, s, d2, d4 = 0, slot, 2 * slot, 3 * slot, 4 * slot
        begin = top + ((top & 1) == kept)  # the first missing line of the block
        for y in range(begin - 4, begin + 4, 2):
            u4, u2, s, d2, d4 = u2, s, d2, d4, u4
            if 0 <= y < height and not ends:
                _add_line(ring, means, d4, uppers, src, earlier * size + y * width, later * size + y * width, width)
        for y in range(top, stop):
            to = ((t - start) * step + field) * size + y * width
            if field == 0:
                ask_ahead(src, after * size + (y + AHEAD) * width, width)
            if (y & 1) == kept:
                copy_line(dst, to, src, t * size + y * width, width)
                continue
            up, down = reflected(y - 1, height) * width, reflected(y + 1, height) * width
            a, b = t * size + up, t * size + down
            if ends:
                a3, b3 = a - two if y >= 3 else b, b + two if y < height - 3 else a
                for x in range(0, width, count):
                    i = min(x, width - count)
                    _alone(dst, to + i, most, 0, src, a + i, b + i, a3 + i, b3 + i)
                continue
            p, n = earlier * size + y * width, later * size + y * width
            bu, bd, au, ad = before * size + up, before * size + down, after * size + up, after * size + down
            u4, u2, s, d2, d4 = u2, s, d2, d4, u4
            if y + 4 < height:
                _add_line(ring, means, d4, uppers, src, p + 2 * two, n + 2 * two, width)
            if 4 <= y < height - 4:
                for x in range(0, width, count):
                    i, h = min(x, width - count), x // 2
                    v = uppers + h
                    _inside(dst, to + i, most, 0, src, a + i, b + i, a - two + i, b + two + i, p + i, n + i,
                            bu + i, bd + i, au + i, ad + i, means, 2 * s + x, 2 * u2 + x, 2 * d2 + x,
                            ring, u4 + h, u2 + h, s + h, d2 + h, d4 + h,
                            u4 + v, u2 + v, s + v, d2 + v, d4 + v)  # fmt: skip
                continue
            if 2 <= y < height - 2:
                pu, nu, pd, nd = p - two, n - two, p + two, n + two
            else:  # a column that goes straight on from the lines above and below: the limit does not grow
                pu, nu, pd, nd = a, a, b, b
            for x in range(0, width, count):
                i = min(x, width - count)
                _edge(dst, to + i, src, a + i, b + i, p + i, n + i, bu + i, bd + i, au + i, ad + i,
                      pu + i, nu + i, pd + i, nd + i)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True)
def _bwdif_lanes(planes, outs, pieces, start, first, step, peak, sums):
    count = outs[0].shape[0] // step
    for job in prange(count * (pieces[0] + pieces[1] + pieces[2])):
        n, frame, piece = place(job, count, pieces)
        _piece(planes[n], outs[n], start, first, step, peak, sums, start + frame, piece, pieces[n])


# The CPU body for float, and for integer planes too narrow for lanes.


@njit(parallel=True, cache=True, nogil=True)
def _bwdif_plain(frames, out, start, first, step, lowest, peak):
    total, height, width = frames.shape
    for index in prange(out.shape[0]):
        t, field = start + index // step, index % step
        before, after, earlier, later = neighbours(t, field == 0, total)
        now, soon, late = frames[t], frames[earlier], frames[later]
        ends = t == 0 and field == 0 or t == total - 1 and field == 1
        for y in range(height):
            if (y & 1) == (first ^ field):
                copy_row(out[index, y], frames[t, y])
                continue
            up, down = reflected(y - 1, height), reflected(y + 1, height)
            up3, down3 = y - 3 if y >= 3 else down, y + 3 if y < height - 3 else up
            grows, inside = 2 <= y < height - 2, 4 <= y < height - 4
            for x in range(width):
                a, b = wide(now[up, x]), wide(now[down, x])
                if ends:
                    value = own_sample(a + b, wide(now[up3, x]) + wide(now[down3, x]))
                    out[index, y, x] = min(max(value, lowest), peak)
                    continue
                average, change, motion = temporal_sample(
                    a, b, wide(soon[y, x]), wide(late[y, x]), wide(frames[before, up, x]),
                    wide(frames[before, down, x]), wide(frames[after, up, x]), wide(frames[after, down, x]),
                )  # fmt: skip
                value, limit = half(a + b), motion
                if grows:
                    pu, nu = wide(soon[y - 2, x]), wide(late[y - 2, x])
                    pd, nd = wide(soon[y + 2, x]), wide(late[y + 2, x])
                    limit = grown_sample(average, motion, a, b, pu, nu, pd, nd)
                    if inside:
                        far = wide(now[up3, x]) + wide(now[down3, x])
                        if abs(a - b) > change:
                            four = wide(soon[y - 4, x]) + wide(late[y - 4, x])
                            four += wide(soon[y + 4, x]) + wide(late[y + 4, x])
                            here = wide(soon[y, x]) + wide(late[y, x])
                            value = complex_sample(a + b, far, here, pu + nu + pd + nd, four)
                        else:
                            value = own_sample(a + b, far)
                        value = min(max(value, lowest), peak)
                held = min(max(value, average - limit), average + limit)
                out[index, y, x] = average if motion == 0 else held


@bwdif.cpu_together
def _(planes, outs, start, order, rate, bits):
    dtype, peak = planes[0].dtype, (1 << bits) - 1
    span = start, (0 if order == "tff" else 1), frames_per_frame(rate=rate)
    limits = (np.float32(-np.inf), np.float32(np.inf)) if dtype.kind == "f" else (np.int32(0), np.int32(peak))
    sums = np.empty(0, np.int16 if dtype == np.uint8 else np.int32)
    share_out(
        planes,
        outs,
        STEP // dtype.itemsize,
        lambda *group: _bwdif_lanes(*group, *span, peak, sums),
        lambda frames, out: _bwdif_plain(frames, out, *span, *limits),
    )


def _plan(arrays: list[Any], out: Any, start: int, order: str, rate: str, bits: int) -> list[Launch]:
    count, height, width = out.shape
    i = np.int32
    step = frames_per_frame(rate=rate)
    shape = (i(start), i(len(arrays[0])), i(height), i(width))
    args = (arrays[0], out, *shape, i(order == "bff"), i(step), i((1 << bits) - 1))
    return [Launch("bwdif", (-(-width // 128), height, count), (128, 1, 1), args)]


bwdif.cuda("bwdif.cu", _plan)
