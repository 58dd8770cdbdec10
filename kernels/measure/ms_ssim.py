"""Structural similarity at five sizes of the picture, one value per frame.

Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality assessment", Asilomar
Conference on Signals, Systems and Computers, 2003, with the weights of its table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Launch, kernel
from kernels.measure.psnr import one_value_per_frame
from kernels.measure.ssim import WINDOWS, means, similar_launch, similarity

#: From the full size down, each half the one before.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
REACH = len(WINDOWS["gaussian"][0]) - 1


@kernel(outputs=one_value_per_frame, smallest=(16 * REACH + 16, 16 * REACH + 16))
def ms_ssim(a, b, bits: Bits = 0):
    """Says how alike two clips look from near and from far, frame by frame: 1 for equal frames.

    The product over five sizes of the mean contrast and structure of SSIM (Gaussian window), each to the power of its
    weight; the smallest size adds luminance.  A mean below 0 counts as 0.  From size to size the picture is averaged
    over 2x2 samples; the last row or column of an odd size repeats.

    a, b : `(T, H, W)` uint8, uint16 or float32, one plane each, at least 176x176.
    Returns `(T,)` float64.
    """
    peak = (1 << depth(a, bits)) - 1
    result = np.ones(len(a))
    for n in range(len(a)):
        x, y = a[n].astype(np.float64), b[n].astype(np.float64)
        for level, weight in enumerate(WEIGHTS):
            if level:
                x, y = (np.pad(p, [(0, s % 2) for s in p.shape], mode="edge") for p in (x, y))
                x, y = ((p[::2, ::2] + p[::2, 1::2] + p[1::2, ::2] + p[1::2, 1::2]) / 4 for p in (x, y))
            luma, structure = similarity(x, y, "gaussian", peak)
            last = level == len(WEIGHTS) - 1
            result[n] *= max((luma * structure if last else structure).mean(), 0.0) ** weight
    return result


@njit(parallel=True, cache=True, nogil=True)
def _halve(src, start, scale, out):
    height, width = src.shape[1:]
    for n in prange(out.shape[0]):
        t = start + n
        for y in range(out.shape[1]):
            low = min(2 * y + 1, height - 1)
            for x in range(width // 2):
                top = np.float32(src[t, 2 * y, 2 * x]) + np.float32(src[t, 2 * y, 2 * x + 1])
                out[n, y, x] = (top + np.float32(src[t, low, 2 * x]) + np.float32(src[t, low, 2 * x + 1])) * scale
            if width % 2:
                last = np.float32(src[t, 2 * y, width - 1]) + np.float32(src[t, low, width - 1])
                out[n, y, width // 2] = last * 2 * scale


@ms_ssim.cpu
def _(a, b, out, start, bits):
    out[:] = 1
    scale = 255 / ((1 << bits) - 1)
    for level, weight in enumerate(WEIGHTS):
        if level:
            height, width = (-(-s // 2) for s in a.shape[1:])
            halves = [np.empty((len(out), height, width), np.float32) for _ in range(2)]
            for src, half in zip((a, b), halves, strict=True):
                _halve(src, start, np.float32(scale / 4), half)
            a, b, start, bits, scale = *halves, 0, 8, 1.0
        last = level == len(WEIGHTS) - 1
        out *= np.maximum(means(a, b, start, len(out), "gaussian", bits)[:, 0 if last else 1], 0) ** weight


def _plan(arrays: list[Any], out: Any, start: int, bits: int) -> list[Launch]:
    a, b = arrays
    count, i, f = out.shape[0], np.int32, np.float32
    scale, function, launches, finish = 255 / ((1 << bits) - 1), "similar", [], []
    for level in range(len(WEIGHTS)):
        if level:
            height, width = (-(-s // 2) for s in a.shape[1:])
            halves = [empty_like_backend(a, (count, height, width), np.float32) for _ in range(2)]
            for src, half in zip((a, b), halves, strict=True):
                sizes = i(start), i(src.shape[1]), i(src.shape[2]), i(height), i(width), f(scale / 4)
                name = "halve" if level == 1 else "halve_again"
                launches.append(Launch(name, (-(-width // 128), height, count), (128, 1, 1), (src, half, *sizes)))
            a, b, start, bits, scale, function = *halves, 0, 8, 1.0, "similar_again"
        launches.append(similar_launch(function, a, b, start, count, "gaussian", bits))
        parts = launches[-1].args[2]
        samples = (a.shape[1] - REACH) * (a.shape[2] - REACH)
        finish += [parts, i(parts.shape[1]), np.float64(1 / samples), np.float64(WEIGHTS[level])]
    return [*launches, Launch("product", (-(-count // 128), 1, 1), (128, 1, 1), (out, i(count), *finish))]


ms_ssim.cuda("ms_ssim.cu", _plan)
