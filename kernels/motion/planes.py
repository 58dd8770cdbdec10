"""Frames made ready for motion: repeated edges, samples between samples, smaller pictures; and the grid of blocks.

Blocks of `block` samples start every half block, from one half block outside: every sample lies in four of them.
Samples half-way come from the six-tap filter 1, -5, 20, 20, -5, 1 over 32 of ITU-T H.264, 8.4.2.2.1, across, down, or
across and then down with rounding after each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TAPS = (1, -5, 20, 20, -5, 1)
LEVELS = 4  # sizes of the pyramid: 1, 1/2, 1/4, 1/8


def grid(size: int, block: int) -> int:
    """Blocks along a side of `size` samples."""
    return -(-size // (block // 2)) + 1


def pyramid(height: int, width: int, block: int) -> list[tuple[int, int]]:
    """Sizes from the frame's own down to 1/8, as long as two blocks fit."""
    sizes = [(height, width)]
    while len(sizes) < LEVELS and min(sizes[-1]) >= 4 * block:
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    return sizes


# Definitions


def padded(frame: np.ndarray, pad: int) -> np.ndarray:
    """The frame with its edges repeated."""
    return np.pad(frame, pad, mode="edge")


def smaller(frame: np.ndarray) -> np.ndarray:
    """Means of 2x2 samples, rounded; an odd last row or column counts twice."""
    even = np.pad(frame, [(0, n % 2) for n in frame.shape], mode="edge").astype(np.int32)
    return ((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) >> 2).astype(frame.dtype)


def halfway(plane: np.ndarray, axis: int, peak: int) -> np.ndarray:
    """The samples half-way to the next along `axis`; peak 0 is for float."""
    count = plane.shape[axis]
    near = [plane.take(np.clip(np.arange(count) + k, 0, count - 1), axis).astype(np.float64) for k in range(-2, 4)]
    total = sum(n * tap for n, tap in zip(near, TAPS, strict=True))
    return (np.clip(np.floor((total + 16) / 32), 0, peak) if peak else total / 32).astype(plane.dtype)


def phases(plane: np.ndarray, peak: int) -> np.ndarray:
    """The plane, half a sample to the right, half down, both: `(4, height, width)`."""
    right = halfway(plane, 1, peak)
    return np.stack([plane, right, halfway(plane, 0, peak), halfway(right, 0, peak)])


def eight_bit(frames: np.ndarray, bits: int) -> np.ndarray:
    """Frames in the levels of 8-bit video, halves rounded up."""
    if frames.dtype.kind == "f":
        return np.clip(np.floor(frames + np.float32(0.5)), 0, 255).astype(np.uint8)
    up = 1 << (bits - 8) >> 1
    return np.minimum((frames.astype(np.int32) + up) >> (bits - 8), 255).astype(np.uint8)


# Numba.  Planes lie one behind the other in a flat array; `at` is where one starts.


@njit(cache=True, nogil=True)
def repeat_edges(plane, at, height, width, pad):
    """Fills the border of a padded plane whose middle is there already."""
    stride = width + 2 * pad
    for y in range(pad, pad + height):
        row = at + y * stride
        plane[row : row + pad] = plane[row + pad]
        plane[row + pad + width : row + stride] = plane[row + pad + width - 1]
    for y in range(pad):
        top, foot = at + y * stride, at + (pad + height + y) * stride
        plane[top : top + stride] = plane[at + pad * stride : at + (pad + 1) * stride]
        plane[foot : foot + stride] = plane[foot - (y + 1) * stride : foot - y * stride]


@njit(cache=True, nogil=True)
def shrink(plane, at, height, width, to, pad):
    """The smaller picture of a padded plane at `at`, padded, at `to`."""
    high, wide, stride = (height + 1) // 2, (width + 1) // 2, width + 2 * pad
    for y in range(high):
        up = at + (2 * y + pad) * stride + pad
        a, b = plane[up : up + 2 * wide], plane[up + stride : up + stride + 2 * wide]  # the border is repeated
        row = to + (y + pad) * (wide + 2 * pad) + pad
        out = plane[row : row + wide]
        for x in range(wide):
            s = np.int32(a[2 * x]) + np.int32(a[2 * x + 1]) + np.int32(b[2 * x]) + np.int32(b[2 * x + 1])
            out[x] = (s + np.int32(2)) >> np.int32(2)
    repeat_edges(plane, to, high, wide, pad)


@njit(cache=True, nogil=True, error_model="numpy")
def _six(out, a, b, c, d, e, f, peak):
    twenty, five, part = np.float32(20), np.float32(5), np.float32(1 / 32)
    if peak > 0:
        for x in range(out.shape[0]):
            v = twenty * (np.float32(c[x]) + np.float32(d[x])) - five * (np.float32(b[x]) + np.float32(e[x]))
            v = (v + (np.float32(a[x]) + np.float32(f[x])) + np.float32(16)) * part
            out[x] = np.int32(min(max(v, np.float32(0)), peak))
    else:
        for x in range(out.shape[0]):
            v = twenty * (np.float32(c[x]) + np.float32(d[x])) - five * (np.float32(b[x]) + np.float32(e[x]))
            out[x] = (v + (np.float32(a[x]) + np.float32(f[x]))) * part


@njit(cache=True, nogil=True)
def make_phases(plane, at, high, wide, peak):
    """The three half-way planes behind the (padded) plane at `at`; peak (float32) 0 is for float."""
    size = high * wide
    line = np.empty(wide + 5, plane.dtype)
    for y in range(high):
        row = at + y * wide
        line[2 : wide + 2] = plane[row : row + wide]
        line[:2], line[wide + 2 :] = line[2], line[wide + 1]
        _six(plane[row + size : row + size + wide], line[0:wide], line[1 : wide + 1], line[2 : wide + 2],
             line[3 : wide + 3], line[4 : wide + 4], line[5 : wide + 5], peak)  # fmt: skip
    for k in range(2):
        src, to = at + k * size, at + (k + 2) * size
        for y in range(high):
            p0 = src + max(y - 2, 0) * wide
            p1 = src + max(y - 1, 0) * wide
            p2 = src + y * wide
            p3 = src + min(y + 1, high - 1) * wide
            p4 = src + min(y + 2, high - 1) * wide
            p5 = src + min(y + 3, high - 1) * wide
            _six(plane[to + y * wide : to + (y + 1) * wide], plane[p0 : p0 + wide], plane[p1 : p1 + wide],
                 plane[p2 : p2 + wide], plane[p3 : p3 + wide], plane[p4 : p4 + wide], plane[p5 : p5 + wide],
                 peak)  # fmt: skip
