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
from kernels.measure import ssim_box
from kernels.measure.psnr import one_value_per_frame
from kernels.simd import LANES, add, after, div, keep, lane_sum, load, mul, pointer, splat, store, sub, weigh

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
    peak = (1 << depth(a, bits)) - 1
    maps = (similarity(p, q, weights, peak) for p, q in zip(a, b, strict=True))
    return np.array([(luma * structure).mean() for luma, structure in maps])


def similarity(a: np.ndarray, b: np.ndarray, weights: str, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of SSIM for every window inside a frame `(H, W)`: luminance, and contrast with structure."""
    line, unbiased = WINDOWS[weights]
    window = np.outer(line, line)
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    x, y = a.astype(np.float64), b.astype(np.float64)
    views = (np.lib.stride_tricks.sliding_window_view(p, window.shape) for p in (x, y, x * x, y * y, x * y))
    mean_x, mean_y, xx, yy, xy = (np.einsum("yxij,ij->yx", view, window) for view in views)
    var_x, var_y = unbiased * (xx - mean_x**2), unbiased * (yy - mean_y**2)
    cov = unbiased * (xy - mean_x * mean_y)
    luma = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luma, (2 * cov + c2) / (var_x + var_y + c2)


# Bytes with equal weights have a body of their own, in whole numbers: `ssim_box.py`.
# Both others filter four moments: s, d, s^2 and d^2 of the sum s = x + y and the difference d = x - y, since
#     2 mean_x mean_y + c1 = mean_x^2 + mean_y^2 + c1 - mean_d^2,    2 cov + c2 = var_x + var_y + c2 - var_d
# and the halves of s and d give mean_x^2 + mean_y^2 and var_x + var_y.  What makes frames unlike thus never drowns in
# the rounding of large float32 moments, and equal frames give exactly 1.  Samples are in 8-bit scale; s and d are taken
# less a centre near their mean: variances do not depend on it, and are rounded less.
C1, C2 = (K1 * 255) ** 2, (K2 * 255) ** 2
STRIP = 6 * LANES  # columns done at a time: four moments x 11 rows of them stay in the L1 cache


PITCH = STRIP + 2 * LANES  # a line of them, with what the window reaches into and whole vectors read


@njit(nogil=True, fastmath={"contract"})
def _moments(p, q, size, scale, centre_s, centre_d, to):
    """Four lines of moments, each PITCH on, of `size` samples of two lines."""
    for i in range(size):
        x, y = np.float32(p[i]), np.float32(q[i])
        s, d = (x + y) * scale - centre_s, (x - y) * scale - centre_d
        to[i] = s
        to[i + PITCH] = d
        to[i + 2 * PITCH] = s * s
        to[i + 3 * PITCH] = d * d


@njit(nogil=True)
def _weigh_four(source, step, places, weights, count):
    """Four weighted sums of vectors: those at `places`, and at the same places `step`, 2 and 3 `step` on."""
    zero = splat(np.float32(0))
    s, d, ss, dd = zero, zero, zero, zero
    for k in range(count):
        w, i = splat(weights[k]), places[k]
        s = weigh(s, load(source, i), w)
        d = weigh(d, load(source, i + step), w)
        ss = weigh(ss, load(source, i + 2 * step), w)
        dd = weigh(dd, load(source, i + 3 * step), w)
    return s, d, ss, dd


@njit(nogil=True)
def _similar(s, d, ss, dd, unbiased, centre_s, centre_d):
    """Of vectors of weighted moments: SSIM, and its factor for contrast and structure."""
    half = splat(np.float32(0.5))
    var_d = mul(splat(unbiased), sub(dd, mul(d, d)))
    var_s = mul(splat(unbiased), sub(ss, mul(s, s)))
    variances = weigh(splat(np.float32(C2)), half, add(var_s, var_d))
    s, d = add(s, splat(centre_s)), add(d, splat(centre_d))
    d = mul(d, d)
    means = weigh(splat(np.float32(C1)), half, weigh(d, s, s))
    structure = div(sub(variances, var_d), variances)
    return mul(div(sub(means, d), means), structure), structure


@njit(nogil=True)
def _centres(p, q, size, scale):
    """The means of s and d along a stretch of a line."""
    s, d = 0.0, 0.0
    for x in range(size):
        s += float(p[x]) + float(q[x])
        d += float(p[x]) - float(q[x])
    return np.float32(s * scale / size), np.float32(d * scale / size)


@njit(nogil=True)
def _frame(a, b, t, low, high, window, scale, unbiased):
    """The sums of both over the windows that begin in lines `low` to `high` of frame `t`."""
    (height, width), count = a.shape[1:], window.shape[0]
    reach = count - 1
    columns = width - reach
    line_a, ring_a = np.zeros(4 * PITCH, np.float32), np.zeros(count * 4 * STRIP + LANES, np.float32)
    values_a, beside_a, above_a = np.empty(2 * LANES, np.float32), np.arange(count), np.empty(count, np.intp)
    line, values, weights = pointer(line_a), pointer(values_a), pointer(window)
    beside, above = pointer(beside_a), pointer(above_a)
    ring = after(pointer(ring_a), -ring_a.ctypes.data % 64 // 4)  # vectors lie within cache lines
    total, total_structure = 0.0, 0.0
    for left in range(0, columns, STRIP):
        size = min(STRIP, columns - left)
        whole, corner = size // LANES * LANES, t * height * width + left
        middle = corner + (low + high + reach) // 2 * width
        centre_s, centre_d = _centres(after(pointer(a), middle), after(pointer(b), middle), size + reach, scale)
        slot = 0  # where the next line's sums go; the oldest are there
        for y in range(low, high + reach):
            p, q = after(pointer(a), corner + y * width), after(pointer(b), corner + y * width)
            _moments(p, q, size + reach, scale, centre_s, centre_d, line)
            to = after(ring, slot * 4 * STRIP)
            for x in range(0, size, LANES):
                s, d, ss, dd = _weigh_four(after(line, x), PITCH, beside, weights, count)
                store(to, x, s)
                store(to, x + STRIP, d)
                store(to, x + 2 * STRIP, ss)
                store(to, x + 3 * STRIP, dd)
            slot = slot + 1 if slot < reach else 0
            if y < low + reach:
                continue
            for k in range(count):
                above[k] = (slot + k if slot + k < count else slot + k - count) * 4 * STRIP
            sums, structures = splat(np.float32(0)), splat(np.float32(0))
            for x in range(0, size, LANES):
                s, d, ss, dd = _weigh_four(after(ring, x), STRIP, above, weights, count)
                similar, structure = _similar(s, d, ss, dd, unbiased, centre_s, centre_d)
                if x < whole:
                    sums, structures = add(sums, similar), add(structures, structure)
                    continue
                store(values, 0, similar)
                store(values, LANES, structure)
                for i in range(size - whole):
                    total += values[i]
                    total_structure += values[LANES + i]
            total += lane_sum(sums)
            total_structure += lane_sum(structures)
    keep(line_a, ring_a, values_a, beside_a, above_a, window, a, b)
    return total, total_structure


@njit(parallel=True, cache=True, nogil=True)
def _sums(a, b, start, weights, scale, unbiased, parts):
    pieces, rows = parts.shape[1], a.shape[1] - weights.shape[0] + 1
    for task in prange(parts.shape[0] * pieces):
        n, piece = task // pieces, task % pieces
        low, high = piece * rows // pieces, (piece + 1) * rows // pieces
        parts[n, piece, 0], parts[n, piece, 1] = _frame(a, b, start + n, low, high, weights, scale, unbiased)


def exact(line: np.ndarray) -> np.ndarray:
    """Weights as float32 that still sum to exactly 1: else every variance is off by a share of the squared mean."""
    line = np.rint(line * 2**26) / 2**26
    line[len(line) // 2] += 1 - line.sum()
    return line.astype(np.float32)


def means(a: np.ndarray, b: np.ndarray, start: int, count: int, weights: str, bits: int) -> np.ndarray:
    """`(count, 2)`: the means of SSIM and of its contrast and structure, over frames `start` on, by the Numba body."""
    line, unbiased = exact(WINDOWS[weights][0]), np.float32(WINDOWS[weights][1])
    height, width = a.shape[1:]
    parts = np.empty((count, 1 if count >= 4 * numba.get_num_threads() else max(1, min(8, height // 48)), 2))
    _sums(a, b, start, line, np.float32(255 / ((1 << bits) - 1)), unbiased, parts)
    return parts.sum(1) / ((height - len(line) + 1) * (width - len(line) + 1))


@ssim.cpu
def _(a, b, out, start, weights, bits):
    if a.dtype == np.uint8 and weights == "uniform":
        out[:] = ssim_box.means(a, b, start, len(out), C1, C2)
    else:
        out[:] = means(a, b, start, len(out), weights, bits)[:, 0]


SPAN = 32  # rows a CUDA block walks down


def similar_launch(function: str, a: Any, b: Any, start: int, count: int, weights: str, bits: int) -> Launch:
    """The launch that sums SSIM and its contrast and structure block by block; its third argument takes the sums."""
    line, unbiased = exact(WINDOWS[weights][0]), WINDOWS[weights][1]
    reach, i, f = len(line) - 1, np.int32, np.float32
    grid = (-(-(a.shape[2] - reach) // 128), -(-(a.shape[1] - reach) // SPAN), count)
    parts = empty_like_backend(a, (count, grid[0] * grid[1], 2), np.float64)
    half = np.zeros(6, np.float32)
    half[: reach // 2 + 1] = line[reach // 2 :]
    facts = f(255 / ((1 << bits) - 1)), f(unbiased), i(reach), *(f(w) for w in half)
    return Launch(function, grid, (128, 1, 1), (a, b, parts, i(start), i(a.shape[1]), i(a.shape[2]), *facts))


def _plan(arrays: list[Any], out: Any, start: int, weights: str, bits: int) -> list[Launch]:
    count, reach = out.shape[0], len(WINDOWS[weights][0]) - 1
    sums = similar_launch("similar", *arrays, start, count, weights, bits)
    parts, samples = sums.args[2], (arrays[0].shape[1] - reach) * (arrays[0].shape[2] - reach)
    finish = (parts, out, np.int32(count), np.int32(parts.shape[1]), np.float64(samples))
    return [sums, Launch("mean", (-(-count // 128), 1, 1), (128, 1, 1), finish)]


ssim.cuda("ssim.cu", _plan)
