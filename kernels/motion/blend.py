"""The Numba body of `motion_mean`: blocks of all frames weighted in registers, four lines at a time.

Limit, for 720x480: every sample lies in 4 blocks of 2 radius + 1 frames: radius 1, 12 multiplications-and-additions per
sample, 0.26 million vectors of 16, each widened and converted: 1.5 cycles, 0.4 million; radius 6, 1.7 million.
Making the half-way planes takes as long (radius 1), and fetching them, which do not fit the second-level cache.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kernels.motion.match import NONE
from kernels.motion.planes import pad_frame

_FLOAT = ir.FloatType()
BANDS = 8  # of a frame: of three frames, with their half-way planes, a band stays in the second-level cache


@intrinsic(prefer_literal=True)
def _block(typingctx, strip, at, pitch, planes, places, weights, count, ahead, stride, shape, spot, lines, width):
    """Adds to strip[at:] shape[spot:] times the sum of weights[k] * planes[places[k] + ahead :].

    `lines` and `width` are constants; lines lie `pitch` apart in strip, `stride` in planes, `width` in shape.
    """
    if not isinstance(width, types.IntegerLiteral) or not isinstance(lines, types.IntegerLiteral):
        raise TypingError("lines and width must be constants")
    n, high = width.literal_value, lines.literal_value

    def codegen(context, builder, sig, args):
        data = [make_array(k)(context, builder, a).data if isinstance(k, types.Array) else a
                for k, a in zip(sig.args, args, strict=True)]  # fmt: skip
        strip, at, pitch, planes, places, weights, count, ahead, stride, shape, spot, *_ = data
        row, long = ir.VectorType(_FLOAT, n), ir.IntType(64)
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(row, [row] * 3), f"llvm.fmuladd.v{n}f32")
        order = ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n)
        blank = ir.Constant(row, ir.Undefined)
        kind = sig.args[3].dtype
        real = isinstance(kind, types.Float)
        source = row if real else ir.VectorType(ir.IntType(kind.bitwidth), n)

        def spot_of(start, first, step, line, kind):
            place = builder.add(first, builder.mul(step, long(line)))
            return builder.bitcast(builder.gep(start, [place]), kind.as_pointer())

        totals = [cgutils.alloca_once(builder, row) for _ in range(high)]
        for total in totals:
            builder.store(ir.Constant(row, [0.0] * n), total)
        with cgutils.for_range(builder, count) as loop:
            place = builder.add(builder.load(builder.gep(places, [loop.index])), ahead)
            weight = builder.load(builder.gep(weights, [loop.index]))
            spread = builder.shuffle_vector(builder.insert_element(blank, weight, ir.IntType(32)(0)), blank, order)
            for line, total in enumerate(totals):
                align = kind.bitwidth // 8
                samples = builder.load(spot_of(planes, place, stride, line, source), align=align)
                if not real:
                    samples = builder.sitofp(builder.zext(samples, ir.VectorType(ir.IntType(32), n)), row)
                builder.store(builder.call(fma, [spread, samples, builder.load(total)]), total)
        for line, total in enumerate(totals):
            to = spot_of(strip, at, pitch, line, row)
            part = builder.load(spot_of(shape, spot, long(n), line, row), align=4)
            builder.store(builder.call(fma, [part, builder.load(total), builder.load(to, align=4)]), to, align=4)
        return context.get_dummy_value()

    i = types.int64
    return signature(types.void, strip, i, i, planes, places, weights, i, i, i, shape, i, lines, width), codegen


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _add(strip, at, pitch, planes, places, weights, count, stride, shape, spot, half, wide):
    """`_block` of `half` lines of `wide` samples."""
    for y in range(0, half, 4):
        to, form, ahead = at + y * pitch, spot + y * wide, y * stride
        if half % 4 == 0:
            if wide == 16:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 4, 16)
            elif wide == 8:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 4, 8)
            elif wide == 4:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 4, 4)
            else:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 4, 2)
            continue
        for line in range(half):
            to, form, ahead = at + line * pitch, spot + line * wide, line * stride
            if wide == 16:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 1, 16)
            elif wide == 8:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 1, 8)
            elif wide == 4:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 1, 4)
            else:
                _block(strip, to, pitch, planes, places, weights, count, ahead, stride, shape, form, 1, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(to, strip, at, peak, rounding):
    if peak == 0:
        for x in range(to.shape[0]):
            to[x] = strip[at + x]
    else:
        for x in range(to.shape[0]):
            to[x] = np.int32(min(strip[at + x] + rounding, peak))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _places(planes, motion, t, total, begin, stop, slots, height, width, i, j, part, radius, high, wide, down, across,
            places, weights):  # fmt: skip
    """Where block (i, j) of frame t lies in its frame and the others, and their weights; returns how many."""
    stride = width + 4 * wide
    area = (height + 4 * high) * stride
    ly, lx = 2 * (height + 3 * high) + 1, 2 * (width + 3 * wide) + 1
    up, left = (1 << down) >> 1, (1 << across) >> 1
    oy, ox = 2 * high + (i - 1) * (high // 2), 2 * wide + (j - 1) * (wide // 2)
    places[0], weights[0] = (t - begin) % slots * total + oy * stride + ox, np.float32(1)
    count, sums = 1, np.float32(1)
    for slot in range(2 * radius):
        d = slot // 2 + 1
        other = t + (d if slot % 2 else -d)
        error = motion[t, slot, i, j, 2]
        e = np.float32(error) * part
        if not begin <= other < stop or error == NONE or error < 0 or e >= np.float32(1):
            continue
        y = min(max(2 * oy + ((np.int64(motion[t, slot, i, j, 0]) + up) >> down), 0), ly)
        x = min(max(2 * ox + ((np.int64(motion[t, slot, i, j, 1]) + left) >> across), 0), lx)
        w = np.float32(1) - e * e
        w *= w
        plane = (other - begin) % slots * total + ((y & 1) * 2 + (x & 1)) * area
        places[count] = plane + (y >> 1) * stride + (x >> 1)
        weights[count] = w
        count, sums = count + 1, sums + w
    sums = np.float32(1) / sums
    for k in range(count):
        weights[k] *= sums
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _band(planes, motion, out, t, total, begin, stop, slots, height, width, first, last, part, radius, high, wide, down,
          across, shape, peak, rounding):  # fmt: skip
    """Lines of frame t, from half a block `first` to `last`; `out` is the whole frame."""
    half, step, stride = high // 2, wide // 2, width + 4 * wide
    pitch = (motion.shape[3] + 1) * step
    strip = np.zeros(2 * half * pitch, np.float32)  # the lines that a block covers: its upper half, its lower half
    places, weights = np.empty(2 * radius + 1, np.int64), np.empty(2 * radius + 1, np.float32)
    for i in range(first, last + 1):
        upper, lower = (i - 1) % 2 * half * pitch, i % 2 * half * pitch
        for j in range(motion.shape[3]):
            count = _places(planes, motion, t, total, begin, stop, slots, height, width, i, j, part, radius, high, wide,
                            down, across, places, weights)  # fmt: skip
            for h in range(2):
                if i > first if h == 0 else i < last:
                    at = (lower if h else upper) + j * step
                    _add(strip, at, pitch, planes, places, weights, count, stride, shape, h * half * wide, half, wide)
                for k in range(count):
                    places[k] += half * stride
        if i > first:
            for y in range(min(half, height - (i - 1) * half)):
                _finish(out[(i - 1) * half + y], strip, upper + y * pitch + step, peak, rounding)
            strip[upper : upper + half * pitch] = 0


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def mean(frames, motion, out, start, once, part, radius, high, wide, down, across, shape, peak, rounding):
    height, width = frames.shape[1], frames.shape[2]
    begin, stop = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    total = 4 * (height + 4 * high) * (width + 4 * wide)
    # Planes of a few frames, used again and again: to new memory the system first writes zeros.
    slots = min(once + 2 * radius, stop - begin)
    planes = np.empty(slots * total, frames.dtype)
    strips = motion.shape[2] - 1
    bands, ready = min(strips, BANDS), begin
    for first in range(start, start + out.shape[0], once):
        last = min(first + once, start + out.shape[0])
        wanted = min(last + radius, stop)
        for n in prange(wanted - ready):
            slot = (ready + n - begin) % slots
            pad_frame(frames[ready + n], planes, slot * total, 2 * high, 2 * wide, peak)
        ready = wanted
        for task in prange((last - first) * bands):
            # The same band of frame after frame: what one leaves in the cache the next one needs.
            band, t = task // (last - first), first + task % (last - first)
            _band(planes, motion, out[t - start], t, total, begin, stop, slots, height, width, band * strips // bands,
                  (band + 1) * strips // bands, part, radius, high, wide, down, across, shape, peak,
                  rounding)  # fmt: skip
