"""w3fdif: the BBC's three-field filter by itself.

The published weights of "Weston 3 Field Deinterlacing Filter", BBC R&D (`threefields.py`).  Results equal FFmpeg's
filter of the same name everywhere (up to 14 bit; at 16 its 32-bit sums overflow between black and white, ours do not).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import njit, prange
from numba.extending import register_jitable

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
    neighbours,
    place,
    share_out,
    whole_frames,
    wide,
)
from kernels.deinterlace.threefields import (
    OTHER_PART,
    OTHER_PART_SIMPLE,
    OWN_PART,
    OWN_PART_SIMPLE,
    complex_detail,
    complex_sample,
    over,
    simple_detail,
    simple_sample,
)
from kernels.lanes import by_halves, low
from kernels.rows import copy_row


@register_jitable
def inside(y, height):
    """The nearest line of the same field that the picture has."""
    while y < 0:
        y += 2
    while y >= height:
        y -= 2
    return y


@kernel(halo=Halo(frames=1, pixels=4), rate=frames_per_frame, smallest=(2, 1))
def w3fdif(
    frames,
    order: Order = "tff",
    rate: Rate = "field",
    filter: Literal["simple", "complex"] = "complex",
    bits: Bits = 0,
):
    """Fills the missing lines with coarse detail from their own field and fine detail from the fields beside it.

    No motion is looked for: what is still comes out sharp, and fast vertical detail may leave faint lines.  "simple"
    takes two lines of its own field and three of each other one, "complex" four and five.  Beyond the picture's edge
    the nearest line of the same field stands in.

    frames : `(T, H, W)` uint8, uint16 or float32, one interlaced plane.
    Returns `(2T, H, W)` at field rate, `(T, H, W)` at frame rate, same dtype.
    """
    real = frames.dtype.kind == "f"
    lowest, peak = (-np.inf, np.inf) if real else (0, (1 << depth(frames, bits)) - 1)
    own, other = (OWN_PART, OTHER_PART) if filter == "complex" else (OWN_PART_SIMPLE, OTHER_PART_SIMPLE)

    def missing(a: Around) -> np.ndarray:
        def at(frame: np.ndarray, k: int) -> np.ndarray:
            return frame[[inside(y + k, a.height) for y in a.lines]]

        total = own[0] * (at(a.now, -1) + at(a.now, 1)) + own[1] * (at(a.now, -3) + at(a.now, 3))
        for frame in (a.earlier, a.later):
            total = total + other[0] * at(frame, 0)
            total = total + other[1] * (at(frame, -2) + at(frame, 2))
            total = total + other[2] * (at(frame, -4) + at(frame, 4))
        return np.clip(over(total, 15), lowest, peak)

    return whole_frames(frames, order, rate, missing)


@lanes.step(STEP)
def _simple(peak, a, b, p, n, pu, nu, pd, nd):
    def filtered(a, b, p, n, pu, nu, pd, nd):
        near = a + b
        return (near + simple_detail(p + n, pu + nu + pd + nd)) >> 1

    return low(by_halves(filtered, a, b, p, n, pu, nu, pd, nd), peak)


@lanes.step(STEP)
def _complex(peak, a, b, a3, b3, p, n, pu, nu, pd, nd, pu4, nu4, pd4, nd4):
    def filtered(a, b, a3, b3, p, n, pu, nu, pd, nd, pu4, nu4, pd4, nd4):
        near, far = a + b, a3 + b3
        three = complex_detail(near, far, p + n, pu + nu + pd + nd, pu4 + nu4 + pd4 + nd4)
        return (near + three) >> 1

    return low(by_halves(filtered, a, b, a3, b3, p, n, pu, nu, pd, nd, pu4, nu4, pd4, nd4), peak)


@njit(cache=True, nogil=True)
def _piece(frames, out, start, first, step, whole, peak, t, piece, pieces):
    """One of `pieces` equal parts of what is made of frame `t` of one plane."""
    total, height, width = frames.shape
    src, dst = frames.reshape(-1), out.reshape(-1)
    size = height * width
    count = STEP // frames.itemsize
    top, stop = piece * height // pieces, (piece + 1) * height // pieces
    most = np.full(count, peak, frames.dtype)
    ahead = min(t + 1, total - 1) * size + AHEAD * width
    for y in range(top, stop):
        ask_ahead(src, ahead + y * width, width)
        for field in range(step):
            to = ((t - start) * step + field) * size + y * width
            if (y & 1) == (first ^ field):
                copy_line(dst, to, src, t * size + y * width, width)
                continue
            _, _, earlier, later = neighbours(t, field == 0, total)
            p, n, now = earlier * size, later * size, t * size
            a, b = now + inside(y - 1, height) * width, now + inside(y + 1, height) * width
            a3, b3 = now + inside(y - 3, height) * width, now + inside(y + 3, height) * width
            here, u2, d2 = y * width, inside(y - 2, height) * width, inside(y + 2, height) * width
            u4, d4 = inside(y - 4, height) * width, inside(y + 4, height) * width
            for x in range(0, width, count):
                i = min(x, width - count)
                p, n = earlier * size + i, later * size + i
                if whole:
                    _complex(dst, to + i, most, 0, src, a + i, b + i, a3 + i, b3 + i, p + here, n + here,
                             p + u2, n + u2, p + d2, n + d2, p + u4, n + u4, p + d4, n + d4)  # fmt: skip
                else:
                    _simple(dst, to + i, most, 0, src, a + i, b + i, p + here, n + here,
                            p + u2, n + u2, p + d2, n + d2)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True)
def _w3fdif_lanes(planes, outs, pieces, start, first, step, whole, peak):
    count = outs[0].shape[0] // step
    for job in prange(count * (pieces[0] + pieces[1] + pieces[2])):
        n, frame, piece = place(job, count, pieces)
        _piece(planes[n], outs[n], start, first, step, whole, peak, start + frame, piece, pieces[n])


@njit(parallel=True, cache=True, nogil=True)
def _w3fdif_plain(frames, out, start, first, step, whole, lowest, peak):
    total, height, width = frames.shape
    for index in prange(out.shape[0]):
        t, field = start + index // step, index % step
        _, _, earlier, later = neighbours(t, field == 0, total)
        now, soon, late = frames[t], frames[earlier], frames[later]
        for y in range(height):
            if (y & 1) == (first ^ field):
                copy_row(out[index, y], now[y])
                continue
            u1, d1, u3, d3 = inside(y - 1, height), inside(y + 1, height), inside(y - 3, height), inside(y + 3, height)
            u2, d2, u4, d4 = inside(y - 2, height), inside(y + 2, height), inside(y - 4, height), inside(y + 4, height)
            for x in range(width):
                near, here = wide(now[u1, x]) + wide(now[d1, x]), wide(soon[y, x]) + wide(late[y, x])
                two = wide(soon[u2, x]) + wide(late[u2, x]) + wide(soon[d2, x]) + wide(late[d2, x])
                if whole:
                    far = wide(now[u3, x]) + wide(now[d3, x])
                    four = wide(soon[u4, x]) + wide(late[u4, x]) + wide(soon[d4, x]) + wide(late[d4, x])
                    value = complex_sample(near, far, here, two, four)
                else:
                    value = simple_sample(near, here, two)
                out[index, y, x] = min(max(value, lowest), peak)


@w3fdif.cpu_together
def _(planes, outs, start, order, rate, filter, bits):
    dtype, peak = planes[0].dtype, (1 << bits) - 1
    facts = start, (0 if order == "tff" else 1), frames_per_frame(rate=rate), filter == "complex"
    limits = (np.float32(-np.inf), np.float32(np.inf)) if dtype.kind == "f" else (np.int32(0), np.int32(peak))
    share_out(
        planes,
        outs,
        STEP // dtype.itemsize,
        lambda *group: _w3fdif_lanes(*group, *facts, peak),
        lambda frames, out: _w3fdif_plain(frames, out, *facts, *limits),
    )


def _plan(arrays: list[Any], out: Any, start: int, order: str, rate: str, filter: str, bits: int) -> list[Launch]:
    count, height, width = out.shape
    i = np.int32
    step = frames_per_frame(rate=rate)
    shape = (i(start), i(len(arrays[0])), i(height), i(width))
    args = (arrays[0], out, *shape, i(order == "bff"), i(step), i(filter == "complex"), i((1 << bits) - 1))
    return [Launch("w3fdif", (-(-width // 128), height, count), (128, 1, 1), args)]


w3fdif.cuda("w3fdif.cu", _plan)
