"""Vectors of LANES int16 or float32 for Numba bodies, where LLVM's own vectoriser falls short.

It takes half the width of AVX-512 for float32, and does not find the multiply-high of 16-bit lanes when a factor is the
same in all of them (on x86 six times the work).  These are plain LLVM vector operations: every CPU runs them, split
into whatever registers it has.  Loads and stores need no alignment; none checks bounds.

    line = pointer(array)
    total = splat(np.int16(0))
    total = weigh(total, load(line, x), splat(weight))
    store(line, x, total)
    keep(array)

Arrays are taken as such or by `pointer`.  Numba counts references, with atomic operations, for every slice and for
every array that a function is given; for short lines that costs as much as the arithmetic.  A pointer is not counted,
so an array made in the same function must be used once more, by `keep`, behind the last use of its pointer.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

from kernels import stamps  # noqa: F401  (bodies on disk follow this module)

LANES = 32
TILE = 8  # rows and columns that `transpose` moves

_ELEMENTS = {types.int16: ir.IntType(16), types.float32: ir.FloatType()}
_INT = ir.IntType(32)


class Vector(types.Type):
    """LANES elements in registers; only the functions of this module take it."""

    def __init__(self, element: types.Type) -> None:
        self.element = element
        super().__init__(name=f"Vector({element})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.VectorType(_ELEMENTS[kind.element], LANES))


def _all(value, element):
    return ir.Constant(ir.VectorType(element, LANES), [value] * LANES)


def _splat(builder, scalar):
    blank = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(blank, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, blank, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def _pointer(context, builder, kind, array, index, shape):
    """A pointer to vectors of type `shape` at flat position `index` of a C-contiguous array or behind a pointer."""
    data = array if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(shape))


def _call(builder, name, *args):
    """An LLVM operation on vectors of floats, such as "llvm.fmuladd"."""
    kind = args[0].type
    function = ir.FunctionType(kind, [kind] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"{name}.v{LANES}f32"), args)


@intrinsic
def pointer(typing, array):
    """Where the array's elements are.  `p[i]` is the element at flat position `i`; see the module's docstring."""

    def emit(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), emit


@intrinsic
def after(typing, start, count):
    """The pointer `count` elements behind another."""

    def emit(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return start(start, types.intp), emit


@njit(nogil=True)
def keep(*arrays):
    """Keeps arrays alive up to here."""


@intrinsic
def load(typing, array, index):
    """LANES elements of a contiguous int16 or float32 array from flat `index` on."""
    element = _ELEMENTS[array.dtype]

    def emit(context, builder, signature, args):
        shape = ir.VectorType(element, LANES)
        at = _pointer(context, builder, signature.args[0], args[0], args[1], shape)
        return builder.load(at, align=array.dtype.bitwidth // 8)

    return Vector(array.dtype)(array, types.intp), emit


@intrinsic
def take(typing, source, source_index, target, target_index, power):
    """Copies LANES samples into an array for arithmetic: int16 as `(sample - 128) << power`, float32 as they are."""

    def emit(context, builder, signature, args):
        kind = signature.args[0].dtype
        bits, element = kind.bitwidth, _ELEMENTS[target.dtype]
        sample = ir.FloatType() if kind == types.float32 else ir.IntType(bits)
        at = _pointer(context, builder, signature.args[0], args[0], args[1], ir.VectorType(sample, LANES))
        v, shape = builder.load(at, align=bits // 8), ir.VectorType(element, LANES)
        if target.dtype == types.int16 and kind == types.uint8:
            v = builder.shl(builder.sub(builder.zext(v, shape), _all(128, element)), _splat(builder, args[4]))
        elif target.dtype == types.float32 and kind != types.float32:
            v = builder.uitofp(v, shape)
        elif target.dtype != kind:
            raise TypingError(f"take brings {kind} to float32, and uint8 to int16; got {target.dtype}")
        to = _pointer(context, builder, signature.args[2], args[2], args[3], shape)
        builder.store(v, to, align=target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.int16), emit


@intrinsic
def store(typing, array, index, vector):
    """Writes a vector at flat `index` of an array of its own element type."""

    def emit(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], at, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


@intrinsic
def splat(typing, scalar):
    """A vector of LANES times `scalar` (int16 or float32)."""

    def emit(context, builder, signature, args):
        return _splat(builder, args[0])

    return Vector(scalar)(scalar), emit


@intrinsic
def weigh(typing, total, vector, weight):
    """`total + vector * weight`; of int16 the product's upper half: `total + (vector * weight >> 16)`."""

    def emit(context, builder, signature, args):
        base, a, w = args
        if total.element == types.float32:
            return _call(builder, "llvm.fmuladd", a, w, base)
        wide = ir.VectorType(_INT, LANES)
        product = builder.mul(builder.sext(a, wide), builder.sext(w, wide))
        return builder.add(base, builder.trunc(builder.lshr(product, _all(16, _INT)), a.type))

    return total(total, vector, weight), emit


