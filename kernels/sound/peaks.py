"""Peaks between samples, as ITU-R BS.1770 means them: the highest magnitude of an oversampled signal."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.rows import copy_row
from kernels.simd import LANES, keep, load, pointer, splat, store, weigh


@intrinsic
def larger(typing, a, b):
    """The larger of the magnitudes of two float32 vectors, lane by lane."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(args[0].type, [args[0].type])
        magnitude = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32")
        a, b = (builder.call(magnitude, [v]) for v in args)
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return a(a, b), emit


@intrinsic
def lane_top(typing, vector):
    """The highest of a float32 vector's lanes."""

    def emit(context, builder, signature, args):
        kind = ir.FunctionType(ir.FloatType(), [args[0].type])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmax.v{LANES}f32")
        return builder.call(reduce, args, fastmath=("nnan",))

    return types.float32(vector), emit


@njit(nogil=True)
def highest(values, first, count):
    """The largest magnitude of `count` values behind a pointer; `max` in a loop does not become vectors."""
    if count < LANES:
        top = np.float32(0)
        for i in range(first, first + count):
            top = max(top, abs(values[i]))
        return top
    best = load(values, first)
    best = larger(best, load(values, first + count - LANES))
    for i in range(first + LANES, first + count - LANES, LANES):
        best = larger(best, load(values, i))
    return lane_top(best)


@njit(cache=True, nogil=True, fastmath=True)
def cell_peaks(x, phases, cell, out):
    """Raises each of `out` to the largest magnitude in its cell of `cell` samples of one channel, and between them.

    phases : `(p, taps)`, up to three interpolating filters for the places between two samples.  Sample i of the cells
    is `x[i + taps / 2 - 1]`; x has `taps` more samples than the cells.
    """
    count, taps = phases.shape
    n = len(out) * cell
    if n == 0:
        return
    if n < LANES:
        longer = np.zeros(LANES + taps, np.float32)
        copy_row(longer[: n + taps], x[: n + taps])
        x, room = longer, np.empty(LANES, np.float32)
    else:
        room = np.empty(n, np.float32)
    second, third = taps * min(count - 1, 1), taps * (count - 1)  # of one alone, all three
    source, h, to = pointer(x), pointer(phases), pointer(room)
    for i in range(0, n, LANES):
        at = max(min(i, n - LANES), 0)
        top = load(source, at + taps // 2 - 1)
        a, b, c = splat(np.float32(0)), splat(np.float32(0)), splat(np.float32(0))
        for t in range(taps if count > 0 else 0):
            v = load(source, at + t)
            a = weigh(a, v, splat(h[t]))
            b = weigh(b, v, splat(h[second + t]))
            c = weigh(c, v, splat(h[third + t]))
        store(to, at, larger(larger(top, a), larger(b, c)))
    for k in range(len(out)):
        out[k] = max(out[k], highest(to, k * cell, cell))
    keep(x, phases, room)
