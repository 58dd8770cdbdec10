"""Sums of squared differences of bytes, as fast as memory brings them.

LLVM's own vectoriser widens the bytes one vector of eight at a time.  Here the difference is taken in bytes, |a - b| =
(a - b held at 0) | (b - a held at 0); its even and odd bytes are 16-bit lanes, squared and added in pairs to 32 bits,
which LLVM knows as one instruction (pmaddwd, or vpdpwssd with the sum).  The next page is asked for ahead, since the
processor's own reading ahead ends with the page.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels import stamps  # noqa: F401  (bodies on disk follow this module)

BLOCK = 128  # bytes done at once
LONGEST = 1 << 14  # bytes whose sum stays in 32 bits: 2**14 * 255**2 < 2**31
AHEAD = 2048  # bytes
_LANES = 64


@intrinsic
def squares_apart(typing, a, i, b, j, count):
    """The sum of (a - b)^2 over `count` bytes of two flat arrays from positions i and j on.

    `count` is a multiple of BLOCK and at most LONGEST; positions are not checked.
    """
    byte, short, int_, long = (ir.IntType(n) for n in (8, 16, 32, 64))
    bytes_, shorts = ir.VectorType(byte, _LANES), ir.VectorType(short, _LANES // 2)
    wide, sums = ir.VectorType(int_, _LANES // 2), ir.VectorType(int_, _LANES // 4)

    def emit(context, builder, signature, args):
        def call(name, result, *values):
            kind = ir.FunctionType(result, [v.type for v in values])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)

        def pairs(half):
            """Each lane times itself, and neighbours added."""
            square = builder.zext(half, wide)
            square = builder.mul(square, square)
            orders = (ir.Constant(sums, list(range(first, _LANES // 2, 2))) for first in (0, 1))
            return builder.add(*(builder.shuffle_vector(square, square, order) for order in orders))

        first, second = (
            builder.gep(context.make_array(signature.args[n])(context, builder, args[n]).data, [args[n + 1]])
            for n in (0, 2)
        )
        totals = [cgutils.alloca_once_value(builder, ir.Constant(sums, None)) for _ in range(2 * BLOCK // _LANES)]
        blocks = builder.udiv(args[4], long(BLOCK))
        with cgutils.for_range(builder, blocks, intp=long) as loop:
            for part in range(BLOCK // _LANES):
                at = builder.add(builder.mul(loop.index, long(BLOCK)), long(part * _LANES))
                both = []
                for data in (first, second):
                    place = builder.gep(data, [at])
                    both.append(builder.load(builder.bitcast(place, bytes_.as_pointer()), align=1))
                    ahead = builder.gep(place, [long(AHEAD)])
                    call("llvm.prefetch.p0", ir.VoidType(), ahead, int_(0), int_(3), int_(1))
                x, y = both
                name = f"llvm.usub.sat.v{_LANES}i8"
                apart = builder.or_(call(name, bytes_, x, y), call(name, bytes_, y, x))
                apart = builder.bitcast(apart, shorts)
                even = builder.and_(apart, ir.Constant(shorts, [255] * shorts.count))
                odd = builder.lshr(apart, ir.Constant(shorts, [8] * shorts.count))
                for total, half in zip(totals[2 * part :], (even, odd), strict=False):
                    builder.store(builder.add(builder.load(total), pairs(half)), total)
        whole = builder.load(totals[0])
        for total in totals[1:]:
            whole = builder.add(whole, builder.load(total))
        return builder.zext(call(f"llvm.vector.reduce.add.v{sums.count}i32", int_, whole), long)

    return types.int64(a, types.intp, b, types.intp, types.intp), emit