def _arithmetic(name, doc):
    @intrinsic
    def operation(typing, a, b):
        def emit(context, builder, signature, args):
            return getattr(builder, ("f" if a.element == types.float32 else "") + name)(*args)

        return a(a, b), emit

    operation.__doc__ = doc
    return operation


add = _arithmetic("add", "`a + b`")
sub = _arithmetic("sub", "`a - b`")
mul = _arithmetic("mul", "`a * b`")
div = _arithmetic("div", "`a / b`, of float32 only")


@intrinsic
def lane_sum(typing, vector):
    """The sum of a float32 vector's lanes, in any order."""

    def emit(context, builder, signature, args):
        scalar = ir.FloatType()
        function = ir.FunctionType(scalar, [scalar, args[0].type])
        reduce = cgutils.get_or_insert_function(builder.module, function, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return builder.call(reduce, [ir.Constant(scalar, 0.0), args[0]], fastmath=("reassoc",))

    return types.float32(vector), emit


@intrinsic
def scaled(typing, vector, power):
    """int16 times `2**power`; float32 as it is."""

    def emit(context, builder, signature, args):
        return builder.shl(args[0], _splat(builder, args[1])) if vector.element == types.int16 else args[0]

    return vector(vector, types.int16), emit


def _limited(builder, vector, low, high):
    vector = builder.select(builder.icmp_signed(">", vector, low), vector, low)
    return builder.select(builder.icmp_signed("<", vector, high), vector, high)


@intrinsic
def store_levels(typing, array, index, vector, power, peak):
    """Writes a vector as samples: int16 as `128 + (v >> power)` to uint8, float32 rounded down; limited to
    `0 .. peak`; float32 to float32 as it is."""
    bits = array.dtype.bitwidth

    def emit(context, builder, signature, args):
        _, index, v, power, peak = args
        sample = ir.FloatType() if array.dtype == types.float32 else ir.IntType(bits)
        shape = ir.VectorType(sample, LANES)
        if vector.element == types.int16:
            v = builder.add(builder.ashr(v, _splat(builder, power)), _all(128, v.type.element))
            v = builder.trunc(_limited(builder, v, _all(0, v.type.element), _all(255, v.type.element)), shape)
        elif array.dtype != types.float32:
            # Through int32, so that limits and narrowing become the one saturating instruction where there is one.
            v = builder.fptosi(v, ir.VectorType(_INT, LANES))
            v = _limited(builder, v, _all(0, _INT), _splat(builder, builder.fptosi(peak, _INT)))
            v = builder.trunc(v, shape)
        builder.store(v, _pointer(context, builder, signature.args[0], args[0], index, shape), align=bits // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.int16, types.float32), emit


@intrinsic
def store_pairs(typing, array, index, even, odd):
    """Writes `even[0], odd[0], even[1], odd[1], ...` from flat `index` on."""

    def emit(context, builder, signature, args):
        mask = [lane + half for lane in range(LANES) for half in (0, LANES)]
        both = builder.shuffle_vector(args[2], args[3], ir.Constant(ir.VectorType(_INT, 2 * LANES), mask))
        at = _pointer(context, builder, signature.args[0], args[0], args[1], both.type)
        builder.store(both, at, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, even, odd), emit


@intrinsic
def transpose(typing, source, source_index, source_pitch, target, target_index, target_pitch):
    """Writes the TILE x TILE tile at flat `source_index`, rows and columns exchanged, to `target_index`."""
    align = source.dtype.bitwidth // 8

    def emit(context, builder, signature, args):
        shape = ir.VectorType(_ELEMENTS[source.dtype], TILE)
        zip_low, zip_high = (
            ir.Constant(ir.VectorType(_INT, TILE), [k + h for k in range(first, first + TILE // 2) for h in (0, TILE)])
            for first in (0, TILE // 2)
        )

        def rows(kind, array, index, pitch):
            for k in range(TILE):
                at = builder.add(index, builder.mul(pitch, ir.Constant(pitch.type, k)))
                yield _pointer(context, builder, kind, array, at, shape)

        tile = [builder.load(p, align=align) for p in rows(signature.args[0], *args[:3])]
        for _ in range(TILE.bit_length() - 1):
            halves = zip(tile[: TILE // 2], tile[TILE // 2 :], strict=True)
            tile = [builder.shuffle_vector(a, b, mask) for a, b in halves for mask in (zip_low, zip_high)]
        for row, at in zip(tile, rows(signature.args[3], *args[3:]), strict=True):
            builder.store(row, at, align=align)
        return context.get_dummy_value()

    where = (types.intp, types.intp)
    return types.void(source, *where, target, *where), emit
