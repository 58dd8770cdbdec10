"""The inner steps of `dft_threshold` as vectors of 16 for its Numba body: every lane is another block.

The window of a block is part of its transform, which is the discrete Fourier transform of 16 real samples from the
first one on, not scaled: the even waves are the transform of sums of samples half a block apart, the odd ones that of
their differences (Sorensen, Jones, Heideman, Burrus: "Real-valued fast Fourier transform algorithms", IEEE Trans.
Acoustics, Speech, and Signal Processing 35(6), 1987).  That is 66 operations where the product with a matrix is 256.
The way back is the transposed matrix, the same network the other way round.

Waves are 16 rows: real parts of the waves 0-8, then imaginary ones of 1-7.  Rows u and u + 8 of a block transformed
down its columns, the real and imaginary parts of wave u (for u = 0: the waves 0 and 8, both real), become PAIR complex
slots: real and imaginary parts in turn of F(u, 0), F(u, 8), F(u, 1), F(u, -1), ... F(u, -7); for u = 0 of F(0, 0),
F(0, 8), F(0, 1..7), F(8, 0), F(8, 8), F(8, 1..7).
"""

from __future__ import annotations

import math

import numpy as np
from numba.core import types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic

from kernels.denoise.vectors import INDEX, LANES, Row, Rows

SIDE, NEXT = 16, 4
PAIRS, PAIR = 8, 18
#: Waves down and along the line of each slot; those behind the last of a pair are empty.
WAVES_DOWN = np.array([0] * 9 + [8] * 9 + [u for u in range(1, 8) for _ in range(PAIR)])
WAVES_ALONG = np.array([0, 8, *range(1, 8)] * 2 + [0, 8, *(s * v for v in range(1, 8) for s in (1, -1)), 0, 0] * 7)
#: The threshold is a ramp between these squared thresholds; FOOT is where it starts, in its own height.
LOW, HIGH = 0.75, 1.25
FOOT = LOW / (HIGH - LOW)

WINDOW = [math.sin(math.pi * (n + 0.5) / SIDE) for n in range(SIDE)]
ROOT, TAN, COS = math.sqrt(0.5), math.tan(math.pi / 8), math.cos(math.pi / 8)


def _waves(x: list[Row]) -> list[Row]:
    """The transform of 16 samples under the window: 66 operations."""
    left = [x[n] * WINDOW[n] for n in range(8)]
    a = [left[n].plus(x[n + 8], WINDOW[n + 8]) for n in range(8)]
    b = [left[n].minus(x[n + 8], WINDOW[n + 8]) for n in range(8)]
    re, im = [None] * 9, [None] * 9
    # Even waves are the transform of the 8 sums a, ...
    c, d = [a[n] + a[n + 4] for n in range(4)], [a[n] - a[n + 4] for n in range(4)]
    even, odd = c[0] + c[2], c[1] + c[3]
    re[0], re[8], re[4], im[4] = even + odd, even - odd, c[0] - c[2], c[3] - c[1]
    minus, plus = d[1] - d[3], d[1] + d[3]
    re[2], re[6] = d[0].plus(minus, ROOT), d[0].minus(minus, ROOT)
    im[6], im[2] = d[2].minus(plus, ROOT), (d[2] * -1.0).minus(plus, ROOT)
    # ... odd ones that of the differences b turned by a wave's 16th: of four complex values b[n] - i b[n + 4], those
    # with n = 1 and 3 left COS too long, n = 2 left ROOT too long.
    second = b[2] - b[6], (b[2] + b[6]) * -1.0
    first = b[1].minus(b[5], TAN), (b[5] * -1.0).minus(b[1], TAN)
    third = b[3] * TAN - b[7], b[7] * -TAN - b[3]
    p = b[0].plus(second[0], ROOT), (b[4] * -1.0).plus(second[1], ROOT)
    m = b[0].minus(second[0], ROOT), (b[4] * -1.0).minus(second[1], ROOT)
    s, t = [first[i] + third[i] for i in (0, 1)], [first[i] - third[i] for i in (0, 1)]
    # Waves 1, 5, 9, 13 of the four: p + s, m - i t, p - s, m + i t; 9 and 13 are the conjugates of 7 and 3.
    re[1], im[1] = p[0].plus(s[0], COS), p[1].plus(s[1], COS)
    re[7], im[7] = p[0].minus(s[0], COS), (p[1] * -1.0).plus(s[1], COS)
    re[5], im[5] = m[0].plus(t[1], COS), m[1].minus(t[0], COS)
    re[3], im[3] = m[0].minus(t[1], COS), (m[1] * -1.0).minus(t[0], COS)
    return re + im[1:8]


