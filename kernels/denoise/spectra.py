"""The inner steps of `dft_threshold` as vectors of 16, for its Numba body.

Coefficients `s` are 16x16 (row waves x column waves, cosines 0-8, sines 1-7).  Slots are complex values, SLOTS real
parts, then the imaginary ones: sixteen for each row wave 1-7 (F(u, 0), F(u, 1..7), F(u, 8), F(u, -1..-7)), then rows 0
and 8 (columns 0-7 each), then their two values at column 8.  Slots hold twice the orthonormal value; those of F(u, v)
its conjugate, which a threshold cannot tell.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

LANES = 16
SLOTS = 144
BOTH = 2 * SLOTS
#: Waves down and along the line of each slot; those behind the last are empty.
WAVES_DOWN = np.array([u for u in range(1, 8) for _ in range(16)] + [0] * 8 + [8] * 8 + [0] + [8] * 15)
WAVES_ALONG = np.array([*range(9), *range(1, 8)] * 7 + [*range(8)] * 2 + [8] * 16)
ROW = ir.VectorType(ir.FloatType(), LANES)
FIRST = (1.0,) + (0.0,) * 7
#: The threshold is a ramp between these squared thresholds; FOOT is where it starts, in its own height.
LOW, HIGH = 0.75, 1.25
FOOT = LOW / (HIGH - LOW)


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

    def pick(self, other: Row, lanes: list[int]) -> Row:
        """Lanes of this (0-15) and of `other` (16-31)."""
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
        return Row(self.builder, self.builder.shuffle_vector(self.value, other.value, order))

    def within(self, low: float, high: float) -> Row:
        value = self.value
        for sign, limit in ((">", low), ("<", high)):
            bound = self._of(limit)
            value = self.builder.select(self.builder.fcmp_ordered(sign, value, bound), value, bound)
        return Row(self.builder, value)


class _Array:
    """A float32 array of one dimension, read and written a Row at a time."""

    def __init__(self, context, builder, kind, value, start=0) -> None:
        self.builder, self.start = builder, start
        self.data = make_array(kind)(context, builder, value).data

    def _at(self, place) -> ir.Value:
        place = ir.IntType(64)(place) if isinstance(place, int) else place
        if not isinstance(self.start, int):
            place = self.builder.add(self.start, place)
        return self.builder.bitcast(self.builder.gep(self.data, [place]), ROW.as_pointer())

    def __getitem__(self, place) -> Row:
        return Row(self.builder, self.builder.load(self._at(place), align=4))

    def __setitem__(self, place, row: Row) -> None:
        self.builder.store(row.value, self._at(place), align=4)


# F(u, v) and F(u, -v) from K = [cc | cs] and L = [ss | -sc] of a pair of rows; columns 0 and 8 have no sine.
TURN = [0, *range(9, 16), 8, *range(1, 8)]
SIGN = (1.0,) * 9 + (-1.0,) * 7
REAL = [0, *range(1, 8), 8, *range(17, 24)]  # of K - L and K + L
IMAGINARY = [16, *range(9, 16), 24, *range(25, 32)]
#: And back: where lanes of K - L, K + L are found in (real, imaginary).
MINUS = [0, *range(1, 8), 8, *range(17, 24)]
PLUS = [16, *range(9, 16), 24, *range(25, 32)]
HALVES = list(range(8)) + list(range(16, 24)), list(range(8, 16)) + list(range(24, 32))
EDGE = tuple(2.0 if i % 8 == 0 else math.sqrt(2.0) for i in range(LANES))
INNER = tuple(float(i % 8 != 0) for i in range(LANES))


@intrinsic
def pack(typingctx, s, slots, at):
    """`slots[at : at + BOTH]` from the coefficients `s`."""

    def codegen(context, builder, sig, args):
        s = _Array(context, builder, sig.args[0], args[0])
        slots = _Array(context, builder, sig.args[1], args[1], args[2])
        for u in range(1, 8):
            k, rest = s[u * 16], s[(u + 8) * 16]
            turned = rest.pick(rest, TURN) * SIGN
            minus, plus = k - turned, k + turned
            slots[(u - 1) * 16] = minus.pick(plus, REAL)
            slots[SLOTS + (u - 1) * 16] = minus.pick(plus, IMAGINARY)
        first, middle = s[0], s[128]
        slots[112] = first.pick(middle, HALVES[0]) * EDGE
        slots[SLOTS + 112] = first.pick(middle, HALVES[1]) * tuple(a * b for a, b in zip(EDGE, INNER, strict=True))
        slots[128] = first.pick(middle, [8, 24] + [8] * 14) * ((2.0, 2.0) + (0.0,) * 14)
        slots[SLOTS + 128] = Row(builder, ir.Constant(ROW, [0.0] * LANES))
        return context.get_dummy_value()

    return signature(types.void, s, slots, types.intp), codegen


@intrinsic
def unpack(typingctx, slots, s):
    """The inverse of `pack` (`slots` from element 0 on)."""

    def codegen(context, builder, sig, args):
        slots = _Array(context, builder, sig.args[0], args[0])
        s = _Array(context, builder, sig.args[1], args[1])
        for u in range(1, 8):
            re, im = slots[(u - 1) * 16], slots[SLOTS + (u - 1) * 16]
            minus, plus = re.pick(im, MINUS), re.pick(im, PLUS)
            turned = (plus - minus) * tuple(0.5 * x for x in SIGN)
            s[u * 16] = (minus + plus) * 0.5
            s[(u + 8) * 16] = turned.pick(turned, [TURN.index(i) for i in range(LANES)])
        scale = tuple(1 / x for x in EDGE)
        re, im, rest = slots[112] * scale, slots[SLOTS + 112] * scale, slots[128] * 0.5
        im = im.pick(rest, [16, *range(1, 8), 17, *range(9, 16)])
        s[0] = re.pick(im, [*range(8), *range(16, 24)])
        s[128] = re.pick(im, [*range(8, 16), *range(24, 32)])
        return context.get_dummy_value()

    return signature(types.void, slots, s), codegen


@intrinsic(prefer_literal=True)
def shrink(typingctx, ring, order, grey, level, slopes, out, at, radius):
    """Thresholds the slots at .. at + 15 along time and writes the middle frame's, times the number of frames.

    order : where in `ring` the slots of frame -radius .. radius start (int64); `radius` is a constant.
    grey, level : the slots of even grey and how much of it there is: set aside before the threshold.
    slopes : of the ramp over the squared slots, SLOTS of them for each wave 0 .. radius along time.
    """
    if not isinstance(radius, types.IntegerLiteral):
        raise TypingError("shrink: radius must be a constant")
    r = radius.literal_value

    def codegen(context, builder, sig, args):
        ring, grey, slopes, out = (_Array(context, builder, sig.args[i], args[i]) for i in (0, 2, 4, 5))
        order, at = make_array(sig.args[1])(context, builder, args[1]).data, args[6]
        shift = builder.add(at, ir.IntType(64)(SLOTS))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        blank = ir.Constant(ROW, ir.Undefined)

        def spread(value):
            return Row(builder, builder.shuffle_vector(builder.insert_element(blank, value, zeros.type.element(0)),
                                                       blank, zeros))  # fmt: skip

        level = spread(args[3])

        def kept(re, im, wave):
            slope = slopes[builder.add(at, ir.IntType(64)(wave * SLOTS))]
            return ((re * re + im * im) * slope - FOOT).within(0.0, 1.0)

        frames = {}
        for f in range(-r, r + 1):
            place = builder.load(builder.gep(order, [ir.IntType(64)(f + r)]))
            frames[f] = ring[builder.add(place, at)], ring[builder.add(place, shift)]
        even = {f: (frames[f][0] + frames[-f][0], frames[f][1] + frames[-f][1]) for f in range(1, r + 1)}
        odd = {f: (frames[f][0] - frames[-f][0], frames[f][1] - frames[-f][1]) for f in range(1, r + 1)}
        re, im = frames[0]
        for f in range(1, r + 1):
            re, im = re + even[f][0], im + even[f][1]
        g, h = level * grey[at], level * grey[shift]
        re, im = re - g, im - h
        keep = kept(re, im, 0)
        re, im = re * keep + g, im * keep + h
        for w in range(1, r + 1):
            (pr, pi), dr, di = frames[0], None, None
            for f in range(1, r + 1):
                c, s = (t(2 * math.pi * w * f / (2 * r + 1)) for t in (math.cos, math.sin))
                pr, pi = pr + even[f][0] * c, pi + even[f][1] * c
                dr, di = (odd[f][0] * s, odd[f][1] * s) if dr is None else (dr + odd[f][0] * s, di + odd[f][1] * s)
            for a, b in ((pr + di, pi - dr), (pr - di, pi + dr)):
                keep = kept(a, b, w)
                re, im = re + keep * a, im + keep * b
        out[at], out[shift] = re, im
        return context.get_dummy_value()

    f4 = types.float32
    return signature(types.void, ring, order, grey, f4, slopes, out, types.intp, radius), codegen
