"""The Numba body of `motion_mean`: blocks of all frames weighted in registers, half a block of lines at a time.

Limit, for 720x480: every sample lies in 4 blocks of 2 radius + 1 frames: radius 1, 12 multiplications-and-additions per
sample, 0.26 million vectors of 16; with the load and the widening some 0.8 million cycles; radius 6, 3.4 million.
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
from kernels.motion.planes import make_phases

_FLOAT = ir.FloatType()


@intrinsic(prefer_literal=True)
def _block(typingctx, strip, at, pitch, planes, places, weights, count, stride, shape, spot, lines, width):
    """Adds to `strip`, from `at` on, `shape` (from `spot` on) times the sum of weights[k] * planes at places[k].

    `lines` and `width` are constants; lines lie `pitch` apart in strip, `stride` in planes, `width` in shape.
    """
    if not isinstance(width, types.IntegerLiteral) or not isinstance(lines, types.IntegerLiteral):
        raise TypingError("lines and width must be constants")
    n, high = width.literal_value, lines.literal_value

    def codegen(context, builder, sig, args):
        data = [make_array(k)(context, builder, a).data if isinstance(k, types.Array) else a
                for k, a in zip(sig.args, args, strict=True)]  # fmt: skip
        strip, at, pitch, planes, places, weights, count, stride, shape, spot, *_ = data
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
            place = builder.load(builder.gep(places, [loop.index]))
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
    return signature(types.void, strip, i, i, planes, places, weights, i, i, shape, i, lines, width), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def _add(strip, at, pitch, planes, places, weights, count, stride, shape, spot, half, wide):
    """`_block` of `half` lines of `wide` samples; moves `places` down, behind it."""
    if half % 4 == 0:
        for y in range(0, half, 4):
            to, form = at + y * pitch, spot + y * wide
            if wide == 16:
                _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 4, 16)
            elif wide == 8:
                _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 4, 8)
            elif wide == 4:
                _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 4, 4)
            else:
                _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 4, 2)
            for k in range(count):
                places[k] += 4 * stride
        return
    for y in range(half):
        to, form = at + y * pitch, spot + y * wide
        if wide == 16:
            _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 1, 16)
        elif wide == 8:
            _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 1, 8)
        elif wide == 4:
            _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 1, 4)
        else:
            _block(strip, to, pitch, planes, places, weights, count, stride, shape, form, 1, 2)
        for k in range(count):
            places[k] += stride


@njit(cache=True, nogil=True, error_model="numpy")
def _padded(frame, planes, at, high, wide, peak):
    """A frame with repeated edges (`high` above and below, `wide` left and right), and its half-way planes."""
    height, width = frame.shape
    stride = width + 2 * wide
    for y in range(-high, height + high):
        row, src = at + (y + high) * stride, frame[min(max(y, 0), height - 1)]
        planes[row : row + wide] = src[0]
        planes[row + wide : row + wide + width] = src
        planes[row + wide + width : row + stride] = src[width - 1]
    make_phases(planes, at, height + 2 * high, stride, peak)


@njit(cache=True, nogil=True, error_model="numpy")
def _strip(planes, motion, t, total, begin, stop, height, width, s, part, radius, high, wide, down, across, shape,
           strip, places, weights):  # fmt: skip
    """Sums half a block of lines (the `s`-th) of frame t into `strip`; frames begin .. stop lie in `planes`."""
    half, step = high // 2, wide // 2
    stride = width + 4 * wide
    area = (height + 4 * high) * stride
    ly, lx = 2 * (height + 3 * high) + 1, 2 * (width + 3 * wide) + 1
    up, left = (1 << down) >> 1, (1 << across) >> 1
    pitch = strip.shape[0] // half
    strip[:] = 0
    for i in range(s, s + 2):
        oy, first = 2 * high + (i - 1) * half, half * (s + 1 - i)
        for j in range(motion.shape[3]):
            ox = 2 * wide + (j - 1) * step
            places[0], weights[0] = (t - begin) * total + oy * stride + ox, np.float32(1)
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
                plane = (other - begin) * total + ((y & 1) * 2 + (x & 1)) * area
                places[count] = plane + (y >> 1) * stride + (x >> 1)
                weights[count] = w
                count, sums = count + 1, sums + w
            for k in range(count):
                weights[k] /= sums
                places[k] += first * stride
            _add(strip, j * step, pitch, planes, places, weights, count, stride, shape, first * wide, half, wide)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def mean(frames, motion, out, start, part, radius, high, wide, down, across, shape, peak, rounding):
    height, width = frames.shape[1], frames.shape[2]
    begin, stop = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    total = 4 * (height + 4 * high) * (width + 4 * wide)
    planes = np.empty((stop - begin) * total, frames.dtype)
    for n in prange(stop - begin):
        _padded(frames[begin + n], planes, n * total, 2 * high, 2 * wide, peak)
    half, step, strips = high // 2, wide // 2, motion.shape[2] - 1
    pitch = (motion.shape[3] + 1) * step
    groups = min(strips, 4)
    for task in prange(out.shape[0] * groups):
        n, group = task // groups, task % groups
        strip = np.empty(half * pitch, np.float32)
        places, weights = np.empty(2 * radius + 1, np.int64), np.empty(2 * radius + 1, np.float32)
        for s in range(group * strips // groups, (group + 1) * strips // groups):
            _strip(planes, motion, start + n, total, begin, stop, height, width, s, part, radius, high, wide, down,
                   across, shape, strip, places, weights)  # fmt: skip
            for y in range(s * half, min((s + 1) * half, height)):
                to, sums = out[n, y], strip[(y - s * half) * pitch + step :]
                for x in range(width):
                    v = sums[x] + rounding
                    to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)
