"""Where one picture lies on another: phase correlation for the whole samples, least squares for the rest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kernels.resize import resize


def thumbnail(luma: np.ndarray, block: int) -> np.ndarray:
    """Means of squares of `block` samples of `(H, W)`, float32: what is left is content, without noise and detail."""
    height, width = (n // block * block for n in luma.shape)
    # Whole lines first: sums over short inner axes are slow in NumPy.
    lines = luma[:height, :width].reshape(height // block, block, width).sum(axis=1, dtype=np.float32)
    return sum(lines[:, i::block] for i in range(block)) / np.float32(block * block)


@lru_cache(maxsize=8)
def _window(shape: tuple[int, int]) -> np.ndarray:
    return np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))


def spectrum(picture: np.ndarray) -> np.ndarray:
    """Windowed Fourier transform of a picture less its mean."""
    return np.fft.rfft2((picture - picture.mean()) * _window(picture.shape))


def coarse_shift(truth: np.ndarray, result: np.ndarray) -> tuple[float, float]:
    """Samples (right, down) by which `result` lies off `truth`, both `spectrum`s, to about a third of a sample.

    Phase correlation (Kuglin and Hines 1975), with the square root of the magnitude kept so that empty frequencies,
    which a tape has many of, do not vote.
    """
    cross = result * np.conj(truth)
    correlation = np.fft.irfft2(cross / np.sqrt(np.abs(cross) + 1e-9))
    peak = np.unravel_index(np.argmax(correlation), correlation.shape)
    found = []
    for axis, p in enumerate(peak):
        n = correlation.shape[axis]
        line = [correlation[tuple((p + d) % n if a == axis else q for a, q in enumerate(peak))] for d in (-1, 0, 1)]
        bend = line[0] - 2 * line[1] + line[2]
        part = 0.0 if bend == 0 else float(np.clip((line[0] - line[2]) / (2 * bend), -0.5, 0.5))
        found.append((p if p < n / 2 else p - n) + part)
    return found[1], found[0]


def shifted(plane: np.ndarray, right: float, down: float) -> np.ndarray:
    """`(H, W)` moved by a fraction of samples, float32."""
    if not right and not down:
        return np.asarray(plane, np.float32)
    whole = int(np.round(right)), int(np.round(down))
    moved = np.ascontiguousarray(np.roll(np.asarray(plane, np.float32), whole[::-1], axis=(0, 1)))
    part = right - whole[0], down - whole[1]
    if abs(part[0]) < 1e-6 and abs(part[1]) < 1e-6:
        return moved
    height, width = plane.shape
    return resize(moved[None], width=width, height=height, left=-part[0], top=-part[1])[0]


def fine_shift(truth: np.ndarray, result: np.ndarray, start: tuple[float, float]) -> tuple[float, float, float] | None:
    """Samples (right, down) by which `result` lies off `truth`, and how sure it is (least eigenvalue of the slopes).

    Gauss-Newton on `result = gain * truth(moved) + offset` over low-passed luma, from coarse to fine (Lucas and
    Kanade 1981).  None where the picture has too little structure to tell.
    """
    from scipy.ndimage import gaussian_filter

    right, down = start
    sure, seen_at = 0.0, {}
    for sigma in (3.0, 1.5, 1.5):
        margin = int(np.ceil(max(abs(right), abs(down)))) + int(3 * sigma) + 3
        if min(truth.shape) < 4 * margin:
            return None
        inner = slice(margin, -margin), slice(margin, -margin)
        moved = gaussian_filter(shifted(truth, right, down), sigma)
        if sigma not in seen_at:
            seen_at[sigma] = gaussian_filter(np.asarray(result, np.float32), sigma)
        seen = seen_at[sigma][inner].ravel()
        gy = (moved[2:] - moved[:-2])[margin - 1 : 1 - margin, margin:-margin].ravel() / 2
        gx = (moved[:, 2:] - moved[:, :-2])[margin:-margin, margin - 1 : 1 - margin].ravel() / 2
        flat = moved[inner].ravel()
        # Less their means, so that float32 sums stay exact enough; the offset drops out.
        rows = np.stack([-gx, -gy, flat])
        rows -= rows.mean(axis=1, keepdims=True)
        products = (rows @ rows.T).astype(np.float64)
        sure = float(np.linalg.eigvalsh(products[:2, :2])[0]) / flat.size
        if sure < 0.02:
            return None
        move = np.linalg.lstsq(products, (rows @ (seen - seen.mean())).astype(np.float64), rcond=None)[0]
        gain = move[2] if abs(move[2]) > 0.2 else 1.0
        right, down = right + float(np.clip(move[0] / gain, -3, 3)), down + float(np.clip(move[1] / gain, -3, 3))
    return right, down, sure
