"""Frames made ready for motion: repeated edges, samples between samples, smaller pictures; and the grid of blocks.

Blocks of `block` samples start every half block, from one half block outside: every sample lies in four of them.
Samples half-way come from the six-tap filter 1, -5, 20, 20, -5, 1 over 32 of ITU-T H.264, 8.4.2.2.1, across, down, or
across and then down with rounding after each.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.extending import overload

from kernels import lanes, simd
from kernels.arrays import empty_like_backend
from kernels.declare import Launch
from kernels.rows import copy_row

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


def at_once() -> int:
    """Frames that the Numba bodies work on at once: few stay near the processor, many call the other threads seldom."""
    return max(4, 2 * numba.get_num_threads())


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
        copy_row(plane[top : top + stride], plane[at + pad * stride : at + (pad + 1) * stride])
        copy_row(plane[foot : foot + stride], plane[foot - (y + 1) * stride : foot - y * stride])


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


@lanes.step(64)
def _between(a, b, c, d, e, f, peaks):
    return lanes.low(lanes.by_halves(lambda a, b, c, d, e, f: ((c + d) * 20 - (b + e) * 5 + (a + f) + 16) >> 5,
                                     a, b, c, d, e, f), peaks)  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _one(a, b, c, d, e, f, peak):
    v = np.float32(20) * (np.float32(c) + np.float32(d)) - np.float32(5) * (np.float32(b) + np.float32(e))
    v += np.float32(a) + np.float32(f)
    if peak > 0:
        return np.float32(np.int32(min(max((v + np.float32(16)) * np.float32(1 / 32), np.float32(0)), peak)))
    return v * np.float32(1 / 32)


@njit(cache=True, nogil=True, error_model="numpy")
def _plain(plane, to, a, b, c, d, e, f, count, peak):
    for x in range(count):
        plane[to + x] = _one(plane[a + x], plane[b + x], plane[c + x], plane[d + x], plane[e + x], plane[f + x], peak)


def _run(plane, to, a, b, c, d, e, f, count, peak, peaks):
    """`count` samples from `to` on, half-way between those from c and d on; `peaks` is a vector of peak."""
    raise NotImplementedError("for Numba alone")


@overload(_run, inline="always")  # called, with its arrays, it took twice the time of the line itself
def _run_of(plane, to, a, b, c, d, e, f, count, peak, peaks):
    def floats(plane, to, a, b, c, d, e, f, count, peak, peaks):
        if count < simd.LANES:
            _plain(plane, to, a, b, c, d, e, f, count, peak)
        else:
            for k in range(-(-count // simd.LANES)):
                x = min(k * simd.LANES, count - simd.LANES)
                near = simd.add(simd.load(plane, c + x), simd.load(plane, d + x))
                far = simd.add(simd.load(plane, a + x), simd.load(plane, f + x))
                between = simd.add(simd.load(plane, b + x), simd.load(plane, e + x))
                v = simd.weigh(far, near, simd.splat(np.float32(20)))
                v = simd.weigh(v, between, simd.splat(np.float32(-5)))
                simd.store(plane, to + x, simd.mul(v, simd.splat(np.float32(1 / 32))))

    def integers(plane, to, a, b, c, d, e, f, count, peak, peaks):
        lanes_ = peaks.shape[0]
        if count < lanes_:
            _plain(plane, to, a, b, c, d, e, f, count, peak)
        else:
            for k in range(-(-count // lanes_)):
                x = min(k * lanes_, count - lanes_)
                _between(plane, to + x, plane, a + x, b + x, c + x, d + x, e + x, f + x, peaks, 0)

    return floats if isinstance(plane.dtype, types.Float) else integers


@njit(cache=True, nogil=True, error_model="numpy")
def _across(plane, at, to, high, wide, peak):
    peaks = np.empty(64 // plane.itemsize, plane.dtype)
    peaks[:] = peak
    for y in range(high):
        row, end = at + y * wide, at + (y + 1) * wide - 1
        _run(plane, to + y * wide + 2, row, row + 1, row + 2, row + 3, row + 4, row + 5, wide - 5, peak, peaks)
        for k in range(5):  # two at the left, three at the right
            c = row + k if k < 2 else end - 4 + k
            plane[to + c - at] = _one(plane[max(c - 2, row)], plane[max(c - 1, row)], plane[c], plane[min(c + 1, end)],
                                      plane[min(c + 2, end)], plane[min(c + 3, end)], peak)  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _down(plane, at, to, high, wide, peak):
    peaks = np.empty(64 // plane.itemsize, plane.dtype)
    peaks[:] = peak
    for y in range(high):
        a, b = at + max(y - 2, 0) * wide, at + max(y - 1, 0) * wide
        c, d = at + y * wide, at + min(y + 1, high - 1) * wide
        e, f = at + min(y + 2, high - 1) * wide, at + min(y + 3, high - 1) * wide
        _run(plane, to + y * wide, a, b, c, d, e, f, wide, peak, peaks)


@njit(cache=True, nogil=True)
def make_phases(plane, at, high, wide, peak):
    """The three half-way planes behind the padded plane at `at`; peak (float32) 0 is for float."""
    size = high * wide
    _across(plane, at, at + size, high, wide, peak)
    _down(plane, at, at + 2 * size, high, wide, peak)
    _down(plane, at + size, at + 3 * size, high, wide, peak)


@njit(cache=True, nogil=True, error_model="numpy")
def pad_frame(frame, planes, at, high, wide, peak):
    """A frame with repeated edges (`high` above and below, `wide` left and right), and its half-way planes."""
    height, width = frame.shape
    stride = width + 2 * wide
    for y in range(-high, height + high):
        row, src = at + (y + high) * stride, frame[min(max(y, 0), height - 1)]
        planes[row : row + wide] = src[0]
        copy_row(planes[row + wide : row + wide + width], src)
        planes[row + wide + width : row + stride] = src[width - 1]
    make_phases(planes, at, height + 2 * high, stride, peak)


# CUDA.


def padded_planes(frames: Any, begin: int, stop: int, high: int, wide: int, peak: int) -> tuple[Any, list[Launch]]:
    """Frames begin .. stop - 1 with repeated edges and their half-way planes, `(T, 4, H, W)`, and `phases.cuh`'s
    launches that fill them.  peak 0 is for float."""
    i, (height, width) = np.int32, frames.shape[-2:]
    full = height + 2 * high, width + 2 * wide
    planes = empty_like_backend(frames, (stop - begin, 4, *full), frames.dtype)
    every, threads = (-(-full[1] // 128), full[0], stop - begin), (128, 1, 1)
    launches = [Launch("prepare", every, threads, (frames, planes, *map(i, (begin, height, width, high, wide))))]
    for source, to, sideways in ((0, 1, 1), (0, 2, 0), (1, 3, 0)):
        launches.append(Launch("phase", every, threads, (planes, *map(i, (source, to, *full, sideways, peak)))))
    return planes, launches
