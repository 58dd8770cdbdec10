"""How much a clip flickers: brightness that changes from frame to frame where the reference does not."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.measure.psnr import one_value_per_frame


@kernel(halo=Halo(frames=1), outputs=one_value_per_frame)
def flicker(
    frames, reference, block: Annotated[int, Knob(1, 64, step=1, unit="pixels", soft=(1, 16))] = 4, bits: Bits = 0
):
    """Says how much each frame changes, in levels, against the one before it where the reference does not.

    With D the difference of both clips averaged over squares of `block` samples (those at the right and lower edge may
    be smaller), it is the root mean square over all squares of `D[t] - D[t - 1]`.  A wrong but steady picture has 0;
    independent noise of deviation s has sqrt(2) s / block; a brightness that alternates by d has d.

    frames, reference : `(T, H, W)` uint8, uint16 or float32, one plane each, aligned in time and place.
    Returns `(T,)` float64 in levels of 8-bit video; the first frame has no frame before it: NaN.
    """
    height, width = frames.shape[1:]
    apart = frames.astype(np.float64) - reference.astype(np.float64)
    rows, columns = np.arange(0, height, block), np.arange(0, width, block)
    sums = np.add.reduceat(np.add.reduceat(apart, rows, axis=1), columns, axis=2)
    sizes = np.outer(np.minimum(block, height - rows), np.minimum(block, width - columns))
    change = np.diff(sums / sizes, axis=0)
    rms = np.sqrt((change**2).mean(axis=(1, 2))) / 2.0 ** (depth(frames, bits) - 8)
    return np.concatenate([[np.nan], rms])


@njit(parallel=True, cache=True, nogil=True)
def _square_means(a, b, first, block, out):
    """Mean difference of each square, for frames `first ..`."""
    height, width = a.shape[1:]
    rows = out.shape[1]
    for task in prange(out.shape[0] * rows):
        n, row = task // rows, task % rows
        line = np.zeros(out.shape[2], np.float64)
        low, high = row * block, min((row + 1) * block, height)
        for y in range(low, high):
            p, q = a[first + n, y], b[first + n, y]
            for i in range(line.shape[0]):
                total = 0.0
                for x in range(i * block, min((i + 1) * block, width)):
                    total += float(p[x]) - float(q[x])
                line[i] += total
        for i in range(line.shape[0]):
            out[n, row, i] = line[i] / ((high - low) * (min((i + 1) * block, width) - i * block))


@flicker.cpu
def _(frames, reference, out, start, block, bits):
    height, width = frames.shape[1:]
    before = min(start, 1)
    means = np.empty((len(out) + before, -(-height // block), -(-width // block)))
    _square_means(frames, reference, start - before, block, means)
    change = np.diff(means, axis=0)
    rms = np.sqrt((change**2).mean(axis=(1, 2))) / 2.0 ** (bits - 8)
    out[:] = rms if before else np.concatenate([[np.nan], rms])


BLOCKS = 32


def _plan(arrays: list[Any], out: Any, start: int, block: int, bits: int) -> list[Launch]:
    a, b = arrays
    i, count = np.int32, out.shape[0]
    parts = empty_like_backend(a, (count, BLOCKS), np.float64)
    sizes = i(start), i(a.shape[1]), i(a.shape[2]), i(block)
    return [
        Launch("square_changes", (BLOCKS, count, 1), (256, 1, 1), (a, b, parts, *sizes)),
        Launch(
            "root_mean", (-(-count // 256), 1, 1), (256, 1, 1),
            (parts, out, i(count), *sizes, np.float64(2.0 ** (bits - 8))),
        ),
    ]  # fmt: skip


flicker.cuda("flicker.cu", _plan)
