"""The hum that a clock and its harmonics' amplitudes describe: made at a low rate, brought to the full one."""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.simd import LANES, keep, load, mul, pointer, splat, store, weigh

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
        # Turns within a hop as a parabola through its ends and its middle.
        whole, half = turns[f + 1] - turns[f], middle[f] - turns[f]
        slope, bend = 4 * half - whole, 2 * whole - 4 * half
        for first in range(0, hop, _TILE):
            n = min(_TILE, hop - first)
            u = first / hop
            _clock(turns[f] + (slope + bend * u) * u, (slope + bend * (2 * u + n / hop)) / hop, zr[:n], zi[:n])
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
