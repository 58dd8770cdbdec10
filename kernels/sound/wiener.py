"""What `toolkit.audio.denoise` does to short-time spectra, LANES frames at once (see `kernels.sound.fourier`).

Frames of a pair of real channels come as one transformed table.  A channel's `spectrum` is flat: for each bin a row of
real parts and one of imaginary parts, PITCH floats each, of which the first three are the frames before; its `power` is
a row of PITCH for each bin, of which the first four are the frames before.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import intrinsic

from kernels.simd import LANES, add, div, keep, load, mul, pointer, splat, store, sub, weigh
from kernels.sound.fourier import PAIR, aligned

AHEAD = 3  # frames that the gain looks each way
PITCH = LANES + 4
SHARE = np.float32(1 / 25)  # of one bin in an average over 5 frames and 5 bins


@intrinsic
def higher(typing, a, b):
    """The higher of two float32 vectors, lane by lane."""

    def emit(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, b), emit


@njit(cache=True, nogil=True, fastmath=True)
def turn(left, right, middle, side):
    """Middle and side of two channels, without change of power; its own inverse."""
    half = np.float32(np.sqrt(0.5))
    for i in range(len(left)):
        a, b = left[i], right[i]
        middle[i] = (a + b) * half
        side[i] = (a - b) * half


def spectrum_room(bins: int) -> np.ndarray:
    return aligned(bins * 2 * PITCH + LANES)


def power_room(bins: int) -> np.ndarray:
    return aligned(bins * PITCH + LANES)


@njit(nogil=True)
def _part(z, rows, k, size):
    """Bin k of both channels of a pair, times 2."""
    a, b = rows[k], rows[(size - k) % size]
    ar, ai, br, bi = load(z, a), load(z, a + LANES), load(z, b), load(z, b + LANES)
    return add(ar, br), sub(ai, bi), add(ai, bi), sub(br, ar)


@njit(cache=True, nogil=True)
def add_powers(z, rows, size, one, two):
    """Adds the power of each bin and window, halved beforehand, to `one` and `two`, flat `(bins, LANES)`."""
    source, place, p, q = pointer(z), pointer(rows), pointer(one), pointer(two)
    for k in range(size // 2 + 1):
        ar, ai, br, bi = _part(source, place, k, size)
        store(p, k * LANES, weigh(weigh(load(p, k * LANES), ar, ar), ai, ai))
        store(q, k * LANES, weigh(weigh(load(q, k * LANES), br, br), bi, bi))
    keep(z, rows, one, two)


@njit(cache=True, nogil=True)
def average_bins(sums, scale, out, totals):
    """Means over 5 bins, mirrored at the ends, of `sums` `(bins, LANES)`, times `scale`; their sums over bins."""
    bins = sums.shape[0]
    p, to = pointer(sums), pointer(out)
    weight, whole = splat(np.float32(scale / 5)), splat(np.float32(0))
    for k in range(bins):
        low, lower = max(k - 1, 0), k - 2 if k > 1 else 1 - k
        high, higher_still = min(k + 1, bins - 1), k + 2 if k + 2 < bins else 2 * bins - 3 - k
        total = add(add(load(p, low * LANES), load(p, lower * LANES)), load(p, k * LANES))
        total = add(total, add(load(p, high * LANES), load(p, higher_still * LANES)))
        total = mul(total, weight)
        store(to, k * LANES, total)
        whole = add(whole, total)
    store(pointer(totals), 0, whole)
    keep(sums, out, totals)


@njit(cache=True, nogil=True)
def take_apart(z, rows, size, one, power_one, two, power_two):
    """Appends a table of LANES new frames, of windows halved beforehand, to both channels' spectra and powers."""
    source, place = pointer(z), pointer(rows)
    x, p, y, q = pointer(one), pointer(power_one), pointer(two), pointer(power_two)
    for k in range(size // 2 + 1):
        ar, ai, br, bi = _part(source, place, k, size)
        at, to = k * 2 * PITCH + AHEAD, k * PITCH + 4
        store(x, at, ar)
        store(x, at + PITCH, ai)
        store(p, to, weigh(mul(ar, ar), ai, ai))
        store(y, at, br)
        store(y, at + PITCH, bi)
        store(q, to, weigh(mul(br, br), bi, bi))
    keep(z, rows, one, power_one, two, power_two)


@njit(nogil=True)
def _five(p, k):
    """Power of bin k over five frames."""
    at = k * PITCH
    total = add(add(load(p, at), load(p, at + 1)), add(load(p, at + 3), load(p, at + 4)))
    return add(total, load(p, at + 2))


@njit(cache=True, nogil=True)
def lower(spectrum, power, before, noise, margin, floor):
    """Weighs the first LANES frames of a channel's spectrum, in place; the three behind them wait for the next call.

    before : two frames of first estimates for each bin, zeros at first.  noise : power per bin.  The gain is that of
    `toolkit.audio.denoise`; `margin` times the noise is left out of the first estimate, `floor` is the least gain.
    """
    bins = len(noise)
    ring_a, held_a = np.empty(8 * LANES, np.float32), np.empty(4 * PAIR, np.float32)
    x, p, f, hiss = pointer(spectrum), pointer(power), pointer(before), pointer(noise)
    ring, held = pointer(ring_a), pointer(held_a)
    least, third, share = splat(floor), splat(np.float32(1 / 3)), splat(SHARE)
    nothing = splat(np.float32(0))
    store(ring, 0, _five(p, 0))
    store(ring, LANES, _five(p, 1))
    for k in range(bins):
        if k + 2 < bins:
            store(ring, ((k + 2) & 7) * LANES, _five(p, k + 2))
        total = add(load(ring, (max(k - 2, 0) & 7) * LANES), load(ring, (max(k - 1, 0) & 7) * LANES))
        total = add(total, load(ring, (k & 7) * LANES))
        total = add(total, load(ring, (min(k + 1, bins - 1) & 7) * LANES))
        total = add(total, load(ring, (min(k + 2, bins - 1) & 7) * LANES))
        level = splat(hiss[k])
        over = higher(weigh(mul(total, share), level, splat(-margin)), nothing)
        part = div(over, add(over, level))
        at = (k & 3) * PAIR
        held[at], held[at + 1] = f[2 * k], f[2 * k + 1]
        store(held, at + 2, mul(mul(part, part), load(p, k * PITCH + 2)))
        f[2 * k], f[2 * k + 1] = held[at + LANES], held[at + LANES + 1]
        clean = mul(add(add(load(held, at), load(held, at + 1)), load(held, at + 2)), third)
        gain = higher(div(clean, add(clean, level)), least)
        row = k * 2 * PITCH
        store(x, row, mul(load(x, row), gain))
        store(x, row + PITCH, mul(load(x, row + PITCH), gain))
    for k in range(bins):
        store(p, k * PITCH, load(p, k * PITCH + LANES))  # of what this writes, the next call keeps four frames
    keep(spectrum, power, before, noise, ring_a, held_a)


@njit(cache=True, nogil=True)
def put_together(one, two, rows, size, z):
    """The table of the first LANES frames of both channels' spectra; the three behind them move to the front."""
    target, place, x, y = pointer(z), pointer(rows), pointer(one), pointer(two)
    for k in range(size // 2 + 1):
        a, b, at = place[k], place[(size - k) % size], k * 2 * PITCH
        ar, ai, br, bi = load(x, at), load(x, at + PITCH), load(y, at), load(y, at + PITCH)
        store(target, b, add(ar, bi))
        store(target, b + LANES, sub(br, ai))
        store(target, a, sub(ar, bi))
        store(target, a + LANES, add(ai, br))
        for row in (at, at + PITCH):
            store(x, row, load(x, row + LANES))
            store(y, row, load(y, row + LANES))
    keep(one, two, rows, z)
