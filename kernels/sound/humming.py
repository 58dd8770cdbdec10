"""Mains hum: its fundamental in spectra, its clock, its harmonics against the clock, and the hum made of these.

It is measured and made at a low rate; `raised` brings it to the full one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.simd import LANES, keep, lane_sum, load, mul, pointer, splat, store, weigh

_TILE = 128


@njit(nogil=True, fastmath=True)
def _clock(start, slope, zr, zi):
    """cos and sin of 2 pi (start + slope i), by doubling."""
    angle = 2 * np.pi * (start - np.floor(start))
    zr[0], zi[0] = np.cos(angle), np.sin(angle)
    done = 1
    while done < len(zr):
        angle = 2 * np.pi * slope * done
        r, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        n = min(done, len(zr) - done)
        fr, fi, tr, ti = zr[:n], zi[:n], zr[done : done + n], zi[done : done + n]
        for i in range(n):
            tr[i] = fr[i] * r - fi[i] * s
            ti[i] = fr[i] * s + fi[i] * r
        done += n


@njit(cache=True, nogil=True, fastmath=True)
def refine(excess, coarse, reaches, spacing):
    """The fundamental near each of the bins `coarse` in each window, and how much that is to be believed.

    Parabolas through the peaks of log spectra `(bins, windows)` next to harmonic h = 1, 2, ... of the bin, at most
    `reaches[h - 1]` bins away; a high and sharp peak counts most.
    """
    windows = excess.shape[1]
    fine, weights = np.empty((len(coarse), windows), np.float32), np.empty((len(coarse), windows), np.float32)
    for r in range(len(coarse)):
        for w in range(windows):
            total, found = 1e-6, 1e-6 * coarse[r] * spacing
            for h in range(1, len(reaches) + 1):
                first = h * coarse[r] - reaches[h - 1]
                peak = first
                for i in range(first + 1, first + 2 * reaches[h - 1] + 1):
                    if excess[i, w] > excess[peak, w]:
                        peak = i
                a, b, c = excess[peak - 1, w], excess[peak, w], excess[peak + 1, w]
                if b > 1.5:
                    shift = (a - c) / (2 * min(a - 2 * b + c, -1e-3))
                    weight = np.exp(2 * min(b, 4.0)) * h * h
                    total += weight
                    found += weight * (peak + min(max(shift, -0.5), 0.5)) * spacing / h
            fine[r, w], weights[r, w] = found / total, total
    return fine, weights


@njit(cache=True, nogil=True)
def turns_of(times, frequencies, first, step):
    """The integral of frequencies (Hz, in lines between the times first, first + step, ...; held before and after)."""
    n = len(frequencies)
    sums = np.empty(n)
    sums[0] = first * frequencies[0]
    for i in range(1, n):
        sums[i] = sums[i - 1] + step * (frequencies[i - 1] + frequencies[i]) / 2
    out = np.empty(len(times))
    for k in range(len(times)):
        since = times[k] - first
        if since <= 0:
            out[k] = times[k] * frequencies[0]
            continue
        i = min(int(since / step), n - 1)
        u, a = since - i * step, frequencies[i]
        rise = (frequencies[i + 1] - a) / step if i + 1 < n else 0.0
        out[k] = sums[i] + u * (a + rise * u / 2)
    return out


@njit(nogil=True, fastmath=True)
def _tile(turns, middle, f, hop, first, n, zr, zi):
    """The clock over n samples of a frame; turns within a frame are a parabola through its ends and its middle."""
    whole, half = turns[f + 1] - turns[f], middle[f] - turns[f]
    slope, bend = 4 * half - whole, 2 * whole - 4 * half
    u = first / hop
    _clock(turns[f] + (slope + bend * u) * u, (slope + bend * (2 * u + n / hop)) / hop, zr[:n], zi[:n])


@njit(cache=True, nogil=True, fastmath=True)
def clock(turns, middle, hop):
    """cos and sin `(2, frames * hop)` of 2 pi turns, given at the ends and in the middle of each frame."""
    out = np.empty((2, (len(turns) - 1) * hop), np.float32)
    for f in range(len(turns) - 1):
        for first in range(0, hop, _TILE):
            n, at = min(_TILE, hop - first), f * hop + first
            _tile(turns, middle, f, hop, first, n, out[0, at : at + n], out[1, at : at + n])
    return out


@njit(cache=True, nogil=True, fastmath=True)
def demodulate(x, half, shape, out):
    """`(frames, orders)`: windows of one channel, each two hops, against e^(-j m phase), m = 1 ... orders.

    half : the clock of the phase, as `clock` gives it.  shape : the window.
    """
    n = len(shape)
    zr, zi = np.empty(n, np.float32), np.empty(n, np.float32)
    for f in range(out.shape[0]):
        at = f * n // 2
        held, c, s = x[at : at + n], half[0, at : at + n], half[1, at : at + n]
        for i in range(n):
            zr[i], zi[i] = shape[i] * held[i], 0
        for m in range(out.shape[1]):
            a = b = np.float32(0)
            for i in range(n):
                r = zr[i] * c[i] + zi[i] * s[i]
                t = zi[i] * c[i] - zr[i] * s[i]
                zr[i], zi[i] = r, t
                a += r
                b += t
            out[f, m] = complex(a, b)


@njit(cache=True, nogil=True, fastmath=True)
def hum(amplitudes, turns, middle, hop, out):
    """The sum over k of Re(a_k z^k), z on the clock, a_k running in a line from frame to frame, `hop` samples each.

    amplitudes : complex64 `(frames + 1, harmonics)`.  turns : of the clock at each frame's ends; middle : half-way.
    """
    zr, zi = np.ones(_TILE, np.float32), np.zeros(_TILE, np.float32)
    pr, pi = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
    across = np.arange(_TILE).astype(np.float32) / np.float32(hop)
    for f in range(len(out) // hop):
        order = amplitudes.shape[1]
        while order > 0 and amplitudes[f, order - 1] == 0 and amplitudes[f + 1, order - 1] == 0:
            order -= 1
        for first in range(0, hop, _TILE):
            n = min(_TILE, hop - first)
            u = first / hop
            _tile(turns, middle, f, hop, first, n, zr, zi)
            pr[:], pi[:] = 0, 0
            for k in range(order - 1, -1, -1):
                a, b = amplitudes[f, k], amplitudes[f + 1, k]
                dr, di = b.real - a.real, b.imag - a.imag
                ar, ai = a.real + np.float32(u) * dr, a.imag + np.float32(u) * di
                for i in range(_TILE):
                    r = pr[i] + ar + across[i] * dr
                    s = pi[i] + ai + across[i] * di
                    pr[i] = r * zr[i] - s * zi[i]
                    pi[i] = r * zi[i] + s * zr[i]
            target = out[f * hop + first : f * hop + first + n]
            for i in range(n):
                target[i] = pr[i]


def phases_of(taps: np.ndarray, factor: int) -> np.ndarray:
    """The symmetric low-pass `taps` cut for `raised`: `(neighbours, factor and what fills the last vector)`."""
    reach = len(taps) // factor + 1 if factor > 1 else 1
    out = np.zeros((reach, -(-factor // LANES) * LANES), np.float32)
    for t in range(reach):
        piece = taps[(reach - 1 - t) * factor :][:factor] * factor
        out[t, : len(piece)] = piece
    return out


@njit(cache=True, nogil=True)
def raised(low, phases, factor, count, out):
    """`count * factor` samples of a signal given at 1 / `factor` of the rate; out has LANES or more to spare.

    low : with as many neighbours on each side as half of `phases` asks for.
    """
    reach, wide = phases.shape
    x, h, to = pointer(low), pointer(phases), pointer(out)
    for j in range(count):
        for p in range(0, factor, LANES):
            total = mul(load(h, p), splat(x[j]))
            for t in range(1, reach):
                total = weigh(total, load(h, t * wide + p), splat(x[j + t]))
            store(to, j * factor + p, total)
    keep(low, phases, out)


def weights_of(taps: np.ndarray) -> np.ndarray:
    """Taps, LANES or more, cut for `thinned`: the last vector ends with the last tap and repeats none."""
    whole = len(taps) // LANES * LANES
    last = np.where(np.arange(len(taps) - LANES, len(taps)) < whole, 0, taps[-LANES:])
    return np.concatenate([taps[:whole], last] if whole < len(taps) else [taps]).astype(np.float32)


@njit(cache=True, nogil=True)
def thinned(x, weights, taps, factor, out):
    """Every `factor`-th sample behind a filter; sample m of `out` is the sum over `x[m * factor :][:taps]`.

    weights : of the `taps`, as `weights_of` cuts them.
    """
    source, w = pointer(x), pointer(weights)
    for m in range(len(out)):
        at = m * factor
        total = mul(load(source, at), load(w, 0))
        for i in range(LANES, len(weights), LANES):
            total = weigh(total, load(source, at + min(i, taps - LANES)), load(w, i))
        out[m] = lane_sum(total)
    keep(x, weights)
