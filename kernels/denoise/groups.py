"""Groups of eight 8x8 blocks to their spectra and back, as vectors of 16, for the Numba body of `bm3d`.

A vector holds a line of two blocks, or two lines of a spectrum.  The cosine transform of 8 lines is 36 operations
(sums and differences, then 4x4 products for the odd waves); along the group Haar's sums and differences are left as
they are, and their norms 8, 8, 4, 4, 2, 2, 2, 2 stand in the thresholds.

Limit: a group is 4 pairs of blocks, each 2 x 36 operations and 24 exchanges of lanes to transpose it, there and back;
32 vectors of 22 operations between; 128 sums that are read and written: some 1900 instructions, 1200 cycles.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kernels.denoise.alike import GROUP, SIDE
from kernels.denoise.vectors import LANES, Row

NORMS = (8, 8, 4, 4, 2, 2, 2, 2)  # squared, of Haar's sums and differences
FIRST = (1.0,) + (0.0,) * (LANES - 1)
START = 1.5  # of the ramp, times its width: see bm3d.LOW and HIGH

_HALF = ir.VectorType(ir.FloatType(), SIDE)
_WORD, _INDEX = ir.IntType(32), ir.IntType(64)


def _wave(k, i):
    return (math.sqrt(0.125) if k == 0 else 0.5) * math.cos((2 * i + 1) * k * math.pi / 16)


def _dot(rows, factors):
    total = rows[0] * factors[0]
    for row, factor in zip(rows[1:], factors[1:], strict=True):
        total = total + row * factor
    return total


def _cosines(x):
    """The orthonormal cosine transform of 8 lines."""
    s, d = ([f(x[i], x[7 - i]) for i in range(4)] for f in (Row.__add__, Row.__sub__))
    e, f = (s[0] + s[3], s[1] + s[2]), (s[0] - s[3], s[1] - s[2])
    y = [None] * 8
    y[0], y[4] = (e[0] + e[1]) * _wave(4, 0), (e[0] - e[1]) * _wave(4, 0)
    y[2], y[6] = (_dot(f, [_wave(k, i) for i in range(2)]) for k in (2, 6))
    for k in range(1, 8, 2):
        y[k] = _dot(d, [_wave(k, i) for i in range(4)])
    return y


def _lines(y):
    """The inverse of `_cosines`."""
    p, q = (y[0] + y[4]) * _wave(4, 0), (y[0] - y[4]) * _wave(4, 0)
    r, s = (_dot((y[2], y[6]), (_wave(2, i), _wave(6, i))) for i in range(2))
    even = (p + r, q + s, q - s, p - r)
    odd = [_dot([y[k] for k in range(1, 8, 2)], [_wave(k, i) for k in range(1, 8, 2)]) for i in range(4)]
    return [even[i] + odd[i] for i in range(4)] + [even[i] - odd[i] for i in range(3, -1, -1)]


def _transposed(rows):
    """Lines and columns exchanged in both blocks."""
    orders = [[h * 8 + first + k // 2 + k % 2 * LANES for h in (0, 1) for k in range(8)] for first in (0, 4)]
    for _ in range(3):
        rows = [a.pick(b, order) for a, b in zip(rows[:4], rows[4:], strict=True) for order in orders]
    return rows


def _haar(x):
    """Sums and differences along the group, unscaled, coarse to fine."""
    found = []
    while len(x) > 1:
        found = [a - b for a, b in zip(x[::2], x[1::2], strict=True)] + found
        x = [a + b for a, b in zip(x[::2], x[1::2], strict=True)]
    return x + found


def _unhaar(c):
    x, rest = c[:1], c[1:]
    while rest:
        fine, rest = rest[: len(x)], rest[len(x) :]
        x = [v for a, b in zip(x, fine, strict=True) for v in (a + b, a - b)]
    return x


class _Floats:
    """A flat float32 array, or memory behind it, in pieces of 8 or 16."""

    def __init__(self, context, builder, kind, value) -> None:
        self.builder, self.data = builder, make_array(kind)(context, builder, value).data

    def _at(self, place, kind):
        place = _INDEX(place) if isinstance(place, int) else place
        return self.builder.bitcast(self.builder.gep(self.data, [place]), kind.as_pointer())

    def half(self, place):
        return self.builder.load(self._at(place, _HALF), align=4)

    def put_half(self, place, value):
        self.builder.store(value, self._at(place, _HALF), align=4)

    def row(self, place):
        kind = ir.VectorType(ir.FloatType(), LANES)
        return Row(self.builder, self.builder.load(self._at(place, kind), align=4))

    def put(self, place, row):
        self.builder.store(row.value, self._at(place, row.value.type), align=4)

    def two(self, a, b):
        """Eight from `a` on and eight from `b` on."""
        order = ir.Constant(ir.VectorType(_WORD, LANES), list(range(LANES)))
        return Row(self.builder, self.builder.shuffle_vector(self.half(a), self.half(b), order))


def _split(builder, row):
    """The two halves of a row."""
    orders = (ir.Constant(ir.VectorType(_WORD, SIDE), list(range(h, h + SIDE))) for h in (0, SIDE))
    return [builder.shuffle_vector(row.value, row.value, order) for order in orders]


def _spread(builder, value):
    blank = ir.Constant(ir.VectorType(ir.FloatType(), LANES), ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES)
    return Row(builder, builder.shuffle_vector(builder.insert_element(blank, value, _WORD(0)), blank, zeros))


@intrinsic
def transform(typingctx, planes, places, stride, out, pair):
    """`out[128 pair :]` becomes the spectra (columns x lines) of the blocks at `places[2 pair]` and the next."""

    def codegen(context, builder, sig, args):
        planes, out = (_Floats(context, builder, sig.args[i], args[i]) for i in (0, 3))
        places = make_array(sig.args[1])(context, builder, args[1]).data
        first = builder.mul(args[4], _INDEX(2))
        a, b = (builder.load(builder.gep(places, [builder.add(first, _INDEX(k))])) for k in (0, 1))
        rows = []
        for r in range(SIDE):
            down = builder.mul(args[2], _INDEX(r))
            rows.append(planes.two(builder.add(a, down), builder.add(b, down)))
        at = builder.mul(args[4], _INDEX(2 * SIDE * SIDE))
        for v, row in enumerate(_cosines(_transposed(_cosines(rows)))):
            for block, half in enumerate(_split(builder, row)):
                out.put_half(builder.add(at, _INDEX(block * SIDE * SIDE + v * SIDE)), half)
        return context.get_dummy_value()

    i = types.int64
    return signature(types.void, planes, places, i, out, i), codegen


def _quarter(array, part):
    return [array.row(k * SIDE * SIDE + part * LANES) for k in range(GROUP)]


def _kept_first(keep, part, k):
    """The mean of the group always stays."""
    if part or k:
        return keep
    first = keep._of(FIRST)
    above = keep.builder.fcmp_ordered(">", keep.value, first)
    return Row(keep.builder, keep.builder.select(above, keep.value, first))


def _inverse(row):
    one = ir.Constant(row.value.type, [1.0] * LANES)
    return Row(row.builder, row.builder.fdiv(one, row.value))


def _lane_sum(builder, row):
    kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), row.value.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
    return builder.call(function, [ir.Constant(ir.FloatType(), 0.0), row.value], fastmath=("reassoc",))


@intrinsic
def threshold(typingctx, group, slope):
    """Takes what is weak out of the spectra of a group; returns the sum of the squared shares that stay.

    slope : 1 / width of the ramp, which begins at START widths.
    """

    def codegen(context, builder, sig, args):
        group = _Floats(context, builder, sig.args[0], args[0])
        slope, squares = _spread(builder, args[1]), None
        for part in range(SIDE * SIDE // LANES):
            made = []
            for k, c in enumerate(_haar(_quarter(group, part))):
                keep = (c * c * (slope * (1 / NORMS[k])) - START).within(0.0, 1.0)
                keep = _kept_first(keep, part, k)
                squares = keep * keep if squares is None else squares + keep * keep
                made.append(c * keep * (1 / NORMS[k]))
            for k, row in enumerate(_unhaar(made)):
                group.put(k * SIDE * SIDE + part * LANES, row)
        return _lane_sum(builder, squares)

    return signature(types.float32, group, types.float32), codegen


@intrinsic
def wiener(typingctx, group, guide, power):
    """Weighs the spectra of a group as the guide's and the noise's `power` say; returns the sum of squared weights."""

    def codegen(context, builder, sig, args):
        group, guide = (_Floats(context, builder, sig.args[i], args[i]) for i in (0, 1))
        power, squares = _spread(builder, args[2]), None
        for part in range(SIDE * SIDE // LANES):
            made = []
            energy = [g * g for g in _haar(_quarter(guide, part))]
            both = [e + power * NORMS[k] for k, e in enumerate(energy)]
            for k, c in enumerate(_haar(_quarter(group, part))):
                if k % 2 == 0:  # a division takes as long as 16 products: one for two
                    share = _inverse(both[k] * both[k + 1])
                keep = _kept_first(energy[k] * both[k ^ 1] * share, part, k)
                squares = keep * keep if squares is None else squares + keep * keep
                made.append(c * keep * (1 / NORMS[k]))
            for k, row in enumerate(_unhaar(made)):
                group.put(k * SIDE * SIDE + part * LANES, row)
        return _lane_sum(builder, squares)

    return signature(types.float32, group, guide, types.float32), codegen


@intrinsic
def put_back(typingctx, group, pair, weight, window, sums, weights, places, stride):
    """Adds two blocks of the group to `sums`, and their weights (`weight * window`) to `weights`, at `places`.

    window : float32 (8, 16): that of a block, twice.
    """

    def codegen(context, builder, sig, args):
        group, window, sums, weights = (_Floats(context, builder, sig.args[i], args[i]) for i in (0, 3, 4, 5))
        at = builder.mul(args[1], _INDEX(2 * SIDE * SIDE))
        spectra = [group.two(builder.add(at, _INDEX(v * SIDE)), builder.add(at, _INDEX(SIDE * SIDE + v * SIDE)))
                   for v in range(SIDE)]  # fmt: skip
        rows = _lines(_transposed(_lines(spectra)))
        spots = make_array(sig.args[6])(context, builder, args[6]).data
        first, weight = builder.mul(args[1], _INDEX(2)), _spread(builder, args[2])
        starts = [builder.load(builder.gep(spots, [builder.add(first, _INDEX(k))])) for k in (0, 1)]
        shapes = [weight * window.row(r * LANES) for r in range(SIDE)]
        halves = [(_split(builder, row * shape), _split(builder, shape))
                  for row, shape in zip(rows, shapes, strict=True)]  # fmt: skip
        for block, start in enumerate(starts):  # blocks overlap: one after the other
            for r, (values, shape) in enumerate(halves):
                to = builder.add(start, builder.mul(args[7], _INDEX(r)))
                sums.put_half(to, builder.fadd(sums.half(to), values[block]))
                weights.put_half(to, builder.fadd(weights.half(to), shape[block]))
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return signature(types.void, group, i, f, window, sums, weights, places, i), codegen
