"""Blocks compared with four places at once, for the Numba body of `find_motion`.

A vector travels as one number, STILL + 65536 * down + right, and what is known of a block as a larger one: above those
32 bits 8 for the order in which vectors were tried, above them the cost.  So the smallest number is the best vector,
and of equal costs the one tried first; no branch asks, which noise would make the processor guess wrongly.

Limit: a place of 16x16 samples is 16 loads of 16 bytes and 8 vpsadbw of 32 (one port, one a cycle): 8 cycles.  With
512 bits there would be 4, but four more on the same port to put the lines together.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.lanes import Lanes, high, low, size

CAP = 32  # half samples of distance beyond which a vector costs no more
STILL = 0x80008000  # the vector (0, 0)
NOTHING = 1 << 62  # what is known of a block at first

_LONG, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_FOUR, _LONGS = ir.VectorType(_INT, 4), ir.VectorType(_LONG, 4)
_WIDE = 32  # bytes compared by one instruction
_ROW = ir.VectorType(_BYTE, _WIDE)
_ORDER, _COST = 32, 40  # where they begin in what is known


def _call(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _differences(builder, a, b, features):
    """Sums of the absolute differences of _WIDE bytes, in parts: four 64-bit integers."""
    if "+avx2" in features.split(","):
        return _call(builder, "llvm.x86.avx2.psad.bw", _LONGS, a, b)
    big, small = (_call(builder, f"llvm.{n}.v{_WIDE}i8", _ROW, a, b) for n in ("umax", "umin"))
    apart = builder.zext(builder.sub(big, small), ir.VectorType(ir.IntType(16), _WIDE))
    total = _call(builder, f"llvm.vector.reduce.add.v{_WIDE}i16", ir.IntType(16), apart)
    return builder.insert_element(ir.Constant(_LONGS, [0] * 4), builder.zext(total, _LONG), _INT(0))


def _lines(builder, start, stride, side, k):
    """_WIDE bytes: lines k, k + 1, ... of the block of side x side bytes at pointer `start`, one behind the other."""
    row, parts = ir.VectorType(_BYTE, side), []
    for r in range(k, k + _WIDE // side):
        line = builder.gep(start, [builder.mul(stride, _LONG(r))])
        parts.append(builder.load(builder.bitcast(line, row.as_pointer()), align=1))
    while len(parts) > 1:
        count = parts[0].type.count
        order = ir.Constant(ir.VectorType(_INT, 2 * count), list(range(2 * count)))
        parts = [builder.shuffle_vector(p, q, order) for p, q in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _either(builder, side, make):
    """`make(16)` or `make(8)`, as the number `side` is."""
    results = []
    with builder.if_else(builder.icmp_signed("==", side, _LONG(16))) as branches:
        for branch, n in zip(branches, (16, 8), strict=True):
            with branch:
                results.append((make(n), builder.block))
    joined = builder.phi(results[0][0].type)
    for value, block in results:
        joined.add_incoming(value, block)
    return joined


def _shuffled(builder, vector, *order):
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT, len(order)), list(order)))


def _tried(context, builder, planes, ground, side, parent, known, vectors):
    """What is known after `vectors` (four of 32 bits) were tried, too; see `four`."""
    features = context.codegen().magic_tuple()[2]

    def everywhere(number):
        number = builder.trunc(number, _INT) if number.type != _INT else number
        first = builder.insert_element(ir.Constant(_FOUR, ir.Undefined), number, _INT(0))
        return Lanes(builder, _shuffled(builder, first, 0, 0, 0, 0), True, features)

    def parts(packed):
        down, across = packed >> 16, packed & 0xFFFF
        down.signed = across.signed = True
        return down - 0x8000, across - 0x8000

    here, there, area, stride, fine, weight, *marks = ground
    top, left, foot, right = map(everywhere, marks)
    y, x = parts(Lanes(builder, vectors, False, features))
    parent = everywhere(parent)
    parent.signed = False
    py, px = parts(parent)
    y, x = low(high(y + top, 0), foot), low(high(x + left, 0), right)  # in the plane

    fine, area = everywhere(fine), everywhere(area)
    whole = [Lanes(builder, builder.ashr(v.value, fine.value), True, features) for v in (y, x)]
    odd = [Lanes(builder, builder.neg((v & fine).value), True, features) for v in (y, x)]  # a mask
    offsets = whole[0] * everywhere(stride) + whole[1] + (odd[0] & (area << 1)) + (odd[1] & area)
    offsets = builder.sext(offsets.value, _LONGS)
    data = builder.gep(planes, [there])
    places = [builder.gep(data, [builder.extract_element(offsets, _INT(k))]) for k in range(4)]
    own = builder.gep(planes, [here])

    def sums(n):
        total = None
        block = [_lines(builder, own, stride, n, k) for k in range(0, n, _WIDE // n)]
        for place, shift in zip(places, (0, 16, 32, 48), strict=True):
            apart = None
            for k in range(0, n, _WIDE // n):
                part = _differences(builder, block[k * n // _WIDE], _lines(builder, place, stride, n, k), features)
                apart = part if apart is None else builder.add(apart, part)
            apart = builder.shl(apart, ir.Constant(_LONGS, [shift] * 4))  # four sums below 2^16 in one vector
            total = apart if total is None else builder.add(total, apart)
        total = builder.add(_shuffled(builder, total, 0, 1), _shuffled(builder, total, 2, 3))
        return builder.add(total, _shuffled(builder, total, 1, 1))

    differ = builder.bitcast(_either(builder, side, sums), ir.VectorType(ir.IntType(16), 8))
    y, x = y - top, x - left
    apart = size(y - py) + size(x - px)
    apart = low(Lanes(builder, builder.shl(apart.value, (fine ^ 1).value), True, features), CAP)
    cost = builder.add(builder.zext(_shuffled(builder, differ, 0, 1, 2, 3), _FOUR), (apart * everywhere(weight)).value)
    vector = ((y << 16) + x + STILL).value
    keys = builder.shl(builder.zext(cost, _LONGS), ir.Constant(_LONGS, [_COST] * 4))
    keys = builder.or_(keys, builder.zext(vector, _LONGS))
    keys = builder.or_(keys, ir.Constant(_LONGS, [(k + 1) << _ORDER for k in range(4)]))
    least = _call(builder, "llvm.vector.reduce.smin.v4i64", _LONG, keys)
    best = builder.select(builder.icmp_signed("<", least, known), least, known)
    return builder.and_(best, _LONG(~(0xFF << _ORDER)))


@intrinsic
def four(typingctx, planes, ground, side, parent, known, a, b, c, d):
    """What is known of a block of side x side bytes (8 or 16) after the vectors a, b, c, d were tried, in this order.

    planes : flat uint8.
    ground : ten int64: where the block lies; where the other frame's plane begins; how far apart its phases are; the
             stride; 1 where vectors count half samples, else 0; what half a sample of distance costs; the block's line
             and column in the plane and the largest ones that there are (in half samples where vectors are).
    parent : the vector to which distance is counted.
    """

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        vectors = ir.Constant(_FOUR, ir.Undefined)
        for k in range(4):
            vectors = builder.insert_element(vectors, builder.trunc(args[5 + k], _INT), _INT(k))
        ground = cgutils.unpack_tuple(builder, args[1])
        return _tried(context, builder, data, ground, args[2], args[3], args[4], vectors)

    i = types.int64
    return i(planes, ground, i, i, i, i, i, i, i), codegen


@intrinsic
def cross(typingctx, planes, ground, side, parent, known):
    """`four` with the places above, left, right and below the best one known."""

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        first = builder.insert_element(ir.Constant(_FOUR, ir.Undefined), builder.trunc(args[4], _INT), _INT(0))
        vectors = builder.add(_shuffled(builder, first, 0, 0, 0, 0), ir.Constant(_FOUR, [-65536, -1, 1, 65536]))
        ground = cgutils.unpack_tuple(builder, args[1])
        return _tried(context, builder, data, ground, args[2], args[3], args[4], vectors)

    i = types.int64
    return i(planes, ground, i, i, i), codegen
