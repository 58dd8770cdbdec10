"""Filters longer than a window: overlap-save with the filter cut into parts (Stockham 1966; Kulp 1988).

Windows of two blocks follow one another by one block.  Part p of the filter meets the window p blocks earlier, which
is p lanes to the left: the spectra of all parts are multiplied and added up before one transform back.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.simd import LANES, keep, load, mul, pointer, splat, store, weigh
from kernels.sound.fourier import PAIR, aligned, bins_of


def parts_of(taps: np.ndarray, block: int) -> np.ndarray:
    """Spectra of the filter's parts, `(2 block elements, parts, 2)` float32, in the order of a transformed table.

    They are divided by the size of the transform, which `backward` leaves to others.
    """
    count = -(-len(taps) // block)
    cut = np.pad(taps, (0, count * block - len(taps))).reshape(count, block)
    spectra = np.fft.fft(cut, 2 * block)[:, bins_of(2 * block)].T / (2 * block)
    return np.ascontiguousarray(np.stack([spectra.real, spectra.imag], axis=2), np.float32)


def width(parts: int) -> int:
    """Floats in a row of spectra that are kept for later parts."""
    return LANES * (1 + -(-(parts - 1) // LANES))


def held_room(parts: int, block: int) -> np.ndarray:
    return aligned(2 * block * 2 * width(parts) + LANES)


@njit(cache=True, nogil=True)
def convolve(z, filters, held, wide):
    """Filters a transformed table in place.  held : `held_room`, zeros at first; wide : `width(parts)`."""
    size, parts = filters.shape[0], filters.shape[1]
    p, h, kept = pointer(z), pointer(filters), pointer(held)
    reach = parts - 1
    for n in range(size):
        row, t = n * PAIR, n * parts * 2
        re, im = n * 2 * wide, (n * 2 + 1) * wide
        xr, xi = load(p, row), load(p, row + LANES)
        store(kept, re + reach, xr)
        store(kept, im + reach, xi)
        c, s = h[t], h[t + 1]
        yr, yi = weigh(mul(xr, splat(c)), xi, splat(-s)), weigh(mul(xi, splat(c)), xr, splat(s))
        for k in range(1, parts):
            c, s = h[t + 2 * k], h[t + 2 * k + 1]
            xr, xi = load(kept, re + reach - k), load(kept, im + reach - k)
            yr = weigh(weigh(yr, xr, splat(c)), xi, splat(-s))
            yi = weigh(weigh(yi, xi, splat(c)), xr, splat(s))
        store(p, row, yr)
        store(p, row + LANES, yi)
        for k in range(0, reach, LANES):
            store(kept, re + k, load(kept, re + k + LANES))
            store(kept, im + k, load(kept, im + k + LANES))
    keep(z, filters, held)