def _samples(waves: list[Row]) -> tuple[list[Row], list[float]]:
    """16 rows and the factors by which they are the transposed transform: 58 operations."""
    re, im = waves[:9], [None, *waves[9:], None]
    sums, differences = re[0] + re[8], re[0] - re[8]
    p = sums + re[4], differences - im[4], sums - re[4], differences + im[4]
    s, t = re[2] - re[6], im[2] + im[6]
    q = (re[2] + re[6], 1.0), (s - t, ROOT), (im[6] - im[2], 1.0), (s + t, -ROOT)
    even = [p[n].plus(q[n][0], q[n][1]) if n % 2 else p[n] + q[n][0] for n in range(4)]
    even += [p[n].minus(q[n][0], q[n][1]) if n % 2 else p[n] - q[n][0] for n in range(4)]
    # Waves 1, 5, 9 (7's conjugate) and 13 (3's) to four complex values, these turned back: each gives two samples.
    a, b = (re[1] + re[7], im[1] - im[7]), (re[1] - re[7], im[1] + im[7])
    c, d = (re[5] + re[3], im[5] - im[3]), (re[5] - re[3], im[5] + im[3])
    z = (a[0] + c[0], a[1] + c[1]), (b[0] - d[1], b[1] + d[0]), (a[0] - c[0], a[1] - c[1]), (b[0] + d[1], b[1] - d[0])
    odd = [None] * 8
    odd[0], odd[4] = (z[0][0], 1.0), (z[0][1], -1.0)
    odd[1], odd[5] = (z[1][0].minus(z[1][1], TAN), COS), (z[1][1].plus(z[1][0], TAN), -COS)
    odd[2], odd[6] = (z[2][0] - z[2][1], ROOT), (z[2][0] + z[2][1], -ROOT)
    odd[3], odd[7] = ((z[3][0] * TAN) - z[3][1], COS), (z[3][0].plus(z[3][1], TAN), -COS)
    return [even[n].plus(*odd[n]) for n in range(8)] + [even[n].minus(*odd[n]) for n in range(8)]


@intrinsic
def forth_down(typingctx, samples, at, gap, waves, to, step):
    """`waves[to + k step :]` become wave k of the 16 samples under one another at `samples[at + n gap :]`.

    The NEXT lines are called into the cache: the next blocks down need them.
    """

    def codegen(context, builder, sig, args):
        source, result = (Rows(context, builder, sig.args[i], args[i], args[i + 1]) for i in (0, 3))
        for n in range(SIDE, SIDE + NEXT):
            source.fetch(builder.mul(args[2], INDEX(n)))
        found = _waves([source[builder.mul(args[2], INDEX(n))] for n in range(SIDE)])
        for k, row in enumerate(found):
            result[builder.mul(args[5], INDEX(k))] = row
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, samples, *where, waves, *where), codegen


@intrinsic(prefer_literal=True)
def back_down(typingctx, waves, at, gap, sums, to, step, fresh):
    """Adds to `sums[to + n step :]` the samples that the waves at `waves[at + k gap :]` stand for.

    The last `fresh` (a constant) of the 16 hold nothing yet.
    """
    if not isinstance(fresh, types.IntegerLiteral):
        raise TypingError("back_down: fresh must be a constant")

    def codegen(context, builder, sig, args):
        source, result = (Rows(context, builder, sig.args[i], args[i], args[i + 1]) for i in (0, 3))
        found = _samples([source[builder.mul(args[2], INDEX(k))] for k in range(SIDE)])
        for n, row in enumerate(found):
            place = builder.mul(args[5], INDEX(n))
            new = n >= SIDE - fresh.literal_value
            result[place] = row * WINDOW[n] if new else result[place].plus(row, WINDOW[n])
        return context.get_dummy_value()

    where = types.intp, types.intp
    return signature(types.void, waves, *where, sums, *where, fresh), codegen


def _slots(one: list[Row], two: list[Row], first: bool) -> list[Row]:
    """Real and imaginary parts of the slots of a pair of rows."""
    if first:
        zero = one[0] * 0.0
        return [part for row in (one, two) for part in
                (row[0], zero, row[8], zero, *(p for v in range(1, 8) for p in (row[v], row[v + 8])))]  # fmt: skip
    found = [one[0], two[0], one[8], two[8]]
    for v in range(1, 8):
        (a, b), (c, d) = ((row[v], row[v + 8]) for row in (one, two))
        found += [a - d, b + c, a + d, c - b]
    return found


def _rows(slots: list[Row], first: bool) -> list[list[Row]]:
    """The inverse of `_slots`, times 2."""
    if first:
        return [[row[0], *row[4:18:2], row[2], *row[5:18:2]] for row in (slots[:18], slots[18:])]
    one, two = [slots[0], *[None] * 7, slots[2], *[None] * 7], [slots[1], *[None] * 7, slots[3], *[None] * 7]
    for v in range(1, 8):
        a, b, c, d = slots[4 * v : 4 * v + 4]
        one[v], one[v + 8], two[v], two[v + 8] = a + c, b - d, b + d, c - a
    return [one, two]


