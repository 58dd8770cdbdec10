"""The noise's power in each frequency of space and time, whatever the picture shows."""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.denoise.dft import SIDE, real_transform
from kernels.denoise.products import product16
from kernels.measure.noise import noise_level
from kernels.rows import copy_row

WAVES = SIDE // 2 + 1
_EDGE = 0.04  # of each side is left out: overscan and head switching
_ENOUGH = 600  # blocks: more are not looked at
_QUIET = 0.25  # share of the blocks, the quietest, that are believed
_FINE = slice(5, WAVES)  # waves along the line in which pictures hold little beside noise
#: How much of the noise's power the quietest blocks have, by radius: measured on noise alone, white and a tape's, which
#: are apart by 5 % at most.
_CHOSEN = (0.83, 0.90, 0.91, 0.93)
#: The noise of made tapes was up to 1.16 times the level that is measured within one frame.
_ABOVE = 1.2
#: Median over mean of a mean of so many squared normal values (chi-squared).
_MEDIAN = {1: 0.4549, 2: 0.6931, 4: 0.8392, 8: 0.9180}


def noise_spectrum(frames: np.ndarray, radius: int = 1, window: tuple[int, int] | None = None) -> np.ndarray:
    """Estimates how strong the noise around each frame is in each frequency, in squared levels of the samples.

    Blocks of 16x16 samples of `2 radius + 1` frames are transformed as `kernels.denoise.dft` does it.  The quarter of
    them with the least power beside their slowest waves is believed, the others hold detail or motion; of these the
    median counts.  What stands still in a picture shows in the slow waves along time alone: these are not believed to
    be further above the fastest one than they are in the fine waves along the line; and the whole is not believed to be
    far above the level that `kernels.measure.noise.noise_level` finds within the frame.

    frames : one plane `(T, H, W)`, any real type, at least 16x16.
    window : only of the frames `window[0] <= t < window[1]`, the others are neighbours.
    Returns float32 `(frames, radius + 1, 9, 9)`, the `spectrum` that `kernels.denoise.dft.dft_coloured` takes.  A frame
    where most is blank (no change within blocks, as in borders) is judged by the rest; one of nothing else gives 0.

    P. D. Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio and
    Electroacoustics 15(2), 1967, for means of windowed blocks; D. L. Donoho and I. M. Johnstone, Biometrika 81(3),
    1994, for the median.
    """
    if not isinstance(frames, np.ndarray):
        raise TypeError(f"got {type(frames).__module__}.{type(frames).__qualname__}; expected a NumPy array")
    if frames.ndim != 3 or min(frames.shape[1:]) < SIDE or not len(frames):
        raise ValueError(f"got frames of shape {frames.shape}; expected (T >= 1, H >= 16, W >= 16)")
    frames = np.ascontiguousarray(frames)
    matrix = real_transform() * np.float32(2**0.5)  # half the power passes the window, in each direction
    ones = matrix.sum(axis=1)
    tables = matrix.ravel(), np.ascontiguousarray(matrix.T).ravel(), np.outer(ones, ones).ravel()
    places, folds = _places(*frames.shape[1:]), (*_folds(), _along_time(2 * radius + 1))
    found = []
    for t in range(*(window or (0, len(frames)))):
        near = np.clip(np.arange(t - radius, t + radius + 1), 0, len(frames) - 1)  # beyond the ends frames repeat
        power = np.zeros((len(places), (radius + 1) * WAVES * WAVES), np.float32)
        _powers(frames, near, places, *tables, *folds, power)
        spectrum = _of_noise(power.reshape(-1, radius + 1, WAVES, WAVES))
        # Where all of a picture changes, every block does; the level is measured in one frame and does not see it.
        most = (_ABOVE * noise_level(frames[t : t + 1])[0]) ** 2 or np.inf  # 0 among borders says nothing
        found.append(spectrum * np.float32(min(1.0, most / max(float(spectrum.mean()), 1e-9))))
    return np.stack(found)


