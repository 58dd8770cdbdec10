"""Noise like that of a tape: its strength and its smoothness along the line, measured on the tape itself."""

from __future__ import annotations

import numpy as np

#: Samples along the line over which noise may hang together, and the blocks it is measured on.
REACH, _LINES, _COLUMNS = 32, 8, 64
_SMOOTH = 0.25  # share of the blocks, the smoothest, that are believed


def noise_covariance(luma: np.ndarray, interlaced: bool) -> np.ndarray:
    """Covariance of the noise with itself 0, 1, ... REACH samples along the line, float64, in squared levels.

    From differences of neighbouring lines of one field as in `kernels.measure.noise`, in the smoothest quarter of the
    blocks, tapered to 0 at the end.
    """
    blocks = []
    for parity in range(2 if interlaced else 1):
        x = luma[::2, parity :: 2 if interlaced else 1].astype(np.float32)
        rest = (x[:, :-3] - 3 * x[:, 1:-2] + 3 * x[:, 2:-1] - x[:, 3:]) / np.float32(20**0.5)
        high, wide = rest.shape[1] // _LINES, rest.shape[2] // _COLUMNS
        rest = rest[:, : high * _LINES, : wide * _COLUMNS].reshape(len(rest), high, _LINES, wide, _COLUMNS)
        blocks.append(rest.transpose(0, 1, 3, 2, 4).reshape(-1, _LINES, _COLUMNS))
    found = np.concatenate(blocks)
    if not len(found):
        return np.zeros(REACH + 1)
    middle = np.median(np.abs(found), axis=(1, 2))
    smooth = found[middle <= np.quantile(middle, _SMOOTH)]
    deviation = float(np.median(np.abs(smooth))) / 0.6745
    calm = smooth[np.abs(smooth).max(axis=(1, 2)) < 6 * deviation]  # no dropout, no edge
    smooth = calm if len(calm) else smooth
    lags = [float(np.mean(smooth[..., : _COLUMNS - k] * smooth[..., k:])) for k in range(REACH + 1)]
    taper = np.hanning(2 * REACH + 3)[REACH + 1 : -1]
    return np.array(lags) * taper * (deviation**2 / lags[0] if lags[0] else 0.0)


def noise_like(shape: tuple[int, ...], covariance: np.ndarray, seed: int) -> np.ndarray:
    """Normal noise `(T, H, W)` float32 of that covariance along the line, fresh on each line."""
    width = shape[2]
    reach = min(len(covariance) - 1, (width - 1) // 2)
    ring = np.zeros(width)
    ring[: reach + 1] = covariance[: reach + 1]
    ring[width - reach :] = covariance[reach:0:-1]
    power = np.maximum(np.fft.rfft(ring).real, 0)
    white = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return np.fft.irfft(np.fft.rfft(white, axis=2) * np.sqrt(power), n=width, axis=2).astype(np.float32)