@intrinsic(prefer_literal=True)
def forth_along(typingctx, waves, at, gap, slots, to, first):
    """`slots[to :]` become the slots of the pair of rows at `waves[at :]` and `waves[at + gap :]`.

    Columns of a row are LANES elements apart; `first` (a constant) says that the rows are the waves 0 and 8.
    """
    if not isinstance(first, types.BooleanLiteral | types.IntegerLiteral):
        raise TypingError("forth_along: first must be a constant")

    def codegen(context, builder, sig, args):
        result = Rows(context, builder, sig.args[3], args[3], args[4])
        rows = []
        for start in (args[1], builder.add(args[1], args[2])):
            source = Rows(context, builder, sig.args[0], args[0], start)
            rows.append(_waves([source[n * LANES] for n in range(SIDE)]))
        for i, part in enumerate(_slots(*rows, bool(first.literal_value))):
            result[i * LANES] = part
        return context.get_dummy_value()

    return signature(types.void, waves, types.intp, types.intp, slots, types.intp, first), codegen


@intrinsic(prefer_literal=True)
def back_along(typingctx, slots, at, sums, to, gap, first):
    """Adds to the pair of rows at `sums[to :]` and `sums[to + gap :]` what the slots at `slots[at :]` stand for."""
    if not isinstance(first, types.BooleanLiteral | types.IntegerLiteral):
        raise TypingError("back_along: first must be a constant")

    def codegen(context, builder, sig, args):
        source = Rows(context, builder, sig.args[0], args[0], args[1])
        pair = bool(first.literal_value)
        rows = _rows([source[i * LANES] for i in range(2 * PAIR if pair else 32)], pair)
        for start, row in zip((args[3], builder.add(args[3], args[4])), rows, strict=True):
            result = Rows(context, builder, sig.args[2], args[2], start)
            if pair:
                row[0], row[8] = row[0] * 0.5, row[8] * 0.5
            for n, sample in enumerate(_samples(row)):
                result[n * LANES] = result[n * LANES].plus(sample, WINDOW[n])
        return context.get_dummy_value()

    return signature(types.void, slots, types.intp, sums, types.intp, types.intp, first), codegen


@intrinsic(prefer_literal=True)
def shrink(typingctx, ring, order, at, level, place, grey, slopes, slot, out, to, radius):
    """Thresholds one slot of all lanes along time; `out[to :]` becomes the middle frame's, times the number of frames.

    order : where in `ring` the slots of frame -radius .. radius start (int64), `at` is added; `radius` is a constant.
    level, grey : how much even grey there is in each lane (from `place` on), and the slots of grey, real and imaginary
                  parts in turn: set aside before the threshold.
    slopes : of the ramp over the squared slots, PAIRS * PAIR of them for each wave 0 .. radius along time.
    """
    if not isinstance(radius, types.IntegerLiteral):
        raise TypingError("shrink: radius must be a constant")
    r = radius.literal_value

    def codegen(context, builder, sig, args):
        zero = INDEX(0)
        order = Rows(context, builder, sig.args[1], args[1], zero)
        frames = {}
        for f in range(-r, r + 1):
            start = builder.add(args[2], builder.load(order._pointer(f + r)))
            source = Rows(context, builder, sig.args[0], args[0], start)
            frames[f] = source[0], source[LANES]
        amount = Rows(context, builder, sig.args[3], args[3], args[4])[0]
        grey = Rows(context, builder, sig.args[5], args[5], builder.mul(args[7], INDEX(2)))
        slopes = Rows(context, builder, sig.args[6], args[6], args[7])

        def gone(re, im, slope):
            """What is taken away of a wave, 0 .. -1."""
            return (((re * re).plus(im, im) * slope) - (FOOT + 1)).within(-1.0, 0.0)

        even = {f: [a + b for a, b in zip(frames[f], frames[-f], strict=True)] for f in range(1, r + 1)}
        odd = {f: [a - b for a, b in zip(frames[f], frames[-f], strict=True)] for f in range(1, r + 1)}
        re, im = frames[0]
        total = [x if r == 0 else x * float(2 * r + 1) for x in (re, im)]
        for f in range(1, r + 1):
            re, im = re + even[f][0], im + even[f][1]
        re, im = re.minus(amount, grey.spread(0)), im.minus(amount, grey.spread(1))
        share = gone(re, im, slopes.spread(0))
        total = [x.plus(wave, share) for x, wave in zip(total, (re, im), strict=True)]
        for w in range(1, r + 1):
            slope, (pr, pi), (dr, di) = slopes.spread(w * PAIRS * PAIR), frames[0], (None, None)
            for f in range(1, r + 1):
                c, s = (turn(2 * math.pi * w * f / (2 * r + 1)) for turn in (math.cos, math.sin))
                pr, pi = pr.plus(even[f][0], c), pi.plus(even[f][1], c)
                dr, di = (x * s if d is None else d.plus(x, s) for d, x in zip((dr, di), odd[f], strict=True))
            for a, b in ((pr + di, pi - dr), (pr - di, pi + dr)):
                share = gone(a, b, slope)
                total = [x.plus(wave, share) for x, wave in zip(total, (a, b), strict=True)]
        result = Rows(context, builder, sig.args[8], args[8], args[9])
        result[0], result[LANES] = total
        return context.get_dummy_value()

    n = types.intp
    kinds = ring, order, n, level, n, grey, slopes, n, out, n, radius
    return signature(types.void, *kinds), codegen
