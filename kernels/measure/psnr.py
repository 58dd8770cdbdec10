"""Mean squared error and peak signal-to-noise ratio, one value per frame.

    PSNR = 10 log10(peak^2 / MSE),  peak = 2^bits - 1 (255 for float32)

as in ITU-T J.340 and every comparison of pictures since; equal frames give infinity.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Launch, kernel
from kernels.measure.squares import BLOCK, LONGEST, squares_apart
from kernels.tasks import next_task


def one_value_per_frame(shapes, dtype, knobs):
    """The `outputs=` fact of a measure: `(T,)` float64."""
    return [((shapes[0][0],), np.float64)]


@kernel(outputs=one_value_per_frame)
def mse(a, b):
    """Says how far two clips are apart: the mean squared difference of their samples, frame by frame.

    a, b : `(T, H, W)` uint8, uint16 or float32, one plane each.
    Returns `(T,)` float64, in squared levels of the planes' own depth; integer frames are summed exactly.
    """
    return np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2, axis=(1, 2))


@kernel(outputs=one_value_per_frame)
def psnr(a, b, bits: Bits = 0):
    """Says how far two clips are apart, in decibels below the peak level, frame by frame; higher is nearer.

    a, b : `(T, H, W)` uint8, uint16 or float32, one plane each; `bits` is the depth of uint16 planes.
    Returns `(T,)` float64, dB; infinity for equal frames.
    """
    return to_decibels(mse.definition(a, b), depth(a, bits))


def to_decibels(error: np.ndarray, bits: int) -> np.ndarray:
    """PSNR in dB of mean squared errors; infinity where the error is zero."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(((1 << bits) - 1) ** 2 / error)


@njit(nogil=True)
def _squares(a, b, low, high):
    """The sum of squared differences of two flat arrays of bytes from `low` to `high`."""
    total = np.int64(0)
    while high - low >= BLOCK:
        count = min(high - low, LONGEST) // BLOCK * BLOCK
        total += squares_apart(a, low, b, low, count)
        low += count
    for x in range(low, high):
        d = np.int64(a[x]) - np.int64(b[x])
        total += d * d
    return total


@njit(cache=True, nogil=True)
def _squares_8bit(a, b, begin, size, parts, taken):
    """Pieces of frames of `size` bytes, the first of which begins at `begin`, until none is left to take."""
    pieces = parts.shape[1]
    task = next_task(taken)
    while task < parts.size:
        n, piece = task // pieces, task % pieces
        low = begin + n * size
        low, high = low + piece * size // pieces, low + (piece + 1) * size // pieces
        parts[n, piece] = _squares(a, b, low, high)
        task = next_task(taken)


@njit(parallel=True, cache=True, nogil=True)
def _squares_by_all(a, b, begin, size, parts, taken, threads):
    for _ in prange(threads):
        _squares_8bit(a, b, begin, size, parts, taken)


@njit(parallel=True, cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _squares_wide(a, b, parts):
    size, pieces = a.shape[1], parts.shape[1]
    for task in prange(parts.size):
        n, piece = task // pieces, task % pieces
        p = a[n, piece * size // pieces : (piece + 1) * size // pieces]
        q = b[n, piece * size // pieces : (piece + 1) * size // pieces]
        total = 0.0
        for x in range(p.shape[0]):
            d = np.float64(p[x]) - np.float64(q[x])
            total += d * d
        parts[n, piece] = total


SMALL = 3 << 20  # bytes of both clips that one thread has read by the time that another would be awake


@mse.cpu
def _(a, b, out, start):
    count, size, threads = len(out), a.shape[1] * a.shape[2], numba.get_num_threads()
    whole = count >= 4 * threads
    parts = out.reshape(count, 1) if whole else np.empty((count, 8))
    if a.dtype == np.uint8:
        work = a.reshape(-1), b.reshape(-1), start * size, size, parts, np.zeros(1, np.int64)
        if threads == 1 or 2 * count * size < SMALL:
            _squares_8bit(*work)
        else:
            _squares_by_all(*work, threads)
    else:
        _squares_wide(*(p[start : start + count].reshape(count, -1) for p in (a, b)), parts)
    np.divide(out if whole else parts.sum(1), size, out)


@psnr.cpu
def _(a, b, out, start, bits):
    mse.cpu_body(a, b, out, start)
    out[:] = to_decibels(out, bits)


BLOCKS = 64  # blocks that share one frame


def _plan(arrays: list[Any], out: Any, start: int, bits: int = 0) -> list[Launch]:
    a, b = arrays
    size, count = a.shape[1] * a.shape[2], out.shape[0]
    parts = empty_like_backend(a, (count, BLOCKS), np.float64)
    peak = np.float64((1 << bits) - 1 if bits else 0)
    return [
        Launch("sum_squares", (BLOCKS, count, 1), (256, 1, 1), (a, b, parts, np.int32(start), np.int64(size))),
        Launch("mean", (-(-count // 256), 1, 1), (256, 1, 1), (parts, out, np.int32(count), np.int64(size), peak)),
    ]


mse.cuda("psnr.cu", _plan)
psnr.cuda("psnr.cu", _plan)
