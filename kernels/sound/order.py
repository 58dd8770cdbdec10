"""The value that would stand at some place if values were sorted, without sorting them."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from kernels.rows import copy_row
from kernels.simd import LANES, add, keep, lane_sum, load, pointer, splat


@intrinsic
def _less(typing, a, b):
    """1 in the lanes where a < b, otherwise 0."""

    def emit(context, builder, signature, args):
        one, nothing = (ir.Constant(args[0].type, [value] * LANES) for value in (1.0, 0.0))
        return builder.select(builder.fcmp_ordered("<", *args), one, nothing)

    return a(a, b), emit


@njit(cache=True, nogil=True)
def in_order(values, place):
    """The float32 at `place` in the order of `values`, none of them negative.

    The bits of such floats are in their order too, so it is found bit by bit from the top, by counting what lies below;
    counting is done in vectors and sorting is not.
    """
    padded = np.full(-(-len(values) // LANES) * LANES, np.float32(np.inf))
    copy_row(padded[: len(values)], values)
    source = pointer(padded)
    bits = np.zeros(1, np.int32)
    value = bits.view(np.float32)
    for b in range(30, -1, -1):
        bits[0] |= 1 << b
        limit, below = splat(value[0]), splat(np.float32(0))
        for i in range(0, len(padded), LANES):
            below = add(below, _less(load(source, i), limit))
        if lane_sum(below) > place:
            bits[0] ^= 1 << b
    keep(padded)
    return value[0]
