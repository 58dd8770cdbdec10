"""The noise's power in each frequency of space and time, whatever the picture shows."""

from __future__ import annotations

import numpy as np

from kernels.denoise.dft import SIDE, real_transform

_EDGE = 0.04  # of each side is left out: overscan and head switching
_QUIET = 0.25  # share of the blocks, the quietest, that are believed
#: The quietest blocks are a little quieter than noise is on average: measured on white noise (tests/test_noise.py).
_CHOSEN = 0.93
#: Median over mean of a mean of so many squared normal values (chi-squared).
_MEDIAN = {1: 0.4549, 2: 0.6931, 4: 0.8392, 8: 0.9180}


def noise_spectrum(frames: np.ndarray, radius: int = 1, window: tuple[int, int] | None = None) -> np.ndarray:
    """Estimates how strong the noise around each frame is in each frequency, in squared levels of the samples.

    Blocks of 16x16 samples of `2 radius + 1` frames, side by side, are transformed as `kernels.denoise.dft` does it.
    The quarter of them with the least power beside their slowest waves is believed, the others hold detail or
    motion; of these the median counts.

    frames : one plane `(T, H, W)`, any real type, at least 16x16.
    window : only of the frames `window[0] <= t < window[1]`, the others are neighbours.
    Returns float32 `(frames, radius + 1, 9, 9)`, the `spectrum` that `kernels.denoise.dft.dft_coloured` takes.  A frame
    where most is blank (no change within blocks, as in borders) is judged by the rest; one of nothing else gives 0.

    P. D. Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio and
    Electroacoustics 15(2), 1967, for means of windowed blocks; D. L. Donoho and I. M. Johnstone, Biometrika 81(3), 1994,
    for the median.
    """
    if not isinstance(frames, np.ndarray):
        raise TypeError(f"got {type(frames).__module__}.{type(frames).__qualname__}; expected a NumPy array")
    if frames.ndim != 3 or min(frames.shape[1:]) < SIDE or not len(frames):
        raise ValueError(f"got frames of shape {frames.shape}; expected (T >= 1, H >= 16, W >= 16)")
    first, stop = window or (0, len(frames))
    low, high = max(first - radius, 0), min(stop + radius, len(frames))
    waves = [_blocks(f) for f in frames[low:high]]
    found = []
    for t in range(first, stop):
        near = np.clip(np.arange(t - radius, t + radius + 1), low, high - 1) - low  # beyond the ends frames repeat
        found.append(_of_noise(np.stack([waves[k] for k in near])))
    return np.stack(found)


def _blocks(frame: np.ndarray) -> np.ndarray:
    """The real coefficients of a frame's blocks, float32 `(blocks, 16, 16)`; white noise has its deviation in each."""
    height, width = frame.shape
    dy, dx = (min(int(n * _EDGE), (n - SIDE) // 2) for n in (height, width))
    inner = frame[dy : height - dy, dx : width - dx]
    # Few blocks overlap by half, so that a small plane has some to choose from.
    step = SIDE if inner.size > 400 * SIDE * SIDE else SIDE // 2
    views = np.lib.stride_tricks.sliding_window_view(inner, (SIDE, SIDE))[::step, ::step]
    blocks = views.reshape(-1, SIDE, SIDE).astype(np.float32)
    matrix = real_transform() * np.float32(2**0.5)  # half the power passes the window, in each direction
    return matrix @ blocks @ matrix.T


def _of_noise(near: np.ndarray) -> np.ndarray:
    """The spectrum `(radius + 1, 9, 9)` from the coefficients `(2 radius + 1, blocks, 16, 16)` of a frame and those around
    it."""
    count = len(near)
    radius = count // 2
    ones = real_transform().sum(axis=1) * np.float32(2**0.5)
    grey = np.outer(ones, ones)
    near = near - (near[:, :, 0, 0].mean(axis=0) / grey[0, 0])[None, :, None, None] * grey
    power = np.tensordot(_along_time(count), near, 1) ** 2
    power = _folded(_folded(power, 2), 3)  # cosine and sine of a wave are one
    power = np.concatenate([power[:1], (power[1 : radius + 1] + power[radius + 1 :]) / 2])
    rest = power.sum(axis=(0, 2, 3)) - power[0, :, :2, :2].sum(axis=(1, 2))
    # A block that does not change at all is a border or a still, no sign of little noise.
    shown = np.nonzero(rest > 1e-3)[0]
    if not len(shown):
        return np.zeros((radius + 1, 9, 9), np.float32)
    quiet = shown[np.argsort(rest[shown])[: max(int(len(shown) * _QUIET), 1)]]
    middle = np.median(power[:, quiet], axis=1) / _medians(radius) / _CHOSEN
    # Even grey was set aside, so the slowest wave of all says nothing.
    middle[0, 0, 0] = max(middle[0, 0, 1], middle[0, 1, 0])
    return middle.astype(np.float32)


def _along_time(count: int) -> np.ndarray:
    """The orthonormal real Fourier transform of `count` (odd) values, float32: constant, cosines, sines."""
    k, n = np.meshgrid(np.arange(1, count // 2 + 1), np.arange(count), indexing="ij")
    waves = np.sqrt(2 / count) * np.exp(2j * np.pi * k * n / count)
    return np.concatenate([np.full((1, count), count**-0.5), waves.real, waves.imag]).astype(np.float32)


def _folded(power: np.ndarray, axis: int) -> np.ndarray:
    """Cosines 0 .. 8 and sines 1 .. 7 along `axis` as the means of waves 0 .. 8."""
    power = np.moveaxis(power, axis, 0)
    both = (power[1:8] + power[9:16]) / 2
    return np.moveaxis(np.concatenate([power[:1], both, power[8:9]]), 0, axis)


def _medians(radius: int) -> np.ndarray:
    """Median over mean of each wave of a block, by how many squares it is the mean of."""
    space, time = np.full(9, 2), np.full(radius + 1, 2)
    space[[0, 8]], time[0] = 1, 1
    values = time[:, None, None] * space[:, None] * space
    return np.vectorize(_MEDIAN.get)(values)
