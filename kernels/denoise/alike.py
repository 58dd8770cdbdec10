"""The blocks that look most like a block: the matching of `bm3d`, for its Numba body.

Sixteen blocks of 8x8 bytes that stand beside each other are compared with the picture under them, moved by one
displacement after the other.  A vector of 64 bytes is one line of eight blocks, and one instruction (`vpsadbw`) sums
the absolute differences of each eight bytes: two instructions for each block and candidate.  What was found is kept
sorted in eight vectors of sixteen numbers, one lane for each block: the sum in the upper bits and the candidate's
number in the lower, so that equal sums go by number and nothing depends on the order.

Limit: 16 loads that cross a cache line, 16 sums, 14 additions, 8 for the number and 16 for the sorting, some 27 cycles
for 16 blocks: 1.7 cycles for each block and candidate, 600 for a search of 9 samples each way.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

SIDE = 8  # of a block
GROUP = 8  # blocks that are found, itself among them
ACROSS = 16  # blocks at a time
PLACES = 18  # bits of a candidate's number; 14 are left for the sum of 64 differences
NONE = 0xFFFFFFFF  # where there are not so many candidates

_BYTES = ir.VectorType(ir.IntType(8), 64)
_SUMS = ir.VectorType(ir.IntType(64), 8)
_KEYS = ir.VectorType(ir.IntType(32), ACROSS)
_INDEX, _WORD = ir.IntType(64), ir.IntType(32)


def _call(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _picked(builder, a, b, order):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_WORD, len(order)), order))


def _splat(builder, value, count):
    blank = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    return _picked(builder, builder.insert_element(blank, value, _WORD(0)), blank, [0] * count)


def _sums_apart(context, builder, a, b):
    """Sums of absolute differences of each 8 of 64 bytes."""
    features = context.codegen().magic_tuple()[2].split(",")
    if "+avx512bw" in features:
        return _call(builder, "llvm.x86.avx512.psad.bw.512", _SUMS, a, b)
    if "+avx2" in features:
        part, halves = ir.VectorType(_INDEX, 4), []
        for order in (list(range(32)), list(range(32, 64))):
            of_a, of_b = (_picked(builder, v, v, order) for v in (a, b))
            halves.append(_call(builder, "llvm.x86.avx2.psad.bw", part, of_a, of_b))
        return _picked(builder, *halves, list(range(8)))
    big, small = (_call(builder, f"llvm.{n}.v64i8", _BYTES, a, b) for n in ("umax", "umin"))
    apart = builder.bitcast(builder.sub(big, small), _SUMS)

    def all_of(number):
        return ir.Constant(_SUMS, [number] * 8)

    odd = builder.and_(builder.lshr(apart, all_of(8)), all_of(0x00FF00FF00FF00FF))
    pairs = builder.add(builder.and_(apart, all_of(0x00FF00FF00FF00FF)), odd)
    return builder.lshr(builder.mul(pairs, all_of(0x0001000100010001)), all_of(48))


@intrinsic
def match(typingctx, seen, bases, spans, ahead, stride, low, stop, reach, last, keys):
    """Finds the GROUP best candidates of ACROSS blocks, 8 samples from each other, and sorts them into `keys`.

    seen      : uint8, flat planes with room for `reach` samples before a line and reach + 128 behind it.
    bases     : int64; where the line of the blocks begins in each frame that is searched, its own frame first; -1
                where there is no such frame.
    spans     : int64; how far away candidates may be in each of these frames, at most `reach`.
    ahead     : how far the first block stands in that line; last: how far the last place for a block.
    low, stop : the displacements down that stay inside, low <= dy < stop; across it is looked at here.
    keys      : uint32 `(GROUP, ACROSS)`, flat: sum of differences << PLACES | number.  The block itself is number 0;
                others are 1 + (frame * side + dy + reach) * side + dx + reach with side = 2 reach + 1.
    """

    def codegen(context, builder, sig, args):
        seen, bases, spans, keys = (make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 1, 2, 9))
        ahead, stride, low, stop, reach, last = args[3:9]
        count = builder.extract_value(make_array(sig.args[1])(context, builder, args[1]).shape, 0)

        def line(start, row, half):
            at = builder.add(start, builder.add(builder.mul(stride, _INDEX(row)), _INDEX(64 * half)))
            return builder.load(builder.bitcast(builder.gep(seen, [at]), _BYTES.as_pointer()), align=1)

        own = builder.add(builder.load(bases), ahead)
        here = [[line(own, row, half) for row in range(SIDE)] for half in (0, 1)]
        best = []
        for k in range(GROUP):
            first = ir.Constant(_KEYS, [0 if k == 0 else NONE] * ACROSS)
            best.append(cgutils.alloca_once(builder, _KEYS))
            builder.store(first, best[-1])
        places = builder.add(_splat(builder, builder.trunc(ahead, _WORD), ACROSS),
                             ir.Constant(_KEYS, [SIDE * i for i in range(ACROSS)]))  # fmt: skip
        lasts = _splat(builder, builder.trunc(last, _WORD), ACROSS)
        none = ir.Constant(_KEYS, [NONE] * ACROSS)
        side = builder.add(builder.add(reach, reach), _INDEX(1))

        def candidate(frame, base, dy, dx):
            at = builder.add(builder.add(base, ahead), builder.add(builder.mul(dy, stride), dx))
            totals = []
            for half in (0, 1):
                sums = [_sums_apart(context, builder, here[half][r], line(at, r, half)) for r in range(SIDE)]
                while len(sums) > 1:
                    sums = [builder.add(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
                totals.append(builder.bitcast(sums[0], _KEYS))
            total = _picked(builder, *totals, list(range(0, 2 * ACROSS, 2)))
            number = builder.add(builder.mul(builder.add(builder.mul(frame, side), builder.add(dy, reach)), side),
                                 builder.add(builder.add(dx, reach), _INDEX(1)))  # fmt: skip
            still = builder.icmp_signed("==", builder.or_(frame, builder.or_(dy, dx)), _INDEX(0))
            number = builder.select(still, _WORD(NONE), builder.trunc(number, _WORD))  # the block itself is in already
            key = builder.or_(builder.shl(total, ir.Constant(_KEYS, [PLACES] * ACROSS)),
                              _splat(builder, number, ACROSS))  # fmt: skip
            moved = builder.add(places, _splat(builder, builder.trunc(dx, _WORD), ACROSS))
            key = builder.select(builder.icmp_unsigned("<=", moved, lasts), key, none)
            for spot in best:
                held = builder.load(spot)
                builder.store(_call(builder, f"llvm.umin.v{ACROSS}i32", _KEYS, held, key), spot)
                key = _call(builder, f"llvm.umax.v{ACROSS}i32", _KEYS, held, key)

        with cgutils.for_range(builder, count) as frames:
            base = builder.load(builder.gep(bases, [frames.index]))
            span = builder.load(builder.gep(spans, [frames.index]))
            before, after = builder.neg(span), builder.add(span, _INDEX(1))
            first = builder.select(builder.icmp_signed(">", before, low), before, low)
            end = builder.select(builder.icmp_signed("<", after, stop), after, stop)
            with builder.if_then(builder.icmp_signed(">=", base, _INDEX(0))):
                with cgutils.for_range(builder, end, start=first) as down:
                    with cgutils.for_range(builder, after, start=before) as across:
                        candidate(frames.index, base, down.index, across.index)
        for k, spot in enumerate(best):
            to = builder.bitcast(builder.gep(keys, [_INDEX(k * ACROSS)]), _KEYS.as_pointer())
            builder.store(builder.load(spot), to, align=4)
        return context.get_dummy_value()

    i = types.int64
    return signature(types.void, seen, bases, spans, i, i, i, i, i, i, keys), codegen
