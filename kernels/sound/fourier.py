"""Fourier transforms of LANES windows at once, one window in each lane of a vector.

A library transforms one window after the other and has to shuffle within it.  Here element n of all windows stands in
one vector, so the butterflies are plain vector arithmetic, any permutation is a choice of rows and costs nothing, and
what comes after the transform (smoothing over time, filters longer than a window) finds time in the lanes.

A table `z` of windows is flat float32: row 2 n holds the real parts of element n, row 2 n + 1 the imaginary ones, LANES
each.  Two real channels share a table as real and imaginary parts.  Sizes are powers of two, at least 32.

Radix 4, in place: decimation in frequency forward, in time back (Gentleman, Sande 1966; Cooley, Tukey 1965), so spectra
stand in digit-reversed order and nobody has to sort them; `rows_of` says where.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit

from kernels.simd import LANES, TILE, add, keep, load, mul, pointer, splat, store, sub, transpose, weigh

PAIR = 2 * LANES
_NEAR = 128  # elements whose rows stay in the first-level cache; blocks of them are done one after the other


def aligned(count: int) -> np.ndarray:
    """`count` zeros of float32 that begin at a cache line, so that rows do not straddle two."""
    room = np.zeros(count + 16, np.float32)
    first = -room.ctypes.data % 64 // 4
    return room[first : first + count]


def table(size: int) -> np.ndarray:
    """Room for LANES complex windows of `size`."""
    return aligned(size * PAIR)


@functools.cache
def turns(size: int) -> np.ndarray:
    """cos and sin of 2 pi j m / size for m = 1, 2, 3, for each j below size / 4."""
    angle = 2 * np.pi / size * np.arange(size // 4)[:, None] * np.arange(1, 4)
    out = np.stack([np.cos(angle), np.sin(angle)], axis=2).astype(np.float32).ravel()
    out.flags.writeable = False
    return out


@functools.cache
def bins_of(size: int) -> np.ndarray:
    """The bin that each element of a transformed table holds."""
    blocks = np.arange(size)[None]
    while (length := blocks.shape[1]) > 1:
        radix = 4 if length >= 4 else 2
        blocks = blocks.reshape(-1, length // radix, radix).transpose(0, 2, 1).reshape(-1, length // radix)
    out = blocks[:, 0].copy()
    out.flags.writeable = False
    return out


@functools.cache
def rows_of(size: int) -> np.ndarray:
    """Where the row of each bin's real parts begins in a transformed table (flat index)."""
    out = np.argsort(bins_of(size)) * PAIR
    out.flags.writeable = False
    return out


@njit(nogil=True)
def _turned(re, im, c, s):
    """(re + i im) (c - i s)"""
    c, less, more = splat(c), splat(-s), splat(s)
    return weigh(mul(re, c), im, more), weigh(mul(im, c), re, less)


