"""How much of a picture is combed: the saw-tooth edges that two fields of a moving scene leave when woven together.

The test of field matchers and comb filters (Decomb, TIVTC: a line is combed where it differs from both neighbours
in the same direction, but its neighbours of the same parity agree), made strict: five lines must alternate.
"""

from __future__ import annotations

from typing import Annotated, Any

import numba
import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Knob, Launch, kernel
from kernels.measure.psnr import one_value_per_frame

SPAN = 5  # samples of a line that are averaged, so that noise does not pass for combing


@kernel(outputs=one_value_per_frame, smallest=(5, SPAN))
def combing(frames, threshold: Annotated[float, Knob(0, 255, unit="levels", soft=(2, 40))] = 8.0, bits: Bits = 0):
    """Says how much of each frame is combed: the share of samples where five successive lines alternate.

    Each line is first averaged over five samples.  A sample is combed when of the five lines around it the three of
    its own parity all lie above the two of the other parity by more than `threshold`, or all below.  Still or
    progressive pictures give nearly 0, also with fine horizontal lines, unless these are a single line apart.

    frames : `(T, H, W)` uint8, uint16 or float32, one plane, at least 5x5.
    Returns `(T,)` float64, 0 to 1, of the samples that are two or more away from the edges.
    """
    wide = np.float32 if frames.dtype.kind == "f" else np.int64
    lines = frames.astype(wide)
    sums = lines[:, :, 0:-4]
    for k in range(1, SPAN):
        sums = sums + lines[:, :, k : k - 4 or None]
    own = np.stack([sums[:, 0:-4], sums[:, 2:-2], sums[:, 4:]])
    other = np.stack([sums[:, 1:-3], sums[:, 3:-1]])
    gap = np.maximum(own.min(0) - other.max(0), other.min(0) - own.max(0))
    return (gap > _limit(threshold, frames, depth(frames, bits))).mean(axis=(1, 2))


def _limit(threshold: float, frames: Any, bits: int) -> np.generic:
    """The threshold for sums of SPAN samples of this depth."""
    limit = threshold * SPAN * 2.0 ** (bits - 8)
    return np.float32(limit) if frames.dtype.kind == "f" else np.int32(np.floor(limit))


@njit(nogil=True)
def _sum_line(line, out):
    a, b, c, d, e = line[:-4], line[1:-3], line[2:-2], line[3:-1], line[4:]
    for x in range(out.shape[0]):
        s = out.dtype.type(a[x])
        s += out.dtype.type(b[x])
        s += out.dtype.type(c[x])
        s += out.dtype.type(d[x])
        s += out.dtype.type(e[x])
        out[x] = s


@njit(nogil=True)
def _count_combed(a, b, c, d, e, limit):
    found = np.int32(0)
    for x in range(a.shape[0]):
        high, low = max(a[x], c[x], e[x]), min(a[x], c[x], e[x])
        above, below = max(b[x], d[x]), min(b[x], d[x])
        found = np.int32(found + np.int32((low - above > limit) | (below - high > limit)))
    return found


@njit(parallel=True, cache=True, nogil=True)
def _combing(frames, start, limit, sample, parts):
    height, width = frames.shape[1:]
    pieces, rows = parts.shape[1], height - 4
    for task in prange(parts.size):
        n, piece = task // pieces, task % pieces
        src = frames[start + n]
        ring = np.empty((5, width - 4), sample.dtype)
        low, high = piece * rows // pieces, (piece + 1) * rows // pieces
        total = np.int64(0)
        for y in range(low, high + 4):
            _sum_line(src[y], ring[y % 5])
            if y >= low + 4:
                a, b, c = ring[(y - 4) % 5], ring[(y - 3) % 5], ring[(y - 2) % 5]
                total += _count_combed(a, b, c, ring[(y - 1) % 5], ring[y % 5], limit)
        parts[n, piece] = total


@combing.cpu
def _(frames, out, start, threshold, bits):
    height, width = frames.shape[1:]
    parts = np.empty((len(out), 1 if len(out) >= 4 * numba.get_num_threads() else max(1, min(8, height // 32))))
    sample = np.empty(0, {"u1": np.int16, "u2": np.int32, "f4": np.float32}[frames.dtype.str[1:]])
    limit = _limit(threshold, frames, bits)
    if sample.dtype == np.int16:
        limit = np.int16(limit)
    _combing(frames, start, limit, sample, parts)
    out[:] = parts.sum(1) / ((height - 4) * (width - 4))


BLOCKS = 64


def _plan(arrays: list[Any], out: Any, start: int, threshold: float, bits: int) -> list[Launch]:
    frames, count, i = arrays[0], out.shape[0], np.int32
    parts = empty_like_backend(frames, (count, BLOCKS), np.float64)
    sizes = i(start), i(frames.shape[1]), i(frames.shape[2])
    limit = _limit(threshold, frames, bits)
    return [
        Launch("count_combed", (BLOCKS, count, 1), (256, 1, 1), (frames, parts, *sizes, limit)),
        Launch("share", (-(-count // 256), 1, 1), (256, 1, 1), (parts, out, i(count), *sizes[1:])),
    ]


combing.cuda("combing.cu", _plan)
