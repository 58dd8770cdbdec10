"""How noisy frames are: the standard deviation of the noise alone, whatever the picture shows."""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCKS = (16, 64), (8, 32), (8, 16)  # lines of a field and samples of a block: the largest of which there are enough
_ENOUGH = 24
_SMOOTH = 0.25  # share of the blocks, the smoothest, that are believed
_EDGE = 0.04  # of each side is left out: overscan and head switching
_BLANK = -1.0  # of a block that shows nothing


def noise_level(frames: np.ndarray, interlaced: bool = True) -> np.ndarray:
    """Estimates the standard deviation of the noise of each frame, in the levels of the samples.

    Differences of neighbouring lines of one field, [1, -3, 3, -1] / sqrt(20), take away what is flat, sloping or
    curved and leave the noise; along the line nothing is differenced, since the noise of a tape is smooth there and
    would be taken for picture.  The median absolute deviation of each block of 16 lines by 64 samples (fewer in small
    planes) measures it, and the smoothest quarter of the blocks is believed, the others hold detail.  That of a frame
    is the root of the mean square of its two fields.

    frames     : one plane `(T, H, W)`, any real type, at least 16x16.
    interlaced : difference within each field: neither combs nor lines that a deinterlacer made of their neighbours
                 (whose differences are small) mislead it; right for any frames.
    Returns `(T,)` float64.  Blank areas (both neighbours equal, as in borders) are left out; a frame of nothing else
    gives 0.  On real pictures without noise it gives about one level or less.

    J. Immerkaer, "Fast Noise Variance Estimation", CVIU 64(2), 1996 (differences that cancel structure); D. L. Donoho
    and I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994 (median / 0.6745).
    """
    if not isinstance(frames, np.ndarray):
        raise TypeError(f"got {type(frames).__module__}.{type(frames).__qualname__}; expected a NumPy array")
    if frames.ndim != 3 or min(frames.shape[1:]) < 16 or not len(frames):
        raise ValueError(f"got frames of shape {frames.shape}; expected (T >= 1, H >= 16, W >= 16)")
    dy, dx = int(frames.shape[1] * _EDGE) // 2 * 2, int(frames.shape[2] * _EDGE)
    inner = frames[:, dy : frames.shape[1] - dy, dx : frames.shape[2] - dx]
    step = 2 if interlaced and inner.shape[1] >= 16 else 1
    return np.array([np.sqrt(np.mean([_one(f[parity::step]) ** 2 for parity in range(step)])) for f in inner])


def _one(field: np.ndarray) -> float:
    """The level of one field `(lines, samples)`."""
    lines, samples = field.shape[0] - 3, field.shape[1]
    sizes = [(min(h, lines), min(w, samples)) for h, w in _BLOCKS]
    height, width = next((s for s in sizes if (lines // s[0]) * (samples // s[1]) >= _ENOUGH), sizes[-1])
    found = np.empty((lines // height, samples // width))
    if field.dtype == np.uint8:
        _by_counting(np.ascontiguousarray(field), height, width, found)
    else:
        _by_sorting(field.astype(np.float32), height, width, found)
    believed = found[found != _BLANK]
    return float(np.quantile(believed, _SMOOTH)) / 0.6745 / 20**0.5 if believed.size else 0.0


@njit(cache=True, nogil=True)
def _settled(blank, size):
    """Whether so many blank samples of `size` settle a block's level, and that level."""
    if blank >= 0.98 * size:
        return True, _BLANK
    return blank >= 0.5 * size, 0.0


@njit(cache=True, nogil=True)
def _by_counting(field, height, width, found):
    """Fills `found` with the median absolute difference of each block of 8-bit samples."""
    counts = np.zeros(4 * 255 * 2 + 1, np.int32)
    row = np.empty(width, np.int32)
    size = height * width
    for j in range(found.shape[0]):
        for i in range(found.shape[1]):
            counts[:] = 0
            blank = 0
            for y in range(j * height, (j + 1) * height):
                at = slice(i * width, (i + 1) * width)
                a, b, c, d = field[y, at], field[y + 1, at], field[y + 2, at], field[y + 3, at]
                for x in range(width):
                    row[x] = abs(np.int32(a[x]) - np.int32(d[x]) + np.int32(3) * (np.int32(c[x]) - np.int32(b[x])))
                for x in range(width):
                    blank += (a[x] == b[x]) & (b[x] == c[x]) & (c[x] == d[x])
                for x in range(width):
                    counts[row[x]] += 1
            done, level = _settled(blank, size)
            found[j, i] = level
            if not done:
                low = high = -1
                passed, value = 0, 0
                while high < 0:
                    passed += counts[value]
                    if low < 0 and passed > (size - 1) // 2:
                        low = value
                    if passed > size // 2:
                        high = value
                    value += 1
                found[j, i] = (low + high) / 2


@njit(cache=True, nogil=True)
def _by_sorting(field, height, width, found):
    """The same for any samples."""
    high = np.empty(height * width, np.float32)
    for j in range(found.shape[0]):
        for i in range(found.shape[1]):
            n = blank = 0
            for y in range(j * height, (j + 1) * height):
                for x in range(i * width, (i + 1) * width):
                    a, b, c, d = field[y, x], field[y + 1, x], field[y + 2, x], field[y + 3, x]
                    high[n] = abs(a - np.float32(3) * b + np.float32(3) * c - d)
                    blank += (a == b) & (b == c) & (c == d)
                    n += 1
            done, level = _settled(blank, n)
            found[j, i] = level if done else np.median(high)
