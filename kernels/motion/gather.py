"""The Numba body of `motion_fill`: one field per task, one neighbouring field after the other moved onto it.

Limit, 720x480 and radius 3: every sample lies in 4 blocks of 6 neighbours, 24 times two multiplications and additions
in vectors of 16 samples with their loads and stores, some 3 million cycles a field; the passes over whole frames behind
them (difference, weight, two sums) come from memory, some 30 bytes a sample and neighbour.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kernels.motion.match import NONE
from kernels.motion.planes import pad_frame
from kernels.rows import copy_row

ASIDE = 2  # samples to either side that are compared along with one
EVIDENCE = 1e-3  # weight below which a moved sample is no evidence

_FLOAT = ir.FloatType()


@intrinsic(prefer_literal=True)
def _add(typingctx, sums, weights, at, planes, place, shape, spot, weight, width):
    """`weights[at:] += weight * shape[spot:]`, `sums[at:]` the same times `planes[place:]`; `width` is a constant."""
    if not isinstance(width, types.IntegerLiteral):
        raise TypingError("width must be a constant")
    n = width.literal_value

    def codegen(context, builder, sig, args):
        data = [make_array(k)(context, builder, a).data if isinstance(k, types.Array) else a
                for k, a in zip(sig.args, args, strict=True)]  # fmt: skip
        sums, weights, at, planes, place, shape, spot, weight, _ = data
        row, word = ir.VectorType(_FLOAT, n), ir.IntType(32)
        kind = sig.args[3].dtype
        real = isinstance(kind, types.Float)
        source = row if real else ir.VectorType(ir.IntType(kind.bitwidth), n)

        def pointer(start, index, kind=row):
            return builder.bitcast(builder.gep(start, [index]), kind.as_pointer())

        samples = builder.load(pointer(planes, place, source), align=1)
        if not real:
            samples = builder.sitofp(builder.zext(samples, ir.VectorType(word, n)), row)
        first = builder.insert_element(ir.Constant(row, ir.Undefined), weight, word(0))
        spread = builder.shuffle_vector(first, ir.Constant(row, ir.Undefined),
                                        ir.Constant(ir.VectorType(word, n), [0] * n))  # fmt: skip
        share = builder.fmul(spread, builder.load(pointer(shape, spot), align=4))
        for target, value in ((weights, share), (sums, builder.fmul(share, samples))):
            to = pointer(target, at)
            builder.store(builder.fadd(builder.load(to, align=4), value), to, align=4)
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return signature(types.void, sums, weights, i, planes, i, shape, i, f, width), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def _moved(planes, at, vectors, sums, weights, height, width, theirs, part, made, high, wide, down, across, shape):
    """One neighbour's frame (its planes from `at`) moved along `vectors` `(rows, columns, 3)`: sums and weights."""
    half, step = high // 2, wide // 2
    stride = width + 4 * wide
    area = (height + 4 * high) * stride
    ly, lx = 2 * (height + 3 * high) + 1, 2 * (width + 3 * wide) + 1
    up, left = (1 << down) >> 1, (1 << across) >> 1
    pitch = (vectors.shape[1] + 1) * step
    between = (np.float32(1) + made) * np.float32(0.5)
    sums[:], weights[:] = 0, 0
    for i in range(vectors.shape[0]):
        oy = 2 * high + (i - 1) * half
        for j in range(vectors.shape[1]):
            ox = 2 * wide + (j - 1) * step
            error = vectors[i, j, 2]
            e = np.float32(error) * part
            if error == NONE or error < 0 or e >= np.float32(1):
                continue
            y = min(max(2 * oy + ((np.int64(vectors[i, j, 0]) + up) >> down), 0), ly)
            x = min(max(2 * ox + ((np.int64(vectors[i, j, 1]) + left) >> across), 0), lx)
            w = np.float32(1) - e * e
            w *= w
            place = at + ((y & 1) * 2 + (x & 1)) * area + (y >> 1) * stride + (x >> 1)
            line = y - 4 * high - 2 * theirs
            if line & 1:
                even = odd = w * between
            else:
                even, odd = (w, w * made) if line & 2 == 0 else (w * made, w)
            for k in range(high):
                to, src, spot = (i * half + k) * pitch + j * step, place + k * stride, k * wide
                weight = odd if k & 1 else even
                if wide == 16:
                    _add(sums, weights, to, planes, src, shape, spot, weight, 16)
                elif wide == 8:
                    _add(sums, weights, to, planes, src, shape, spot, weight, 8)
                elif wide == 4:
                    _add(sums, weights, to, planes, src, shape, spot, weight, 4)
                else:
                    _add(sums, weights, to, planes, src, shape, spot, weight, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _five(line, out, part):
    """Sums of five samples times `part`."""
    b, c, d, e = line[1:], line[2:], line[3:], line[4:]
    for x in range(out.shape[0]):
        out[x] = (line[x] + b[x] + c[x] + d[x] + e[x]) * part


@njit(cache=True, nogil=True, error_model="numpy")
def _slack(own, slack, line, parity, height, width, fit, rough):
    """What a moved frame may be off: `fit`, and more where the field's own lines differ from each other."""
    last = (height - 1 - parity) // 2 * 2 + parity
    wide = width + 2 * ASIDE
    for y in range(parity, height, 2):
        a, b, c, to = max(y - 2, parity) * width, y * width, min(y + 2, last) * width, y // 2 * width
        middle, above, here, below = line[ASIDE:], own[a : a + width], own[b : b + width], own[c : c + width]
        for x in range(width):
            middle[x] = abs(np.float32(2) * here[x] - (above[x] + below[x]))
        line[:ASIDE], line[wide - ASIDE :] = line[ASIDE], line[wide - ASIDE - 1]
        _five(line, slack[to : to + width], rough * np.float32(0.1))
        found = slack[to : to + width]
        for x in range(width):
            found[x] = np.float32(1) / (fit + found[x])


@njit(cache=True, nogil=True, error_model="numpy")
def _differ(own, sums, weights, slack, apart, line, first, pitch, parity, height, width):
    """How far a moved frame is from the field's own lines, in what it may be: means of 5 samples of each line."""
    wide = width + 2 * ASIDE
    for y in range(parity, height, 2):
        at, to = first + y * pitch, y // 2 * width
        middle, here, moved, weight = line[ASIDE:], own[y * width :], sums[at:], weights[at:]
        for x in range(width):
            w = weight[x]
            middle[x] = abs(here[x] * w - moved[x]) / (w + np.float32(EVIDENCE))
        line[:ASIDE], line[wide - ASIDE :] = line[ASIDE], line[wide - ASIDE - 1]
        _five(line, apart[to : to + width], np.float32(0.2))
        found, may = apart[to : to + width], slack[to : to + width]
        for x in range(width):
            found[x] *= may[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _added(total, sure, sums, weights, apart, first, pitch, parity, height, width):
    """Adds a moved frame to the sums and weights of all, as far as it fits the field's own lines."""
    last = (height + 1 - parity) // 2 - 1
    for y in range(height):
        i = (y - parity) // 2  # the own line here or above
        here = (y & 1) == parity
        a, b, c = max(i - here, 0) * width, max(i, 0) * width, min(i + 1, last) * width
        beside, own = (np.float32(0.25), np.float32(0.5)) if here else (np.float32(0.5), np.float32(0))
        at, to = first + y * pitch, y * width
        above, middle, below = apart[a : a + width], apart[b : b + width], apart[c : c + width]
        moved, weight, all_moved, all_weight = sums[at:], weights[at:], total[to : to + width], sure[to : to + width]
        for x in range(width):
            s = beside * (above[x] + below[x]) + own * middle[x]
            f = np.float32(1) / (np.float32(1) + s * s)
            all_moved[x] += f * moved[x]
            all_weight[x] += f * weight[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _finished(frame, out, own, total, sure, parity, pull, peak, rounding):
    """The mean, and what it lacks of the own lines given back to those between them."""
    height, width = frame.shape
    last = (height - 1 - parity) // 2 * 2 + parity
    rest = sure  # no longer needed where it is written
    for x in range(height * width):
        total[x] /= sure[x]
        rest[x] = own[x] - total[x]
    for y in range(height):
        if (y & 1) == parity:
            copy_row(out[y], frame[y])
            continue
        mean, to = total[y * width :], out[y]
        a, b = rest[max(y - 3, parity) * width :], rest[max(y - 1, parity) * width :]
        c, d = rest[min(y + 1, last) * width :], rest[min(y + 3, last) * width :]
        for x in range(width):
            v = np.float32(9 / 16) * (b[x] + c[x]) - np.float32(1 / 16) * (a[x] + d[x])
            v = mean[x] + pull * v + rounding
            to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)


@njit(cache=True, nogil=True, error_model="numpy")
def _one(frame, guess, planes, vectors, out, field, begin, count, first, radius, high, wide, down, across, shape, part,
         fit, rough, made, own, pull, peak, rounding):  # fmt: skip
    """One field: `vectors` of all its neighbours, `planes` from field `begin` on, `count` fields in all."""
    height, width = frame.shape
    parity = first ^ (field & 1)
    pitch, lines = (vectors.shape[2] + 1) * (wide // 2), (vectors.shape[1] + 1) * (high // 2)
    inner, area = (high // 2) * pitch + wide // 2, 4 * (height + 4 * high) * (width + 4 * wide)
    here, total = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    for y in range(height):
        src, to, weighed = frame[y] if (y & 1) == parity else guess[y], here[y * width :], total[y * width :]
        for x in range(width):
            to[x] = src[x]
            weighed[x] = own * to[x]
    sure = np.full(height * width, own)
    sums, weights = np.empty(lines * pitch, np.float32), np.empty(lines * pitch, np.float32)
    apart = np.empty((height + 1) // 2 * width, np.float32)
    slack, line = np.empty_like(apart), np.empty(width + 2 * ASIDE, np.float32)
    _slack(here, slack, line, parity, height, width, fit, rough)
    for slot in range(2 * radius):
        d = slot // 2 + 1
        other = field + (d if slot % 2 else -d)
        if not 0 <= other < count:
            continue
        _moved(planes, (other - begin) * area, vectors[slot], sums, weights, height, width, first ^ (other & 1), part,
               made, high, wide, down, across, shape)  # fmt: skip
        _differ(here, sums, weights, slack, apart, line, inner, pitch, parity, height, width)
        _added(total, sure, sums, weights, apart, inner, pitch, parity, height, width)
    _finished(frame, out, here, total, sure, parity, pull, peak, rounding)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def fill(frames, guess, motion, out, start, first, step, radius, high, wide, down, across, shape, part, fit, rough,
         made, own, pull, peak, rounding):  # fmt: skip
    count, height, width = frames.shape
    reach = (radius + 1) // 2
    begin, stop = max(start - reach, 0), min(start + out.shape[0] // step + reach, count)
    area = 4 * (height + 4 * high) * (width + 4 * wide)
    planes = np.empty((stop - begin) * 2 * area, frames.dtype)
    for k in prange((stop - begin) * 2):
        pad_frame(guess[begin + k // 2, k % 2], planes, k * area, 2 * high, 2 * wide, peak)
    for n in prange(out.shape[0]):
        t, second = start + n // step, n % step
        _one(frames[t], guess[t, second], planes, motion[t, second], out[n], 2 * t + second, 2 * begin, 2 * count,
             first, radius, high, wide, down, across, shape, part, fit, rough, made, own, pull, peak,
             rounding)  # fmt: skip
