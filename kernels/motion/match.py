"""The Numba body of `find_motion`: sums of absolute differences on bytes, one frame and direction per task.

Limit: a block of 16x16 is 32 loads of 16 bytes and 4 instructions for the sum, some 20 cycles; about 15 candidates at
full size and a third more below it make 20 x 20 cycles x blocks, for 720x480 (5551 blocks) 2.2 million per reference.
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

from kernels.motion.planes import make_phases, repeat_edges, shrink

SPAN = 4  # samples each way, at the smallest size
ROUNDS = 2  # steps of one sample at each larger size, and of half a sample at the end
CAP = 32  # half samples of distance beyond which a vector costs no more
NONE = 32767  # difference that stands for "no such frame"

_BYTES = ir.VectorType(ir.IntType(8), 64)


def _sum_apart(context, builder, a, b):
    """Eight sums (or one) of the absolute differences of 64 bytes, as a vector of 64-bit integers."""
    sums = ir.VectorType(ir.IntType(64), 8)
    features = context.codegen().magic_tuple()[2].split(",")
    if "+avx512bw" in features:
        kind = ir.FunctionType(sums, [_BYTES] * 2)
        name = "llvm.x86.avx512.psad.bw.512"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b])
    kind = ir.FunctionType(_BYTES, [_BYTES] * 2)
    big, small = (
        builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{n}.v64i8"), [a, b])
        for n in ("umax", "umin")
    )
    wide = ir.VectorType(ir.IntType(16), 64)
    apart = builder.zext(builder.sub(big, small), wide)
    kind = ir.FunctionType(ir.IntType(16), [wide])
    total = builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.add.v64i16"), [apart])
    blank = ir.Constant(sums, [0] * 8)
    return builder.insert_element(blank, builder.zext(total, ir.IntType(64)), ir.IntType(32)(0))


@intrinsic(prefer_literal=True)
def _apart(typingctx, planes, a, b, stride, side):
    """Sum of absolute differences of the blocks at `a` and `b` of a flat uint8 array; side is the constant 8 or 16."""
    if not isinstance(side, types.IntegerLiteral):
        raise TypingError("side must be a constant")
    n = side.literal_value

    def codegen(context, builder, sig, args):
        start = make_array(sig.args[0])(context, builder, args[0]).data
        row = ir.VectorType(ir.IntType(8), n)
        index, word = ir.IntType(64), ir.IntType(32)

        def joined(first, k):
            """64 bytes: rows k, k + 1, ... one behind the other."""
            parts = []
            for r in range(k, k + 64 // n):
                at = builder.add(first, builder.mul(args[3], index(r)))
                parts.append(builder.load(builder.bitcast(builder.gep(start, [at]), row.as_pointer()), align=1))
            while len(parts) > 1:
                size = parts[0].type.count
                order = ir.Constant(ir.VectorType(word, 2 * size), list(range(2 * size)))
                parts = [builder.shuffle_vector(p, q, order) for p, q in zip(parts[::2], parts[1::2], strict=True)]
            return parts[0]

        total = None
        for k in range(0, n, 64 // n):
            sums = _sum_apart(context, builder, joined(args[1], k), joined(args[2], k))
            total = sums if total is None else builder.add(total, sums)
        kind = ir.FunctionType(index, [total.type])
        name = "llvm.vector.reduce.add.v8i64"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [total])

    return signature(types.int64, planes, types.int64, types.int64, types.int64, side), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def _best(planes, tries, count, here, there, size, stride, side, fine, weight, limits, py, px, by, bx, cost):
    """The best of vector (by, bx), which costs `cost`, and the first `count` of `tries`; `fine` 1 counts half samples.

    here, there : where the block lies in its frame and, standing still, in the other, whose phases are `size` apart.
    limits      : least down, most down, least right, most right.
    """
    for k in range(count):
        vy, vx = min(max(tries[2 * k], limits[0]), limits[1]), min(max(tries[2 * k + 1], limits[2]), limits[3])
        penalty = weight * min((abs(vy - py) + abs(vx - px)) << (1 - fine), CAP)
        if penalty >= cost or (vy == by and vx == bx):
            continue
        place = there + ((vy & fine) * 2 + (vx & fine)) * size + (vy >> fine) * stride + (vx >> fine)
        if side == 16:
            found = penalty + _apart(planes, here, place, stride, 16)
        else:
            found = penalty + _apart(planes, here, place, stride, 8)
        if found < cost:
            by, bx, cost = vy, vx, found
    return by, bx, cost


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(planes, tries, here, there, size, stride, side, fine, weight, limits, py, px, by, bx, cost):
    """Goes on to the best of the four places around, ROUNDS times."""
    for _ in range(ROUNDS):
        cy, cx = by, bx
        tries[0], tries[1], tries[2], tries[3] = cy - 1, cx, cy, cx - 1
        tries[4], tries[5], tries[6], tries[7] = cy, cx + 1, cy + 1, cx
        by, bx, cost = _best(planes, tries, 4, here, there, size, stride, side, fine, weight, limits,
                             py, px, by, bx, cost)  # fmt: skip
        if cy == by and cx == bx:
            break
    return by, bx, cost


@njit(cache=True, nogil=True, error_model="numpy")
def _level(planes, here, there, height, width, side, weight, above, near, d, tries, best, parent):
    """Whole-sample vectors of one size: into `best` (down, right, cost) and `parent`."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    ly, lx = height + 2 * pad - side, width + 2 * pad - side
    for i in range(best.shape[0]):
        oy = pad + (i - 1) * step
        for j in range(best.shape[1]):
            ox = pad + (j - 1) * step
            at, limits = oy * stride + ox, (-oy, ly - oy, -ox, lx - ox)
            py, px, count = 0, 0, 0
            if above.shape[0]:
                py, px = 2 * above[i // 2, j // 2, 0], 2 * above[i // 2, j // 2, 1]
                py, px = min(max(py, limits[0]), limits[1]), min(max(px, limits[2]), limits[3])
                for k in range(1, 4):
                    a, b = (i + k // 2) // 2, (j + k % 2) // 2
                    tries[count], tries[count + 1] = 2 * above[a, b, 0], 2 * above[a, b, 1]
                    count += 2
                tries[count], tries[count + 1] = 0, 0
                count += 2
                if near.shape[0]:
                    tries[count], tries[count + 1] = (near[i, j, 0] * d // (2 * (d - 1)),
                                                      near[i, j, 1] * d // (2 * (d - 1)))  # fmt: skip
                    count += 2
            else:
                for y in range(-SPAN, SPAN + 1):
                    for x in range(-SPAN, SPAN + 1):
                        tries[count], tries[count + 1] = y, x
                        count += 2
            by, bx, cost = py, px + 1, np.int64(1) << 40  # any place but the parent's, which is tried first
            tries[count], tries[count + 1] = py, px
            by, bx, cost = _best(planes, tries[count:], 1, here + at, there + at, 0, stride, side, 0, weight, limits,
                                 py, px, by, bx, cost)  # fmt: skip
            by, bx, cost = _best(planes, tries, count // 2, here + at, there + at, 0, stride, side, 0, weight, limits,
                                 py, px, by, bx, cost)  # fmt: skip
            if above.shape[0]:
                by, bx, cost = _cross(planes, tries, here + at, there + at, 0, stride, side, 0, weight, limits,
                                      py, px, by, bx, cost)  # fmt: skip
            parent[i, j, 0], parent[i, j, 1] = py, px
            best[i, j, 0], best[i, j, 1], best[i, j, 2] = by, bx, cost


@njit(cache=True, nogil=True, error_model="numpy")
def _settle(planes, here, there, height, width, side, weight, fine, last, tries, best, better, parent, out):
    """The neighbours' vectors; at full size (`last`) also half samples, and the result without the penalty."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    ly, lx = height + 2 * pad - side, width + 2 * pad - side
    size, rows, columns = (height + 2 * pad) * stride, best.shape[0], best.shape[1]
    for i in range(rows):
        oy = pad + (i - 1) * step
        for j in range(columns):
            ox = pad + (j - 1) * step
            at, limits = oy * stride + ox, (-oy, ly - oy, -ox, lx - ox)
            py, px = parent[i, j, 0], parent[i, j, 1]
            by, bx, cost = best[i, j, 0], best[i, j, 1], best[i, j, 2]
            up, down, left, right = max(i - 1, 0), min(i + 1, rows - 1), max(j - 1, 0), min(j + 1, columns - 1)
            tries[0], tries[1], tries[2], tries[3] = best[up, j, 0], best[up, j, 1], best[down, j, 0], best[down, j, 1]
            tries[4], tries[5] = best[i, left, 0], best[i, left, 1]
            tries[6], tries[7] = best[i, right, 0], best[i, right, 1]
            by, bx, cost = _best(planes, tries, 4, here + at, there + at, 0, stride, side, 0, weight, limits,
                                 py, px, by, bx, cost)  # fmt: skip
            if not last:
                better[i, j, 0], better[i, j, 1] = by, bx
                continue
            by, bx, py, px = 2 * by, 2 * bx, 2 * py, 2 * px
            if fine:
                limits = (-2 * oy, 2 * (ly - oy) + 1, -2 * ox, 2 * (lx - ox) + 1)
                by, bx, cost = _cross(planes, tries, here + at, there + at, size, stride, side, 1, weight, limits,
                                      py, px, by, bx, cost)  # fmt: skip
            differ = cost - weight * min(abs(by - py) + abs(bx - px), CAP)
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = by, bx, differ * 64 // (side * side)


@njit(cache=True, nogil=True, error_model="numpy")
def _prepare(frame, planes, at, spots, sizes, side, half, scale):
    """One frame in 8 bits, padded, with its phases, and its smaller pictures."""
    height, width, pad = frame.shape[0], frame.shape[1], 2 * side
    stride = width + 2 * pad
    for y in range(height):
        row = at + (y + pad) * stride + pad
        to, src = planes[row : row + width], frame[y]
        for x in range(width):
            v = np.float32(src[x]) * scale + np.float32(0.5)
            to[x] = np.int32(min(max(v, np.float32(0)), np.float32(255)))
    repeat_edges(planes, at, height, width, pad)
    for k in range(1, sizes.shape[0]):
        shrink(planes, at + spots[k - 1], sizes[k - 1, 0], sizes[k - 1, 1], at + spots[k], pad)
    if half:
        make_phases(planes, at, height + 2 * pad, stride, np.float32(255))


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def find(frames, out, start, radius, side, half, weight, sizes, scale):
    pad, levels = 2 * side, sizes.shape[0]
    spots = np.empty(levels + 1, np.int64)
    spots[0] = 0
    for k in range(levels):
        area = (sizes[k, 0] + 2 * pad) * (sizes[k, 1] + 2 * pad)
        spots[k + 1] = spots[k] + area * (4 if k == 0 and half else 1)
    begin, end = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    total = spots[levels]
    planes = np.empty((end - begin) * total + 64, np.uint8)
    for n in prange(end - begin):
        _prepare(frames[begin + n], planes, n * total, spots, sizes, side, half, scale)
    for task in prange(2 * out.shape[0]):
        n, way = task // 2, task % 2
        t = start + n - begin
        near = np.empty((0, 0, 3), np.int16)
        tries = np.empty(2 * (2 * SPAN + 1) ** 2 + 2, np.int64)
        for d in range(1, radius + 1):
            slot, other = 2 * (d - 1) + way, t + (d if way else -d)
            if not 0 <= other < end - begin:
                out[n, slot, :, :, :2] = 0
                out[n, slot, :, :, 2] = NONE
                continue
            above = np.empty((0, 0, 3), np.int64)
            for k in range(levels - 1, -1, -1):
                rows, columns = -(-sizes[k, 0] // (side // 2)) + 1, -(-sizes[k, 1] // (side // 2)) + 1
                best, better = np.empty((rows, columns, 3), np.int64), np.empty((rows, columns, 3), np.int64)
                parent = np.empty((rows, columns, 2), np.int64)
                here, there = t * total + spots[k], other * total + spots[k]
                close = near if k == 0 else near[:0]
                _level(planes, here, there, sizes[k, 0], sizes[k, 1], side, weight, above, close, d, tries, best,
                       parent)  # fmt: skip
                _settle(planes, here, there, sizes[k, 0], sizes[k, 1], side, weight, half, k == 0, tries, best, better,
                        parent, out[n, slot])  # fmt: skip
                above = better
            near = out[n, slot]
