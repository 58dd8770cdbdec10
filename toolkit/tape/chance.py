"""Random numbers that depend on where they are used and on nothing else.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11) turns a counter of
four words and a key of two into four random words.  The counter here is (position, line, field, stream): the noise
of a sample is the same however the frames are batched, whatever was made before, and on however many threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: Streams, one for each fault, so that switching one off leaves the others as they were.
LUMA, CB, CR, JITTER, SWITCH, DROPOUT, HISS, BURST = range(8)

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit(cache=True, nogil=True, inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Four random 32-bit words, as uint64, from a counter of four words and a key of two (all uint64)."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True, nogil=True)
def normals(out, line, field, stream, key):
    """Fills the 1-D float32 `out` with independent normal numbers (Box-Muller), mean 0 and deviation 1."""
    k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> _32
    c1, c2, c3 = np.uint64(line), np.uint64(field), np.uint64(stream)
    scale = 1.0 / 4294967296.0
    n = out.shape[0]
    for block in range((n + 3) // 4):
        a, b, c, d = philox(np.uint64(block), c1, c2, c3, k0, k1)
        r0 = math.sqrt(-2.0 * math.log((float(a) + 0.5) * scale))
        r1 = math.sqrt(-2.0 * math.log((float(c) + 0.5) * scale))
        t0, t1 = 2 * math.pi * scale * float(b), 2 * math.pi * scale * float(d)
        i = 4 * block
        out[i] = r0 * math.cos(t0)
        if i + 1 < n:
            out[i + 1] = r0 * math.sin(t0)
        if i + 2 < n:
            out[i + 2] = r1 * math.cos(t1)
        if i + 3 < n:
            out[i + 3] = r1 * math.sin(t1)


@njit(cache=True, nogil=True)
def uniforms(out, line, field, stream, key):
    """Fills the 1-D float64 `out` with independent uniform numbers in (0, 1)."""
    k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> _32
    for block in range((out.shape[0] + 3) // 4):
        words = philox(np.uint64(block), np.uint64(line), np.uint64(field), np.uint64(stream), k0, k1)
        for j in range(min(4, out.shape[0] - 4 * block)):
            out[4 * block + j] = (float(words[j]) + 0.5) / 4294967296.0


@njit(cache=True, nogil=True)
def along(values, correlation):
    """Makes independent normal numbers correlated, in place: `exp(-distance / length)` with `correlation` its step."""
    fresh = math.sqrt(1.0 - correlation * correlation)
    for i in range(1, values.shape[0]):
        values[i] = correlation * values[i - 1] + fresh * values[i]
