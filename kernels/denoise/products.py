"""The product of two 16x16 matrices as straight-line vector code, for Numba bodies.

Rows of the right factor and of the result are vectors of 16; the left factor's elements are spread over them.  The
right factor stays in registers where there are enough of them (AVX-512); elsewhere LLVM splits the vectors.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

SIDE = 16


@intrinsic(prefer_literal=True)
def product16(typingctx, out, at, step, left, begin, gap, right, place, stride, add):
    """`out = left @ right`, or `out += left @ right` when `add` (a constant) is true.

    out, left, right : C arrays of any shape, float32; `right` also of unsigned integers.  Row i starts at element
                       `at + i * step`, `begin + i * gap`, `place + i * stride`.
    Nothing is checked: the rows must lie inside.
    """
    if not isinstance(add, types.BooleanLiteral | types.IntegerLiteral):
        raise TypingError("product16: add must be a constant")

    def codegen(context, builder, sig, args):
        row = ir.VectorType(ir.FloatType(), SIDE)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(row, [row] * 3), f"llvm.fmuladd.v{SIDE}f32"
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), SIDE), [0] * SIDE)
        blank = ir.Constant(row, ir.Undefined)
        index = ir.IntType(64)

        def data(i):
            return make_array(sig.args[i])(context, builder, args[i]).data

        def starts(i):
            start, first, apart = data(i), args[i + 1], args[i + 2]
            spots = (builder.add(first, builder.mul(apart, index(k))) for k in range(SIDE))
            return [builder.gep(start, [s]) for s in spots]

        def loaded(pointer, dtype):
            kind = row if dtype == types.float32 else ir.VectorType(ir.IntType(dtype.bitwidth), SIDE)
            value = builder.load(builder.bitcast(pointer, kind.as_pointer()), align=dtype.bitwidth // 8)
            if kind is row:
                return value
            return builder.sitofp(builder.zext(value, ir.VectorType(ir.IntType(32), SIDE)), row)

        matrix = [loaded(p, sig.args[6].dtype) for p in starts(6)]
        factors = starts(3)
        for k, pointer in enumerate(starts(0)):
            to = builder.bitcast(pointer, row.as_pointer())
            total = builder.load(to, align=4) if add.literal_value else ir.Constant(row, [0.0] * SIDE)
            for j in range(SIDE):
                one = builder.load(builder.gep(factors[k], [index(j)]), align=4)
                spread = builder.shuffle_vector(builder.insert_element(blank, one, ir.IntType(32)(0)), blank, zeros)
                total = builder.call(fma, [spread, matrix[j], total])
            builder.store(total, to, align=4)
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, out, *where, left, *where, right, *where, add), codegen
