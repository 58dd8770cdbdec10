"""How much of the truth's fine detail is still in a result, whatever noise lies on it."""

from __future__ import annotations

import numpy as np

#: Detail is what a mean over so many samples each way takes away; its gain is measured in blocks of BLOCK samples.
MEAN, BLOCK = 5, 8


def detail_kept(truth: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Says which share of the truth's fine detail is left in the result: 1 all of it, 0 none, frame by frame.

    Both are high-passed; in each block of 8x8 the result's detail is the truth's times a gain between 0 and 1 (least
    squares) plus a rest, and the gains are averaged by the energy of the truth's detail.  What blurs lowers the gain;
    noise and ringing go into the rest and count for nothing, and sharpening cannot raise it above 1.

    truth, result : `(T, H, W)` of one shape, at least 8x8, on one scale.
    Returns `(T,)` float64; NaN for a frame whose truth has no detail.

    After S. Li, F. Zhang, L. Ma and K. N. Ngan, "Image Quality Assessment by Separately Evaluating Detail Losses and
    Additive Impairments", IEEE Transactions on Multimedia 13(5), 2011: one band in place of their wavelets, and
    without the model of the eye.
    """
    return np.array([_one(t, r) for t, r in zip(truth, result, strict=True)])


def _one(truth: np.ndarray, result: np.ndarray) -> float:
    wanted, found = _high(truth), _high(result)
    energy, shared = _blocks(wanted * wanted), _blocks(wanted * found)
    total = float(energy.sum())
    if total <= 1e-9 * max(1, energy.size):
        return float("nan")
    # shared = gain * energy, so clipping it to 0..energy clips the gain to 0..1
    return float(np.clip(shared, 0, energy).sum()) / total


def _high(picture: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    picture = picture.astype(np.float32)
    return picture - uniform_filter(picture, MEAN, mode="nearest")


def _blocks(values: np.ndarray) -> np.ndarray:
    """Sums over blocks; what is left over at the right and at the bottom is not counted."""
    high, wide = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    parts = values[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK)
    return parts.sum((1, 3), dtype=np.float64)
