"""The Numba body of `find_motion`: sums of absolute differences on bytes, one frame and direction per task.

Limit: a block of 16x16 is 32 loads of 16 bytes and 4 instructions for the sum, some 20 cycles; about 30 candidates at
full size and a third more below it make 40 x 20 cycles x blocks, for 720x480 (5551 blocks) 4.5 million per reference.
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
ROUNDS = 2  # steps of one sample, at each larger size
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


@njit(cache=True, nogil=True)
def _cost(planes, a, b, stride, side):
    return _apart(planes, a, b, stride, 16) if side == 16 else _apart(planes, a, b, stride, 8)


@njit(cache=True, nogil=True, error_model="numpy")
def _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx, vy, vx):
    """Takes the vector (whole samples) for block i, j where it is better."""
    vy, vx = min(max(vy, -oy), ly - oy), min(max(vx, -ox), lx - ox)
    if vy == best[i, j, 0] and vx == best[i, j, 1]:
        return
    apart = min(2 * (abs(vy - parent[i, j, 0]) + abs(vx - parent[i, j, 1])), CAP)
    cost = weight * apart
    if cost < best[i, j, 2]:
        cost += _cost(planes, here + oy * stride + ox, there + (oy + vy) * stride + ox + vx, stride, side)
        if cost < best[i, j, 2]:
            best[i, j, 0], best[i, j, 1], best[i, j, 2] = vy, vx, cost


@njit(cache=True, nogil=True, error_model="numpy")
def _level(planes, here, there, height, width, side, weight, above, near, d, best, parent):
    """Whole-sample vectors of one size: into `best` (down, right, cost) and `parent`."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    ly, lx = height + 2 * pad - side, width + 2 * pad - side
    for i in range(best.shape[0]):
        oy = pad + (i - 1) * step
        for j in range(best.shape[1]):
            ox = pad + (j - 1) * step
            py, px = 0, 0
            if above.shape[0]:
                py, px = 2 * above[i // 2, j // 2, 0], 2 * above[i // 2, j // 2, 1]
            py, px = min(max(py, -oy), ly - oy), min(max(px, -ox), lx - ox)
            parent[i, j, 0], parent[i, j, 1] = py, px
            best[i, j, 0], best[i, j, 1] = py, px
            best[i, j, 2] = _cost(planes, here + oy * stride + ox, there + (oy + py) * stride + ox + px, stride, side)
            if not above.shape[0]:
                for y in range(-SPAN, SPAN + 1):
                    for x in range(-SPAN, SPAN + 1):
                        _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx, y, x)
                continue
            for k in range(1, 4):
                a, b = (i + k // 2) // 2, (j + k % 2) // 2
                _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx,
                         2 * above[a, b, 0], 2 * above[a, b, 1])  # fmt: skip
            _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx, 0, 0)
            if near.shape[0]:
                _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx,
                         near[i, j, 0] * d // (2 * (d - 1)), near[i, j, 1] * d // (2 * (d - 1)))  # fmt: skip
            for _ in range(ROUNDS):
                cy, cx = best[i, j, 0], best[i, j, 1]
                for k in range(9):
                    _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx,
                             cy + k // 3 - 1, cx + k % 3 - 1)  # fmt: skip
                if cy == best[i, j, 0] and cx == best[i, j, 1]:
                    break


@njit(cache=True, nogil=True, error_model="numpy")
def _neighbours(planes, here, there, height, width, side, weight, best, before, parent):
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    ly, lx = height + 2 * pad - side, width + 2 * pad - side
    before[:] = best
    rows, columns = best.shape[0], best.shape[1]
    for i in range(rows):
        for j in range(columns):
            oy, ox = pad + (i - 1) * step, pad + (j - 1) * step
            for k in range(4):
                a = min(max(i + (-1 if k == 0 else (1 if k == 1 else 0)), 0), rows - 1)
                b = min(max(j + (-1 if k == 2 else (1 if k == 3 else 0)), 0), columns - 1)
                _attempt(planes, here, there, stride, side, weight, best, parent, i, j, oy, ox, ly, lx,
                         before[a, b, 0], before[a, b, 1])  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(planes, here, there, height, width, side, weight, half, best, parent, out):
    """Half samples, and what the block differs by, without the penalty."""
    step, pad, stride = side // 2, 2 * side, width + 4 * side
    ly, lx = height + 2 * pad - side, width + 2 * pad - side
    size, area = (height + 2 * pad) * stride, side * side
    for i in range(best.shape[0]):
        oy = pad + (i - 1) * step
        for j in range(best.shape[1]):
            ox = pad + (j - 1) * step
            cy, cx = 2 * best[i, j, 0], 2 * best[i, j, 1]
            by, bx, cost = cy, cx, best[i, j, 2]
            py, px = 2 * parent[i, j, 0], 2 * parent[i, j, 1]
            differ = cost - weight * min(abs(by - py) + abs(bx - px), CAP)
            for k in range(9 if half else 0):
                vy = min(max(cy + k // 3 - 1, -2 * oy), 2 * (ly - oy) + 1)
                vx = min(max(cx + k % 3 - 1, -2 * ox), 2 * (lx - ox) + 1)
                if vy == by and vx == bx:
                    continue
                penalty = weight * min(abs(vy - py) + abs(vx - px), CAP)
                if penalty >= cost:
                    continue
                place = there + ((vy & 1) * 2 + (vx & 1)) * size + (oy + (vy >> 1)) * stride + ox + (vx >> 1)
                found = _cost(planes, here + oy * stride + ox, place, stride, side)
                if found + penalty < cost:
                    by, bx, cost, differ = vy, vx, found + penalty, found
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = by, bx, differ * 64 // area


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
        for d in range(1, radius + 1):
            slot, other = 2 * (d - 1) + way, t + (d if way else -d)
            if not 0 <= other < end - begin:
                out[n, slot, :, :, :2] = 0
                out[n, slot, :, :, 2] = NONE
                continue
            above = np.empty((0, 0, 3), np.int64)
            for k in range(levels - 1, -1, -1):
                rows, columns = -(-sizes[k, 0] // (side // 2)) + 1, -(-sizes[k, 1] // (side // 2)) + 1
                best, before = np.empty((rows, columns, 3), np.int64), np.empty((rows, columns, 3), np.int64)
                parent = np.empty((rows, columns, 2), np.int64)
                here, there = t * total + spots[k], other * total + spots[k]
                close = near if k == 0 else near[:0]
                _level(planes, here, there, sizes[k, 0], sizes[k, 1], side, weight, above, close, d, best, parent)
                _neighbours(planes, here, there, sizes[k, 0], sizes[k, 1], side, weight, best, before, parent)
                above = best
                if k == 0:
                    _finish(planes, here, there, sizes[0, 0], sizes[0, 1], side, weight, half, best, parent,
                            out[n, slot])  # fmt: skip
            near = out[n, slot]
