"""SSIM with a window of equal weights, of bytes, in whole numbers up to the quotient.

With Sx and Sy the sums of a window's n = 49 samples, Q that of x^2 + y^2 and P that of x y, n^2 times the means and
variances of the paper's formula are

    2 Sx Sy,    Sx^2 + Sy^2,    2 (n P - Sx Sy),    n Q - Sx^2 - Sy^2

which are whole numbers below 2^31: nothing drowns in rounding.  Sums down the columns run on from line to line (the
line that enters is added, the one that leaves is taken away), so a window costs the same whatever its size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, types
from numba.extending import intrinsic

from kernels.lanes import wide_vectors
from kernels.tasks import next_task

SIDE = 7
SAMPLES = SIDE * SIDE
LINES = 8  # whose SSIM is added up in float32
_ROW: dict[str, Any] = {"cache": True, "nogil": True}


def _in_32_bits(name: str) -> Any:
    """`a + b`, `a - b` or `a * b` of int32: Numba takes 64 bits, where LLVM then leaves what is made of bytes."""

    @intrinsic
    def operation(typing, a, b):
        def emit(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return types.int32(types.int32, types.int32), emit

    return operation


add, sub, mul = (_in_32_bits(name) for name in ("add", "sub", "mul"))

# Rows are named by the flat array they lie in and where they begin there: Numba counts references for every slice.
# Unsigned positions spare the test whether a position counts from the end.


@njit(**_ROW)
def _enter(a, b, new, x_sums, y_sums, squares, products, n):
    """Adds a line of both frames to the sums down the columns."""
    wide_vectors()
    for k in range(n):
        i = np.uint64(k)
        x, y = np.int32(a[new + i]), np.int32(b[new + i])
        x_sums[i] = np.int16(x_sums[i] + np.int16(x))
        y_sums[i] = np.int16(y_sums[i] + np.int16(y))
        squares[i] = add(squares[i], add(mul(x, x), mul(y, y)))
        products[i] = add(products[i], mul(x, y))


@njit(**_ROW)
def _move(a, b, new, old, x_sums, y_sums, squares, products, n):
    """Adds a line to the sums down the columns and takes one away."""
    wide_vectors()
    for k in range(n):  # apart from the next loop, since 16-bit lanes are twice as many
        i = np.uint64(k)
        x_sums[i] = np.int16(x_sums[i] + np.int16(np.int16(a[new + i]) - np.int16(a[old + i])))
        y_sums[i] = np.int16(y_sums[i] + np.int16(np.int16(b[new + i]) - np.int16(b[old + i])))
    for k in range(n):
        i = np.uint64(k)
        x, y, u, v = np.int32(a[new + i]), np.int32(b[new + i]), np.int32(a[old + i]), np.int32(b[old + i])
        squares[i] = add(squares[i], sub(add(mul(x, x), mul(y, y)), add(mul(u, u), mul(v, v))))
        products[i] = add(products[i], sub(mul(x, y), mul(u, v)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _similar(x_sums, y_sums, squares, products, x_boxes, y_boxes, threes, fours, out, n, c1, c2, unbiased):
    """Adds the SSIM of a line of windows, from the sums down their columns; the arrays between are for use inside."""
    wide_vectors()
    one, two, three, six = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(6)
    for k in range(n):
        i = np.uint64(k)
        x = np.int16(np.int16(x_sums[i] + x_sums[i + one]) + np.int16(x_sums[i + two] + x_sums[i + three]))
        y = np.int16(np.int16(y_sums[i] + y_sums[i + one]) + np.int16(y_sums[i + two] + y_sums[i + three]))
        u, v = i + three, i + six
        x = np.int16(x + np.int16(np.int16(x_sums[u + one] + x_sums[u + two]) + x_sums[v]))
        x_boxes[i] = x
        y_boxes[i] = np.int16(y + np.int16(np.int16(y_sums[u + one] + y_sums[u + two]) + y_sums[v]))
    for k in range(n + 3):
        i = np.uint64(k)
        threes[i] = add(add(squares[i], squares[i + one]), squares[i + two])
        fours[i] = add(add(products[i], products[i + one]), products[i + two])
    for k in range(n):
        i = np.uint64(k)
        # Told to be positive, two 16-bit factors are one instruction.
        x, y = np.int32(x_boxes[i] & np.int16(32767)), np.int32(y_boxes[i] & np.int16(32767))
        square = add(add(threes[i], threes[i + three]), squares[i + six])
        product = add(add(fours[i], fours[i + three]), products[i + six])
        both, means = mul(mul(x, y), 2), add(mul(x, x), mul(y, y))
        alike, spread = sub(mul(product, 2 * SAMPLES), both), sub(mul(square, SAMPLES), means)
        above = (np.float32(both) + c1) * (np.float32(alike) * unbiased + c2)
        below = (np.float32(means) + c1) * (np.float32(spread) * unbiased + c2)
        out[i] += above / below


@njit(cache=True, nogil=True)
def _take_sum(values, n):
    total = 0.0
    for k in range(n):
        total += values[k]
        values[k] = 0
    return total


@njit(cache=True, nogil=True)
def _sums(a, b, shape, start, c1, c2, unbiased, parts, taken):
    """Sums of SSIM over pieces of frames `start ..`, until none is left to take; `a` and `b` are flat."""
    height, width = shape[1:]
    rows, columns, pieces = height - SIDE + 1, width - SIDE + 1, parts.shape[1]
    x_sums, y_sums, squares, products = _blank(width)
    x_boxes, y_boxes, threes, fours = _blank(width)
    out = np.zeros(width, np.float32)
    task = next_task(taken)
    while task < parts.size:
        n, piece = task // pieces, task % pieces
        first = (start + n) * height * width
        low, high = piece * rows // pieces, (piece + 1) * rows // pieces
        for x in range(width):
            x_sums[x] = y_sums[x] = squares[x] = products[x] = 0
        for y in range(low, low + SIDE):
            _enter(a, b, np.uint64(first + y * width), x_sums, y_sums, squares, products, width)
        total = 0.0
        for y in range(low, high):
            if y > low:
                old = first + (y - 1) * width
                _move(a, b, np.uint64(old + SIDE * width), np.uint64(old), x_sums, y_sums, squares, products, width)
            _similar(x_sums, y_sums, squares, products, x_boxes, y_boxes, threes, fours, out, columns, c1, c2, unbiased)
            if (y - low) % LINES == LINES - 1 or y == high - 1:
                total += _take_sum(out, columns)
        parts[n, piece] = total
        task = next_task(taken)


@njit(cache=True, nogil=True)
def _blank(width):
    return np.zeros(width, np.int16), np.zeros(width, np.int16), np.zeros(width, np.int32), np.zeros(width, np.int32)


@njit(parallel=True, cache=True, nogil=True)
def _sums_by_all(a, b, shape, start, c1, c2, unbiased, parts, taken, threads):
    for _ in prange(threads):
        _sums(a, b, shape, start, c1, c2, unbiased, parts, taken)


def means(a: np.ndarray, b: np.ndarray, start: int, count: int, c1: float, c2: float) -> np.ndarray:
    """`(count,)`: the means of SSIM of frames `start` on of two clips `(T, H, W)` uint8, with sample covariances.

    c1, c2 : the formula's constants at 255 levels.
    """
    (height, width), threads = a.shape[1:], get_num_threads()
    parts = np.empty((count, 1 if count >= 4 * threads else max(1, min(8, height // 48))))
    facts = (np.float32(v) for v in (c1 * SAMPLES**2, c2 * SAMPLES**2, SAMPLES / (SAMPLES - 1)))
    work = a.reshape(-1), b.reshape(-1), a.shape, start, *facts, parts, np.zeros(1, np.int64)
    if threads == 1:
        _sums(*work)
    else:
        _sums_by_all(*work, threads)
    return parts.sum(1) / ((height - SIDE + 1) * (width - SIDE + 1))
