"""Straight-line vector arithmetic for Numba bodies: many samples of a row at a time, in the row's own narrow type.

    @lanes.step(64)                     # bytes
    def average(a, b):                  # a formula on Lanes; runs once, while Numba compiles
        return lanes.average_down(a, b)

    average(out, x, src, i, j)          # in an njit body: out[x : x + n] = formula(src[i : i + n], src[j : j + n])

Arrays are flat; n is 64 for uint8 and 32 for uint16, so the same formula serves both.

LLVM's own vectoriser widens uint8 to 32 or 64 bit where it cannot prove otherwise and gives up on loops over many rows.
Here the formula is written on vectors, so it stays in bytes (64 samples per AVX-512 instruction) and needs no proof.
The vectors are LLVM's, not one processor's: on others (AVX2, NEON) LLVM splits them.

Flat arrays and positions instead of rows: Numba counts references for every slice, 36 atomic operations per line here,
which took as long as the line.  The caller sees to it that all positions are inside; nothing is checked here.
Formulas may live in other modules than the bodies: `stamps.py` sees to it that the bodies on disk follow them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from kernels import stamps  # noqa: F401  (bodies on disk follow the formulas they were made from)


class Lanes:
    """A vector of unsigned or signed integers while code is being made.

    `+`, `-`, `*`, `<<` wrap around; `>>` keeps the sign of signed lanes.  `<`, `>` and `equals` give masks: signed
    lanes of all ones or zeros, for `&`, `|`, `~` and `pick`.  A Python int stands for a vector of it.
    """

    def __init__(self, builder: ir.IRBuilder, value: ir.Value, signed: bool, features: str = "") -> None:
        self.builder, self.value, self.signed = builder, value, signed
        self.features = features  # of the processor compiled for, as LLVM names them: "+avx2,+avx512bw,..."

    @property
    def bits(self) -> int:
        return self.value.type.element.width

    @property
    def count(self) -> int:
        return self.value.type.count

    def _constant(self, number: int) -> ir.Constant:
        return ir.Constant(self.value.type, [number & ((1 << self.bits) - 1)] * self.count)

    def _other(self, other: Lanes | int) -> ir.Value:
        if isinstance(other, Lanes):
            if other.value.type != self.value.type:
                raise TypeError(f"lanes {self.value.type} met {other.value.type}; widen or narrow one first")
            return other.value
        return self._constant(other)

    def _new(self, value: ir.Value, signed: bool | None = None) -> Lanes:
        return Lanes(self.builder, value, self.signed if signed is None else signed, self.features)

    def __add__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.add(self.value, self._other(other)))

    def __sub__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.sub(self.value, self._other(other)))

    def __mul__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.mul(self.value, self._other(other)))

    def __rmul__(self, other: int) -> Lanes:
        return self * other

    def __lshift__(self, places: int) -> Lanes:
        return self._new(self.builder.shl(self.value, self._constant(places)))

    def __rshift__(self, places: int) -> Lanes:
        shift = self.builder.ashr if self.signed else self.builder.lshr
        return self._new(shift(self.value, self._constant(places)))

    def __and__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.and_(self.value, self._other(other)))

    def __or__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.or_(self.value, self._other(other)))

    def __xor__(self, other: Lanes | int) -> Lanes:
        return self._new(self.builder.xor(self.value, self._other(other)))

    def __invert__(self) -> Lanes:
        return self ^ -1

    def _compare(self, sign: str, other: Lanes | int) -> Lanes:
        compare = self.builder.icmp_signed if self.signed else self.builder.icmp_unsigned
        mask = self.builder.sext(compare(sign, self.value, self._other(other)), self.value.type)
        return self._new(mask, signed=True)

    def __lt__(self, other: Lanes | int) -> Lanes:
        return self._compare("<", other)

    def __gt__(self, other: Lanes | int) -> Lanes:
        return self._compare(">", other)

    def equals(self, other: Lanes | int) -> Lanes:
        return self._compare("==", other)

    def call(self, name: str, *others: Lanes | int) -> Lanes:
        """The LLVM intrinsic `name` (without its type suffix) on these lanes."""
        kind = self.value.type
        arguments = [self.value, *(self._other(o) for o in others)]
        made = ir.FunctionType(kind, [kind] * len(arguments))
        name = f"llvm.{name}.v{self.count}i{self.bits}"
        function = cgutils.get_or_insert_function(self.builder.module, made, name)
        return self._new(self.builder.call(function, arguments))

    def times_high(self, number: int) -> Lanes:
        """The upper half of the product with `number`: floor(lanes * number / 2^bits)."""
        build, kind = self.builder, self.value.type
        double = ir.VectorType(ir.IntType(self.bits * 2), self.count)
        grow = build.sext if self.signed else build.zext
        shift, factor = (ir.Constant(double, [n] * self.count) for n in (self.bits, number))
        return self._new(build.trunc(build.lshr(build.mul(grow(self.value, double), factor), shift), kind))

    def as_words(self) -> Lanes:
        """The same bits as half as many signed lanes of twice the width."""
        kind = ir.VectorType(ir.IntType(self.bits * 2), self.count // 2)
        return self._new(self.builder.bitcast(self.value, kind), signed=True)

    def as_bytes(self) -> Lanes:
        """The same bits as twice as many unsigned lanes of half the width."""
        kind = ir.VectorType(ir.IntType(self.bits // 2), self.count * 2)
        return self._new(self.builder.bitcast(self.value, kind), signed=False)


def low(a: Lanes, b: Lanes | int) -> Lanes:
    """The smaller of each pair."""
    return a.call("smin" if a.signed else "umin", b)


def high(a: Lanes, b: Lanes | int) -> Lanes:
    """The larger of each pair."""
    return a.call("smax" if a.signed else "umax", b)


def size(a: Lanes) -> Lanes:
    """The absolute value of signed lanes."""
    return high(a, a._new(a._constant(0)) - a)


def apart(a: Lanes, b: Lanes) -> Lanes:
    """How far apart two unsigned samples are."""
    return high(a, b) - low(a, b)


def excess(a: Lanes, b: Lanes | int) -> Lanes:
    """a - b where a is larger, else 0."""
    return a.call("usub.sat" if not a.signed else "ssub.sat", b)


def sum_held(a: Lanes, b: Lanes | int) -> Lanes:
    """a + b, held at the largest value of the type."""
    return a.call("uadd.sat" if not a.signed else "sadd.sat", b)


def average_up(a: Lanes, b: Lanes) -> Lanes:
    """(a + b + 1) >> 1 of unsigned lanes without overflow."""
    wide = ir.VectorType(ir.IntType(a.bits * 2), a.count)
    build = a.builder
    total = build.add(build.zext(a.value, wide), build.zext(b.value, wide))
    one = ir.Constant(wide, [1] * a.count)
    half = build.lshr(build.add(total, one), one)
    return a._new(build.trunc(half, a.value.type))


def average_down(a: Lanes, b: Lanes) -> Lanes:
    """(a + b) >> 1 of unsigned lanes without overflow."""
    return average_up(a, b) - ((a ^ b) & 1)


def pick(mask: Lanes, a: Lanes, b: Lanes) -> Lanes:
    """a where the mask is all ones, b where it is zero."""
    return (a & mask) | (b & ~mask)


def even(a: Lanes) -> Lanes:
    """Samples 0, 2, 4, ... as signed lanes of twice the width (a mask stays a mask)."""
    words = a.as_words()
    return (words << a.bits) >> a.bits if a.signed else words & ((1 << a.bits) - 1)


def odd(a: Lanes) -> Lanes:
    """Samples 1, 3, 5, ... as signed lanes of twice the width (a mask stays a mask)."""
    words = a.as_words()
    if a.signed:
        return words >> a.bits
    words.signed = False
    words = words >> a.bits
    words.signed = True
    return words


def woven(evens: Lanes, odds: Lanes) -> Lanes:
    """The inverse of `even` and `odd`, for values (or masks) that fit the narrow type."""
    half = evens.bits // 2
    return ((evens & ((1 << half) - 1)) | (odds << half)).as_bytes()


def _unpacked(a: Lanes, upper: bool) -> Lanes:
    group = 128 // a.bits
    first = [g * group + upper * group // 2 + i for g in range(a.count // group) for i in range(group // 2)]
    # A sample and, above it, zero; or the same once more, so that a mask stays a mask.
    order = [j for i in first for j in (i, i if a.signed else a.count)]
    other = a.value if a.signed else ir.Constant(a.value.type, None)
    pattern = ir.Constant(ir.VectorType(ir.IntType(32), a.count), order)
    return a._new(a.builder.shuffle_vector(a.value, other, pattern)).as_words()


def lower(a: Lanes) -> Lanes:
    """The first half of every 16 bytes, as signed lanes of twice the width (a mask stays a mask)."""
    return _unpacked(a, False)


def upper(a: Lanes) -> Lanes:
    """The second half of every 16 bytes, as signed lanes of twice the width (a mask stays a mask)."""
    return _unpacked(a, True)


#: By the bits of a vector: what the processor must have, and LLVM's name of its packing instruction.
_PACK = {512: ("+avx512bw", "llvm.x86.avx512.packus{}.512"), 256: ("+avx2", "llvm.x86.avx2.packus{}")}


def packed(lower: Lanes, upper: Lanes) -> Lanes:
    """The inverse of `lower` and `upper`, held to the range of the narrow type."""
    bits, kind = lower.bits // 2, ir.VectorType(ir.IntType(lower.bits // 2), lower.count * 2)
    feature, name = _PACK.get(bits * kind.count, ("none", ""))
    if feature in lower.features.split(","):
        # One instruction that also limits; LLVM has no general name for it.
        made = ir.FunctionType(kind, [lower.value.type] * 2)
        name = name.format("wb" if bits == 8 else "dw")
        function = cgutils.get_or_insert_function(lower.builder.module, made, name)
        return lower._new(lower.builder.call(function, [lower.value, upper.value]), signed=False)
    both = [low(high(half, 0), (1 << bits) - 1).as_bytes().value for half in (lower, upper)]
    group = 128 // bits
    pairs = [(g * group + 2 * i, h) for g in range(kind.count // group) for h in (0, 1) for i in range(group // 2)]
    order = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [i + h * kind.count for i, h in pairs])
    return lower._new(lower.builder.shuffle_vector(*both, order), signed=False)


def by_halves(formula: Callable[..., Lanes], *rows: Lanes) -> Lanes:
    """`formula` in twice the width, on one half of the samples and the other; the result is held to the narrow type."""
    return packed(*(formula(*(part(row) for row in rows)) for part in (lower, upper)))


def step(size: int, outputs: int = 1) -> Callable[[Callable[..., Any]], Any]:
    """Makes a formula on Lanes callable in Numba code as `step(out, at, ..., array, at, at, ..., array, at, ...)`.

    Arrays are 1-d C-contiguous; every position after an array adds one row of `size` bytes of it from there on.
    The first `outputs` rows take the formula's results, the others are loaded and handed to it.
    """

    def make(formula: Callable[..., Any]) -> Any:
        wanted = outputs + len(inspect.signature(formula).parameters)

        def rows(kinds: tuple[Any, ...]) -> list[tuple[int, int]]:
            """(index of the array, index of the position) of each row."""
            found, array = [], None
            for i, kind in enumerate(kinds):
                if isinstance(kind, types.Array) and kind.ndim == 1 and kind.layout == "C":
                    array = i
                elif isinstance(kind, types.Integer) and array is not None:
                    found.append((array, i))
                else:
                    raise TypingError(f"{formula.__name__}: argument {i} is {kind}; expected flat arrays, positions")
            if len(found) != wanted:
                raise TypingError(f"{formula.__name__} takes {wanted} rows; got {len(found)}")
            return found

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            args, kinds = cgutils.unpack_tuple(builder, args[0]), signature.args[0].types
            pointers = []
            for array, position in rows(kinds):
                data = context.make_array(kinds[array])(context, builder, args[array]).data
                place = context.cast(builder, args[position], kinds[position], types.intp)
                width = kinds[array].dtype.bitwidth
                lanes = ir.VectorType(ir.IntType(width), size * 8 // width)
                pointers.append((builder.bitcast(builder.gep(data, [place]), lanes.as_pointer()), kinds[array].dtype))
            features = context.codegen().magic_tuple()[2]
            loads = [(builder.load(pointer, align=1), dtype.signed) for pointer, dtype in pointers[outputs:]]
            inputs = [Lanes(builder, value, signed, features) for value, signed in loads]
            results = formula(*inputs)
            results = results if isinstance(results, tuple) else (results,)
            for result, (pointer, _) in zip(results, pointers, strict=False):
                builder.store(result.value, pointer, align=1)
            return context.get_dummy_value()

        def typed(typingctx: Any, *args: Any) -> Any:
            rows(args)
            return types.void(types.StarArgTuple.from_types(args)), generate

        typed.__name__ = formula.__name__
        typed.__doc__ = formula.__doc__
        return intrinsic(typed)

    return make


@intrinsic
def prefetch(typingctx, array, position):
    """Asks for the cache line of flat `array` at `position`; needs not be inside.  Does not wait."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        word = ir.IntType(32)
        pointer = builder.bitcast(builder.gep(data, [place]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, position), generate


@intrinsic
def wide_vectors(typingctx):
    """Lets LLVM use the widest vectors there are in the loops of the function that calls it (AVX-512's: 512 bits).

    By itself it stays at 256 on many processors, which was right for code that is seldom in vectors; in a kernel whose
    time is all in such loops 512 gain a tenth.  Others know no such width and go on as before.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        attributes = builder.function.attributes
        attributes.add("noinline")  # the width is the function's, and lost with it
        set.add(attributes, '"prefer-vector-width"="512"')  # llvmlite's own `add` only knows words without a value
        return context.get_dummy_value()

    return types.none(), generate
