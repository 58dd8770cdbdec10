"""yadif: a missing line along the most likely edge, held to what the neighbouring fields allow.

From the description of Michael Niedermayer's method (MPlayer's and FFmpeg's filter "yadif"): edge-directed spatial
interpolation over five directions, then the temporal limit of `limit.py`.  Results equal FFmpeg's everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels import lanes
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
    place,
    reflected,
    share_out,
    whole_frames,
    wide,
)
from kernels.deinterlace.limit import grown, grown_lanes, grown_sample, temporal, temporal_lanes, temporal_sample
from kernels.lanes import apart, average_down, even, excess, high, low, odd, pick, sum_held, woven
from kernels.rows import copy_row


@kernel(halo=Halo(frames=1, pixels=4), rate=frames_per_frame, smallest=(2, 1))
def yadif(frames, order: Order = "tff", rate: Rate = "field", check: bool = True, bits: Bits = 0):
    """Fills the missing lines along edges, and lets only as much move as the neighbouring fields do.

    Direction j (-2 to 2 samples) joins the line above at x + j with the line below at x - j; its cost is the sum of
    three such differences side by side.  Straight down is the first choice (its cost counts 1 less); -1 and 1 replace
    it when cheaper, -2 and 2 only where -1 and 1 did.  The mean along the chosen direction is held to
    `average +- limit` of `limit.py`.  The three columns at each side always go straight down.

    frames : `(T, H, W)` uint8, uint16 or float32, one interlaced plane.
    check  : let the limit grow where the average sticks out of its column (off: FFmpeg's "nospatial" modes).
    bits   : has no effect here; results never leave the range of the input.
    Returns `(2T, H, W)` at field rate, `(T, H, W)` at frame rate, same dtype.
    """

    def missing(a: Around) -> np.ndarray:
        above, below = a.at(a.now, -1), a.at(a.now, 1)
        width = above.shape[1]
        column = np.arange(width)
        inside = (column >= 3) & (column < width - 3)

        def along(j: int, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
            return above[:, np.clip(column + k + j, 0, width - 1)], below[:, np.clip(column + k - j, 0, width - 1)]

        def cost(j: int) -> np.ndarray:
            left, here, right = (abs(p - q) for p, q in (along(j, k) for k in (-1, 0, 1)))
            return left + here + right

        best, chosen = cost(0) - 1, half(above + below)
        for side in (-1, 1):
            better = inside
            for j in (side, 2 * side):
                better = better & (cost(j) < best)
                best = np.where(better, cost(j), best)
                chosen = np.where(better, half(sum(along(j))), chosen)
        average, _, motion = temporal(a)
        limit = motion
        if check:
            unchecked = (a.y == 1) | (a.y == a.height - 2)  # here a line two away is outside the picture
            limit = np.where(unchecked, motion, grown(a, average, motion))
        return np.clip(chosen, average - limit, average + limit)

    return whole_frames(frames, order, rate, missing)


# The CPU body for integers: five rows of differences first, then the search; both 64 bytes at a time.


@lanes.step(STEP, outputs=5)
def _differences(a0, a1, a2, a3, a4, b0, b1, b2, b3, b4):
    return apart(a0, b4), apart(a1, b3), apart(a2, b2), apart(a3, b1), apart(a4, b0)


def _cost(left, here, right):
    """Sums of three neighbours, for the even and for the odd samples."""
    pair = even(here) + odd(here)
    return even(left) + pair, pair + odd(right)


def _held(chosen, above, below, earlier, later, before_up, before_down, after_up, after_down, column):
    average = average_down(earlier, later)
    _, motion = temporal_lanes(above, below, earlier, later, before_up, before_down, after_up, after_down)
    limit = grown_lanes(average, motion, above, below, average_down(*column[:2]), average_down(*column[2:]))
    return low(high(chosen, excess(average, limit)), sum_held(average, limit))


@lanes.step(STEP)
def _search(l0, h0, r0, l1, h1, r1, l2, h2, r2, l3, h3, r3, l4, h4, r4, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4,
            p, n, bu, bd, au, ad, pu, nu, pd, nd):  # fmt: skip
    best = [c - 1 for c in _cost(l2, h2, r2)]
    chosen = average_down(a2, b2)
    for side in (((l1, h1, r1), a1, b3), ((l0, h0, r0), a0, b4)), (((l3, h3, r3), a3, b1), ((l4, h4, r4), a4, b0)):
        better = None
        for differences, above, below in side:
            cost = _cost(*differences)
            cheaper = [(c - b) >> 15 if c.bits == 16 else c < b for c, b in zip(cost, best, strict=True)]
            better = cheaper if better is None else [m & c for m, c in zip(better, cheaper, strict=True)]
            best = [pick(m, c, b) for m, c, b in zip(better, cost, best, strict=True)]
            chosen = pick(woven(*better), average_down(above, below), chosen)
    return _held(chosen, a2, b2, p, n, bu, bd, au, ad, (pu, nu, pd, nd))


@lanes.step(STEP // 4)
def _straight(a, b, p, n, bu, bd, au, ad, pu, nu, pd, nd):
    return _held(average_down(a, b), a, b, p, n, bu, bd, au, ad, (pu, nu, pd, nd))


@njit(cache=True, nogil=True)
def _piece(frames, out, start, first, step, check, t, piece, pieces):
    """One of `pieces` equal parts of what is made of frame `t` of one plane."""
    total, height, width = frames.shape
    src, dst = frames.reshape(-1), out.reshape(-1)
    size = height * width
    count = STEP // frames.itemsize
    top, stop = piece * height // pieces, (piece + 1) * height // pieces
    d = np.empty(5 * width, frames.dtype)  # differences between the lines above and below, one row per direction
    d0, d1, d2, d3, d4 = 0, width, 2 * width, 3 * width, 4 * width
    ahead = min(t + 1, total - 1) * size + AHEAD * width
    for y in range(top, stop):
        ask_ahead(src, ahead + y * width, width)
        for field in range(step):
            to = ((t - start) * step + field) * size + y * width
            if (y & 1) == (first ^ field):
                copy_line(dst, to, src, t * size + y * width, width)
                continue
            before, after, earlier, later = neighbours(t, field == 0, total)
            up, down = reflected(y - 1, height) * width, reflected(y + 1, height) * width
            a, b = t * size + up, t * size + down
            p, n = earlier * size + y * width, later * size + y * width
            bu, bd, au, ad = before * size + up, before * size + down, after * size + up, after * size + down
            if check and y != 1 and y != height - 2:
                up, down = reflected(y - 2, height) * width, reflected(y + 2, height) * width
                pu, nu, pd, nd = earlier * size + up, later * size + up, earlier * size + down, later * size + down
            else:  # a column that goes straight on from the lines above and below: the limit does not grow
                pu, nu, pd, nd = a, a, b, b
            for x in range(2, width - 2, count):
                i = min(x, width - 2 - count)
                _differences(d, d0 + i, d1 + i, d2 + i, d3 + i, d4 + i, src, a + i - 2, a + i - 1, a + i, a + i + 1,
                             a + i + 2, b + i - 2, b + i - 1, b + i, b + i + 1, b + i + 2)  # fmt: skip
            for i in (0, width - count // 4):
                _straight(dst, to + i, src, a + i, b + i, p + i, n + i, bu + i, bd + i, au + i, ad + i,
                          pu + i, nu + i, pd + i, nd + i)  # fmt: skip
            for x in range(3, width - 3, count):
                i = min(x, width - 3 - count)
                _search(dst, to + i, d, d0 + i - 1, d0 + i, d0 + i + 1, d1 + i - 1, d1 + i, d1 + i + 1,
                        d2 + i - 1, d2 + i, d2 + i + 1, d3 + i - 1, d3 + i, d3 + i + 1,
                        d4 + i - 1, d4 + i, d4 + i + 1, src, a + i - 2, a + i - 1, a + i, a + i + 1, a + i + 2,
                        b + i - 2, b + i - 1, b + i, b + i + 1, b + i + 2, p + i, n + i, bu + i, bd + i,
                        au + i, ad + i, pu + i, nu + i, pd + i, nd + i)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True)
def _yadif_lanes(planes, outs, pieces, start, first, step, check):
    count = outs[0].shape[0] // step
    for job in prange(count * (pieces[0] + pieces[1] + pieces[2])):
        n, frame, piece = place(job, count, pieces)
        _piece(planes[n], outs[n], start, first, step, check, start + frame, piece, pieces[n])


# The CPU body for float, and for integer planes too narrow for lanes.


@njit(parallel=True, cache=True, nogil=True)
def _yadif_plain(frames, out, start, first, step, check):
    total, height, width = frames.shape
    for index in prange(out.shape[0]):
        t, field = start + index // step, index % step
        before, after, earlier, later = neighbours(t, field == 0, total)
        for y in range(height):
            if (y & 1) == (first ^ field):
                copy_row(out[index, y], frames[t, y])
                continue
            up, down = reflected(y - 1, height), reflected(y + 1, height)
            over, under = reflected(y - 2, height), reflected(y + 2, height)
            above, below = frames[t, up], frames[t, down]
            for x in range(width):
                a, b = wide(above[x]), wide(below[x])
                chosen = half(a + b)
                if 3 <= x < width - 3:
                    best = abs(wide(above[x - 1]) - wide(below[x - 1])) + abs(a - b)
                    best += abs(wide(above[x + 1]) - wide(below[x + 1])) - wide(1)
                    for side in (-1, 1):
                        for j in (side, 2 * side):
                            cost = abs(wide(above[x - 1 + j]) - wide(below[x - 1 - j]))
                            cost += abs(wide(above[x + j]) - wide(below[x - j]))
                            cost += abs(wide(above[x + 1 + j]) - wide(below[x + 1 - j]))
                            if not cost < best:
                                break
                            best, chosen = cost, half(wide(above[x + j]) + wide(below[x - j]))
                average, _, limit = temporal_sample(
                    a, b, wide(frames[earlier, y, x]), wide(frames[later, y, x]), wide(frames[before, up, x]),
                    wide(frames[before, down, x]), wide(frames[after, up, x]), wide(frames[after, down, x]),
                )  # fmt: skip
                if check and y != 1 and y != height - 2:
                    limit = grown_sample(
                        average, limit, a, b, wide(frames[earlier, over, x]), wide(frames[later, over, x]),
                        wide(frames[earlier, under, x]), wide(frames[later, under, x]),
                    )  # fmt: skip
                out[index, y, x] = min(max(chosen, average - limit), average + limit)


@yadif.cpu_together
def _(planes, outs, start, order, rate, check, bits):
    facts = start, (0 if order == "tff" else 1), frames_per_frame(rate=rate), check
    share_out(
        planes,
        outs,
        STEP // planes[0].itemsize + 6,
        lambda *group: _yadif_lanes(*group, *facts),
        lambda frames, out: _yadif_plain(frames, out, *facts),
    )


def _plan(arrays: list[Any], out: Any, start: int, order: str, rate: str, check: bool, bits: int) -> list[Launch]:
    count, height, width = out.shape
    i = np.int32
    step = frames_per_frame(rate=rate)
    shape = (i(start), i(len(arrays[0])), i(height), i(width))
    args = (arrays[0], out, *shape, i(order == "bff"), i(step), i(check))
    return [Launch("yadif", (-(-width // 128), height, count), (128, 1, 1), args)]


yadif.cuda("yadif.cu", _plan)
