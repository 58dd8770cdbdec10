"""Structural similarity of two clips, one value per frame.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE Trans. Image Processing 13(4), 2004, with K1 = 0.01 and K2 = 0.03.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Launch, kernel
from kernels.measure.psnr import one_value_per_frame

K1, K2 = 0.01, 0.03
#: The weights of one axis of each window, and the factor that turns its variances into those it is defined with.
_GAUSS = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
WINDOWS: dict[str, tuple[np.ndarray, float]] = {
    "gaussian": (_GAUSS / _GAUSS.sum(), 1.0),
    "uniform": (np.full(7, 1 / 7), 49 / 48),
}


@kernel(outputs=one_value_per_frame, smallest=(11, 11))
def ssim(a, b, weights: Literal["gaussian", "uniform"] = "gaussian", bits: Bits = 0):
    """Says how alike two clips look, frame by frame: 1 for equal frames, lower for lost structure, luma or contrast.

    The mean over all samples whose window lies inside the frame.  "gaussian" is the paper's 11x11 window with a
    standard deviation of 1.5 samples; "uniform" is a 7x7 window with sample (n - 1) covariances.  These are
    scikit-image's `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` and its default.

    a, b : `(T, H, W)` uint8, uint16 or float32, one plane each, at least 11x11; `bits` is the depth of uint16 planes.
    Returns `(T,)` float64.
    """
    line, unbiased = WINDOWS[weights]
    peak = (1 << depth(a, bits)) - 1
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    kernel_2d = np.outer(line, line)
    result = np.empty(len(a))
    for n in range(len(a)):
        x, y = (
            np.lib.stride_tricks.sliding_window_view(p[n].astype(np.float64), kernel_2d.shape) for p in (a, b)
        )
        mean_x, mean_y, xx, yy, xy = (
            (product * kernel_2d).sum(axis=(2, 3)) for product in (x, y, x * x, y * y, x * y)
        )
        var_x, var_y = unbiased * (xx - mean_x**2), unbiased * (yy - mean_y**2)
        cov = unbiased * (xy - mean_x * mean_y)
        similar = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
        result[n] = (similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean()
    return result


# Both bodies filter four moments: s, d, s^2 and d^2 of the sum s = x + y and the difference d = x - y, since
#     2 mean_x mean_y + c1 = mean_x^2 + mean_y^2 + c1 - mean_d^2,    2 cov + c2 = var_x + var_y + c2 - var_d
# and the halves of s and d give mean_x^2 + mean_y^2 and var_x + var_y.  What makes frames unlike thus never drowns in
# the rounding of large float32 moments, and equal frames give exactly 1.  Samples are in 8-bit scale; s and d are taken
# less a centre near their mean: variances do not depend on it, and are rounded less.
C1, C2 = (K1 * 255) ** 2, (K2 * 255) ** 2
STRIP = 192  # columns done at a time: four moments x 11 rows of them stay in the L1 cache
FAST = {"contract"}


@njit(nogil=True, fastmath=FAST)
def _moments(p, q, scale, centre_s, centre_d, to):
    """Four rows of moments of a stretch of two lines."""
    sums, differences, sums_2, differences_2 = to[0], to[1], to[2], to[3]
    for i in range(p.shape[0]):
        x, y = np.float32(p[i]), np.float32(q[i])
        s, d = (x + y) * scale - centre_s, (x - y) * scale - centre_d
        sums[i] = s
        differences[i] = d
        sums_2[i] = s * s
        differences_2[i] = d * d


@njit(nogil=True, fastmath=FAST)
def _sum11(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, w, out):
    for i in range(out.shape[0]):
        s = w[5] * r5[i]
        s += w[4] * (r4[i] + r6[i])
        s += w[3] * (r3[i] + r7[i])
        s += w[2] * (r2[i] + r8[i])
        s += w[1] * (r1[i] + r9[i])
        s += w[0] * (r0[i] + r10[i])
        out[i] = s


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _similar(sums, differences, sums_2, differences_2, unbiased, centre_s, centre_d, out):
    """SSIM along a row of moments."""
    half, c1, c2 = np.float32(0.5), np.float32(C1), np.float32(C2)
    for i in range(out.shape[0]):
        s, d = sums[i], differences[i]
        var_d = unbiased * (differences_2[i] - d * d)
        variances = half * (unbiased * (sums_2[i] - s * s) + var_d) + c2
        s += centre_s
        d += centre_d
        dd = d * d
        means = half * (s * s + dd) + c1
        out[i] = ((means - dd) * (variances - var_d)) / (means * variances)


@njit(nogil=True, fastmath={"reassoc"})
def _sum(row):
    total = np.float32(0)
    for i in range(row.shape[0]):
        total += row[i]
    return total


@njit(parallel=True, cache=True, nogil=True)
def _ssim(a, b, start, weights, scale, unbiased, parts):
    height, width = a.shape[1:]
    pieces, count = parts.shape[1], 11
    rows, columns = height - 10, width - 10
    for task in prange(parts.size):
        n, piece = task // pieces, task % pieces
        p, q = a[start + n], b[start + n]
        low, high = piece * rows // pieces, (piece + 1) * rows // pieces
        line = np.empty((4, STRIP + 10), np.float32)
        ring = np.empty((4, count, STRIP), np.float32)
        made = np.empty((5, STRIP), np.float32)
        total = 0.0
        for left in range(0, columns, STRIP):
            size = min(STRIP, columns - left)
            centre_s, centre_d = np.float32(0), np.float32(0)
            for x in range(left, left + size + 10):
                u, v = np.float32(p[(low + high + 10) // 2, x]), np.float32(q[(low + high + 10) // 2, x])
                centre_s += u + v
                centre_d += u - v
            centre_s *= scale / np.float32(size + 10)
            centre_d *= scale / np.float32(size + 10)
            for y in range(low, high + 10):
                _moments(p[y, left : left + size + 10], q[y, left : left + size + 10], scale, centre_s, centre_d, line)
                for k in range(4):
                    t = line[k]
                    _sum11(
                        t[0:], t[1:], t[2:], t[3:], t[4:], t[5:], t[6:], t[7:], t[8:], t[9:], t[10:],
                        weights, ring[k, y % count, :size],
                    )  # fmt: skip
                if y < low + 10:
                    continue
                for k in range(4):
                    r = ring[k]
                    _sum11(
                        r[(y + 1) % 11], r[(y + 2) % 11], r[(y + 3) % 11], r[(y + 4) % 11], r[(y + 5) % 11],
                        r[(y + 6) % 11], r[(y + 7) % 11], r[(y + 8) % 11], r[(y + 9) % 11], r[(y + 10) % 11],
                        r[y % 11], weights, made[k, :size],
                    )  # fmt: skip
                values = made[4, :size]
                m = made[:4, :size]
                _similar(m[0], m[1], m[2], m[3], unbiased, centre_s, centre_d, values)
                total += _sum(values)
        parts[n, piece] = total


def _exact(line: np.ndarray) -> np.ndarray:
    """Weights as float32 that still sum to exactly 1: else every variance is off by a share of the squared mean."""
    line = np.rint(line * 2**26) / 2**26
    line[len(line) // 2] += 1 - line.sum()
    return line.astype(np.float32)


@ssim.cpu
def _(a, b, out, start, weights, bits):
    line = _exact(WINDOWS[weights][0])
    free = (11 - len(line)) // 2
    line = np.pad(line, free)
    if free:  # room for the eleven around each window inside the frame
        a, b = (np.pad(p[start : start + len(out)], ((0, 0), (free, free), (free, free)), mode="edge") for p in (a, b))
        start = 0
    height, width = a.shape[1:]
    parts = np.empty((len(out), 1 if len(out) >= 4 * numba.get_num_threads() else max(1, min(8, height // 48))))
    scale, unbiased = np.float32(255 / ((1 << bits) - 1)), np.float32(WINDOWS[weights][1])
    _ssim(a, b, start, line, scale, unbiased, parts)
    out[:] = parts.sum(1) / ((height - 10) * (width - 10))


SPAN = 32  # rows a CUDA block walks down


def _plan(arrays: list[Any], out: Any, start: int, weights: str, bits: int) -> list[Launch]:
    a, b = arrays
    line, unbiased = _exact(WINDOWS[weights][0]), WINDOWS[weights][1]
    reach, count, i, f = len(line) - 1, out.shape[0], np.int32, np.float32
    rows, columns = a.shape[1] - reach, a.shape[2] - reach
    grid = (-(-columns // 128), -(-rows // SPAN), count)
    parts = empty_like_backend(a, (count, grid[0] * grid[1]), np.float64)
    half = np.zeros(6, np.float32)
    half[: reach // 2 + 1] = line[reach // 2 :]
    facts = f(255 / ((1 << bits) - 1)), f(unbiased), i(reach), *(f(w) for w in half)
    return [
        Launch("similar", grid, (128, 1, 1), (a, b, parts, i(start), i(a.shape[1]), i(a.shape[2]), *facts)),
        Launch("mean", (-(-count // 128), 1, 1), (128, 1, 1),
               (parts, out, i(count), i(parts.shape[1]), np.float64(rows * columns))),
    ]  # fmt: skip


ssim.cuda("ssim.cu", _plan)