def _of_noise(power: np.ndarray) -> np.ndarray:
    """The spectrum `(radius + 1, 9, 9)` from that of each block."""
    radius = power.shape[1] - 1
    rest = power.sum(axis=(1, 2, 3)) - power[:, 0, :2, :2].sum(axis=(1, 2))
    # A block that does not change at all is a border or a still, no sign of little noise.
    shown = np.nonzero(rest > 1e-3)[0]
    if not len(shown):
        return np.zeros(power.shape[1:], np.float32)
    quiet = power[shown[np.argsort(rest[shown])[: max(int(len(shown) * _QUIET), 1)]]]
    half = len(quiet) // 2
    middle = np.partition(quiet, half, axis=0)[half] / _medians(radius) / np.float32(_CHOSEN[radius])
    # Even grey was set aside, so the slowest wave of all says nothing.
    middle[0, 0, 0] = max(middle[0, 0, 1], middle[0, 1, 0])
    # Fades and shaded grounds that move show in the slowest waves of a block; noise rises no faster than 1 / f ** 2.
    for wave in (middle, middle.swapaxes(1, 2)):
        wave[:, 1] = np.minimum(wave[:, 1], 4 * wave[:, 2])
        wave[:, 0] = np.minimum(wave[:, 0], 2 * wave[:, 1])
    if radius:
        fastest = np.maximum(middle[-1], np.float32(1e-6))
        above = np.median(middle[:-1, :, _FINE] / fastest[:, _FINE], axis=2, keepdims=True)
        middle[:-1] = np.minimum(middle[:-1], above * fastest)
    return middle.astype(np.float32)


def _places(height: int, width: int) -> np.ndarray:
    """Upper left corners of the blocks looked at, `(blocks, 2)`.

    Where there are few they overlap by half, so that a small plane has some to choose from; where there are many every
    other one is left out, as on a chess board.
    """
    dy, dx = (min(int(n * _EDGE), (n - SIDE) // 2) for n in (height, width))
    high, wide = height - 2 * dy, width - 2 * dx
    step = SIDE if high * wide > _ENOUGH * SIDE * SIDE else SIDE // 2
    rows, columns = (np.arange((n - SIDE) // step + 1) for n in (high, wide))
    at = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    if len(at) > _ENOUGH:
        at = at[at.sum(axis=1) % 2 == 0]
    return at * step + (dy, dx)


def _folds() -> tuple[np.ndarray, np.ndarray]:
    """Where the power of each coefficient of a block is added, and its share: cosine and sine of a wave are one."""
    wave = np.array([*range(WAVES), *range(1, WAVES - 1)])
    share = np.where((wave == 0) | (wave == WAVES - 1), 1, 0.5)
    return (wave[:, None] * WAVES + wave).ravel(), np.outer(share, share).ravel().astype(np.float32)


def _along_time(count: int) -> np.ndarray:
    """The orthonormal real Fourier transform of `count` (odd) values, float32: constant, then cosines, then sines."""
    k, n = np.meshgrid(np.arange(1, count // 2 + 1), np.arange(count), indexing="ij")
    waves = np.sqrt(2 / count) * np.exp(2j * np.pi * k * n / count)
    return np.concatenate([np.full((1, count), count**-0.5), waves.real, waves.imag]).astype(np.float32)


def _medians(radius: int) -> np.ndarray:
    """Median over mean of each wave of a block, by how many squares it is the mean of."""
    space, time = np.full(WAVES, 2), np.full(radius + 1, 2)
    space[[0, -1]], time[0] = 1, 1
    values = time[:, None, None] * space[:, None] * space
    return np.vectorize(_MEDIAN.get)(values).astype(np.float32)


@njit(cache=True, nogil=True)
def _powers(frames, near, places, matrix, turned, grey, to, share, time, power):
    """Adds the power of each wave of each block to `power` (blocks x waves along time, down and along the line)."""
    count, size = near.shape[0], SIDE * SIDE
    block, half = np.empty(size, np.float32), np.empty(size, np.float32)
    one, waves = np.empty(size, np.float32), np.empty((count, size), np.float32)
    for j in range(places.shape[0]):
        top, left = places[j]
        level = np.float32(0)
        for f in range(count):
            for y in range(SIDE):
                row = frames[near[f], top + y, left : left + SIDE]
                for x in range(SIDE):
                    block[y * SIDE + x] = np.float32(row[x])
            product16(half, 0, SIDE, matrix, 0, SIDE, block, 0, SIDE)
            product16(one, 0, SIDE, half, 0, SIDE, turned, 0, SIDE)
            copy_row(waves[f], one)
            level += one[0]
        level /= np.float32(count) * grey[0]
        for f in range(count):
            for i in range(size):
                waves[f, i] -= level * grey[i]
        for w in range(count):
            one[:] = 0
            for f in range(count):
                factor, wave = time[w, f], waves[f]
                for i in range(size):
                    one[i] += factor * wave[i]
            slot = (w if w <= count // 2 else w - count // 2) * WAVES * WAVES
            part = np.float32(0.5 if w else 1)
            for i in range(size):
                power[j, slot + to[i]] += one[i] * one[i] * share[i] * part
