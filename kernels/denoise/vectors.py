"""Vectors of 16 floats in LLVM's code, for Numba bodies that are written as straight-line code over them."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

LANES = 16
ROW = ir.VectorType(ir.FloatType(), LANES)
WORD, INDEX = ir.IntType(32), ir.IntType(64)


class Row:
    """Sixteen floats while code is being made."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def _of(self, other) -> ir.Value:
        if isinstance(other, Row):
            return other.value
        numbers = other if isinstance(other, tuple) else (other,) * LANES
        return ir.Constant(ROW, [float(n) for n in numbers])

    def __add__(self, other) -> Row:
        return Row(self.builder, self.builder.fadd(self.value, self._of(other), flags=("contract",)))

    def __sub__(self, other) -> Row:
        return Row(self.builder, self.builder.fsub(self.value, self._of(other), flags=("contract",)))

    def __mul__(self, other) -> Row:
        return Row(self.builder, self.builder.fmul(self.value, self._of(other), flags=("contract",)))

    def plus(self, one: Row, other) -> Row:
        """This plus the product of two, in one instruction where the machine has it.

        LLVM itself makes one of a product and a sum only where nobody else needs the product.
        """
        kind = ir.FunctionType(ROW, [ROW] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return Row(self.builder, self.builder.call(fma, [one.value, self._of(other), self.value]))

    def minus(self, one: Row, other) -> Row:
        """This less the product of two."""
        return self.plus(Row(self.builder, self.builder.fneg(one.value)), other)

    def pick(self, other: Row, lanes: list[int]) -> Row:
        """Lanes of this (0-15) and of `other` (16-31)."""
        order = ir.Constant(ir.VectorType(WORD, LANES), lanes)
        return Row(self.builder, self.builder.shuffle_vector(self.value, other.value, order))

    def within(self, low: float, high: float) -> Row:
        value = self.value
        for sign, limit in ((">", low), ("<", high)):
            bound = self._of(limit)
            value = self.builder.select(self.builder.fcmp_ordered(sign, value, bound), value, bound)
        return Row(self.builder, value)


class Rows:
    """A flat array from element `start` on, read and written sixteen elements at a time.

    Floats are Rows; unsigned integers become Rows when read.
    """

    def __init__(self, context, builder, kind, value, start) -> None:
        self.builder, self.start, self.dtype = builder, start, kind.dtype
        self.data = make_array(kind)(context, builder, value).data

    def _pointer(self, place) -> ir.Value:
        place = INDEX(place) if isinstance(place, int) else place
        return self.builder.gep(self.data, [self.builder.add(self.start, place)])

    def vector(self, place) -> ir.Value:
        kind = ROW if self.dtype == types.float32 else ir.VectorType(ir.IntType(self.dtype.bitwidth), LANES)
        pointer = self.builder.bitcast(self._pointer(place), kind.as_pointer())
        return self.builder.load(pointer, align=self.dtype.bitwidth // 8)

    def keep(self, place, vector: ir.Value) -> None:
        pointer = self.builder.bitcast(self._pointer(place), vector.type.as_pointer())
        self.builder.store(vector, pointer, align=self.dtype.bitwidth // 8)

    def __getitem__(self, place) -> Row:
        vector = self.vector(place)
        if vector.type != ROW:
            vector = self.builder.sitofp(self.builder.zext(vector, ir.VectorType(WORD, LANES)), ROW)
        return Row(self.builder, vector)

    def __setitem__(self, place, row: Row) -> None:
        self.keep(place, row.value)

    def fetch(self, place) -> None:
        """Calls what lies there into the cache; it need not exist."""
        pointer = self.builder.bitcast(self._pointer(place), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, WORD, WORD, WORD])
        prefetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch")
        self.builder.call(prefetch, [pointer, WORD(0), WORD(3), WORD(1)])

    def spread(self, place) -> Row:
        """One element in all lanes."""
        blank, first = ir.Constant(ROW, ir.Undefined), ir.Constant(ir.VectorType(WORD, LANES), [0] * LANES)
        one = self.builder.load(self._pointer(place), align=4)
        return Row(self.builder, self.builder.shuffle_vector(self.builder.insert_element(blank, one, WORD(0)), blank,
                                                             first))  # fmt: skip


def turned(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Sixteen vectors of any kind with rows and columns exchanged."""
    orders = [ir.Constant(ir.VectorType(WORD, LANES), [first + k // 2 + k % 2 * LANES for k in range(LANES)])
              for first in (0, 8)]  # fmt: skip
    for _ in range(4):
        pairs = list(zip(rows[:8], rows[8:], strict=True))
        rows = [builder.shuffle_vector(a, b, order) for a, b in pairs for order in orders]
    return rows


def _turned(context, builder, sig, args):
    """Where each turned row of `turn` belongs, and the row."""
    source, result = (Rows(context, builder, sig.args[i], args[i], args[i + 1]) for i in (3, 0))
    read = [source.vector(builder.mul(args[5], INDEX(j))) for j in range(LANES)]
    for i, vector in enumerate(turned(builder, read)):
        yield result, builder.mul(args[2], INDEX(i)), vector


@intrinsic
def turn(typingctx, to, at, step, rows, begin, gap):
    """`to[at + i step + j] = rows[begin + j gap + i]` for i, j < 16; flat arrays of one type."""

    def codegen(context, builder, sig, args):
        for result, place, vector in _turned(context, builder, sig, args):
            result.keep(place, vector)
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, to, *where, rows, *where), codegen


@intrinsic
def turn_and_add(typingctx, to, at, step, rows, begin, gap):
    """`to[at + i step + j] += rows[begin + j gap + i]` for i, j < 16, one i after the other; flat float32 arrays."""

    def codegen(context, builder, sig, args):
        for result, place, vector in _turned(context, builder, sig, args):
            result[place] = result[place] + Row(builder, vector)
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, to, *where, rows, *where), codegen
