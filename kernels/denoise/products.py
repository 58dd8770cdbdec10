"""The product of two 16x16 matrices as straight-line vector code, for Numba bodies.

Rows of the right factor and of the result are vectors of 16; the left factor's elements are spread over them.  The
right factor stays in registers where there are enough of them (AVX-512); elsewhere LLVM splits the vectors.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.typing import signature
from numba.extending import intrinsic

from kernels.denoise.vectors import INDEX, LANES, ROW, Row, Rows


@intrinsic
def product16(typingctx, out, at, step, left, begin, gap, right, place, stride):
    """`out = left @ right`.

    out, left, right : C arrays of any shape, float32; `right` also of unsigned integers.  Row i starts at element
                       `at + i * step`, `begin + i * gap`, `place + i * stride`.
    Nothing is checked: the rows must lie inside.
    """

    def codegen(context, builder, sig, args):
        result, factors, source = (Rows(context, builder, sig.args[i], args[i], args[i + 1]) for i in (0, 3, 6))
        matrix = [source[builder.mul(args[8], INDEX(j))] for j in range(LANES)]
        for k in range(LANES):
            total, first = Row(builder, ir.Constant(ROW, [0.0] * LANES)), builder.mul(args[5], INDEX(k))
            for j, row in enumerate(matrix):
                total = total.plus(factors.spread(builder.add(first, INDEX(j))), row)
            result[builder.mul(args[2], INDEX(k))] = total
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, out, *where, left, *where, right, *where), codegen