@njit(nogil=True)
def _split(z, base, length, w, stride):
    """One block of a step forward: four quarters become the blocks of the bins 0, 1, 2, 3 modulo 4."""
    quarter = length // 4 * PAIR
    for j in range(length // 4):
        a, t = (base + j) * PAIR, j * stride * 6
        b = a + quarter
        c, d = b + quarter, b + 2 * quarter
        ar, ai, br, bi = load(z, a), load(z, a + LANES), load(z, b), load(z, b + LANES)
        cr, ci, dr, di = load(z, c), load(z, c + LANES), load(z, d), load(z, d + LANES)
        sr, si, er, ei = add(ar, cr), add(ai, ci), sub(ar, cr), sub(ai, ci)
        ur, ui, vr, vi = add(br, dr), add(bi, di), sub(bi, di), sub(dr, br)  # v = -i (b - d)
        store(z, a, add(sr, ur))
        store(z, a + LANES, add(si, ui))
        re, im = _turned(add(er, vr), add(ei, vi), w[t], w[t + 1])
        store(z, b, re)
        store(z, b + LANES, im)
        re, im = _turned(sub(sr, ur), sub(si, ui), w[t + 2], w[t + 3])
        store(z, c, re)
        store(z, c + LANES, im)
        re, im = _turned(sub(er, vr), sub(ei, vi), w[t + 4], w[t + 5])
        store(z, d, re)
        store(z, d + LANES, im)


@njit(nogil=True)
def _join(z, base, length, w, stride):
    """The way back of `_split`, times 4."""
    quarter = length // 4 * PAIR
    for j in range(length // 4):
        a, t = (base + j) * PAIR, j * stride * 6
        b = a + quarter
        c, d = b + quarter, b + 2 * quarter
        ar, ai = load(z, a), load(z, a + LANES)
        br, bi = _turned(load(z, b), load(z, b + LANES), w[t], -w[t + 1])
        cr, ci = _turned(load(z, c), load(z, c + LANES), w[t + 2], -w[t + 3])
        dr, di = _turned(load(z, d), load(z, d + LANES), w[t + 4], -w[t + 5])
        sr, si, er, ei = add(ar, cr), add(ai, ci), sub(ar, cr), sub(ai, ci)
        ur, ui, vr, vi = add(br, dr), add(bi, di), sub(di, bi), sub(br, dr)  # v = i (b - d)
        store(z, a, add(sr, ur))
        store(z, a + LANES, add(si, ui))
        store(z, b, add(er, vr))
        store(z, b + LANES, add(ei, vi))
        store(z, c, sub(sr, ur))
        store(z, c + LANES, sub(si, ui))
        store(z, d, sub(er, vr))
        store(z, d + LANES, sub(ei, vi))


@njit(nogil=True)
def _fours(z, base, count, sign):
    """Blocks of four, which need no turning; sign is 1 forward and -1 back."""
    plus, minus = splat(np.float32(sign)), splat(np.float32(-sign))
    for at in range(base * PAIR, (base + count) * PAIR, 4 * PAIR):
        b, c, d = at + PAIR, at + 2 * PAIR, at + 3 * PAIR
        ar, ai, br, bi = load(z, at), load(z, at + LANES), load(z, b), load(z, b + LANES)
        cr, ci, dr, di = load(z, c), load(z, c + LANES), load(z, d), load(z, d + LANES)
        sr, si, er, ei = add(ar, cr), add(ai, ci), sub(ar, cr), sub(ai, ci)
        ur, ui, vr, vi = add(br, dr), add(bi, di), sub(bi, di), sub(br, dr)
        store(z, at, add(sr, ur))
        store(z, at + LANES, add(si, ui))
        store(z, b, weigh(er, vr, plus))
        store(z, b + LANES, weigh(ei, vi, minus))
        store(z, c, sub(sr, ur))
        store(z, c + LANES, sub(si, ui))
        store(z, d, weigh(er, vr, minus))
        store(z, d + LANES, weigh(ei, vi, plus))


@njit(nogil=True)
def _twos(z, base, count):
    for a in range(base * PAIR, (base + count) * PAIR, 2 * PAIR):
        b = a + PAIR
        ar, ai, br, bi = load(z, a), load(z, a + LANES), load(z, b), load(z, b + LANES)
        store(z, a, add(ar, br))
        store(z, a + LANES, add(ai, bi))
        store(z, b, sub(ar, br))
        store(z, b + LANES, sub(ai, bi))


@njit(cache=True, nogil=True)
def forward(z, size, turning):
    """Transforms a table in place; bins come to stand at `rows_of(size)`.  turning : `turns(size)`."""
    p, w = pointer(z), pointer(turning)
    length = size
    while length > _NEAR:
        for base in range(0, size, length):
            _split(p, base, length, w, size // length)
        length //= 4
    for top in range(0, size, length):
        inner = length
        while inner > 4:
            for base in range(top, top + length, inner):
                _split(p, base, inner, w, size // inner)
            inner //= 4
        if inner == 4:
            _fours(p, top, length, 1)
        else:
            _twos(p, top, length)
    keep(z, turning)


@njit(cache=True, nogil=True)
def backward(z, size, turning):
    """The way back of `forward`, in place, times `size`."""
    p, w = pointer(z), pointer(turning)
    length = size
    while length > _NEAR:
        length //= 4
    for top in range(0, size, length):
        inner = length
        while inner > 4:
            inner //= 4
        if inner == 4:
            _fours(p, top, length, -1)
        else:
            _twos(p, top, length)
        while inner < length:
            inner *= 4
            for base in range(top, top + length, inner):
                _join(p, base, inner, w, size // inner)
    while length < size:
        length *= 4
        for base in range(0, size, length):
            _join(p, base, length, w, size // length)
    keep(z, turning)


@njit(cache=True, nogil=True)
def gather(x, first, pitch, size, window, z, part):
    """Writes LANES windows of one channel into a table, as its real (part 0) or imaginary (part 1) parts.

    Window number l is `x[first + l * pitch :][:size]`, times `window`, or as it is where `window` is empty.
    """
    source, target, w = pointer(x), pointer(z), pointer(window)
    for n in range(0, size + TILE, TILE):
        if n < size:
            at = (2 * n + part) * LANES
            for lane in range(0, LANES, TILE):
                transpose(source, first + lane * pitch + n, pitch, target, at + lane, PAIR)
        if n > 0 and len(window) > 0:  # one tile later: what was just written cannot be read in one piece yet
            for i in range(n - TILE, n):
                row = (2 * i + part) * LANES
                store(target, row, mul(load(target, row), splat(w[i])))
    keep(x, z, window)


@njit(cache=True, nogil=True)
def scatter(z, part, first, count, out):
    """The `count` elements from `first` on of each window, one window after the other."""
    source, target = pointer(z), pointer(out)
    for n in range(0, count, TILE):
        at = (2 * (first + n) + part) * LANES
        for lane in range(0, LANES, TILE):
            transpose(source, at + lane, PAIR, target, lane * count + n, count)
    keep(z, out)


@njit(cache=True, nogil=True)
def overlap_add(z, part, size, window, carry, out):
    """Adds up windows that follow one another by a quarter of their size, each times `window`.

    Gives the LANES quarters `out` that begin with those of the windows; `carry`, 3 * size floats, zeros at first, keeps
    what reaches into the next call's.
    """
    hop = size // 4
    tile_a, held_a = np.empty(TILE * LANES, np.float32), np.empty(TILE * 3 * PAIR, np.float32)
    source, target, w, kept = pointer(z), pointer(out), pointer(window), pointer(carry)
    tile, held = pointer(tile_a), pointer(held_a)
    for first in range(0, hop, TILE):
        for i in range(TILE):
            n = first + i
            total = mul(load(source, (2 * n + part) * LANES), splat(w[n]))
            for m in range(1, 4):
                # The windows' quarter number m belongs to the time of the window m later: one lane to the right each.
                at, old = (3 * i + m - 1) * PAIR, (3 * n + m - 1) * 4
                for q in range(4):
                    held[at + q] = kept[old + q]
                k = n + m * hop
                store(held, at + 4, mul(load(source, (2 * k + part) * LANES), splat(w[k])))
                for q in range(4):
                    kept[old + q] = held[at + LANES + q]
                total = add(total, load(held, at + 4 - m))
            store(tile, i * LANES, total)
        for lane in range(0, LANES, TILE):
            transpose(tile, lane, LANES, target, lane * hop + first, hop)
    keep(z, out, window, carry, tile_a, held_a)
