"""Thresholding of overlapped space-time blocks in the frequency domain.

The family of dfttest: blocks of 16x16 samples of some frames, every 4 samples, under a window whose square sums to a
constant; of their three-dimensional Fourier transform what does not stand out from white noise is removed, and the
middle frame is put back.  Donoho and Johnstone: "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994,
for the threshold; Yaroslavsky: "Local adaptive image restoration and enhancement with the use of DFT and DCT in a
running window", SPIE 2825, 1996, for overlapped blocks.  The step of the threshold is a short ramp, so that rounding
cannot decide.

How it is computed: the window and the transform of 16 real samples are one 16x16 matrix (constant, 7 cosines, the
alternating row, 7 sines), so a block is `M X M'`, two products; coefficients of rows and columns are combined to the
complex values F(u, v) and F(u, -v); along time, with the middle frame as origin, the sums and differences of frames
equally far from it are enough, and the middle frame of the result is just the sum of what is kept.  Per block and frame
that is 1024 vector multiplications-and-additions of 16 samples, whatever the radius.

Sums in float32, in another order in each body: integers may differ by one level (tolerance 1).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.arrays import beside, depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.denoise.products import product16

SIDE, STEP = 16, 4
SLOTS = 144  # complex values of a block: 7 x 16 for rows 1-7, 8 each for rows 0 and 8, their two at column 8, padding
LOW, HIGH = 0.75, 1.25  # the ramp, in squared thresholds
ROOT = np.float32(np.sqrt(2.0))


def window() -> np.ndarray:
    """Half a sine wave: at a step of 4 its squares sum to 2."""
    return np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE)


@kernel(halo=lambda radius, **_: Halo(radius, SIDE - 1), tolerance=1)
def dft_threshold(
    frames,
    noise: Annotated[float, Knob(0.1, 64, unit="levels", soft=(1, 25))] = 5.0,
    threshold: Annotated[float, Knob(0, 8, unit="times noise", soft=(1, 4))] = 2.4,
    radius: Annotated[int, Knob(0, 3, step=1, unit="frames")] = 1,
    bits: Bits = 0,
):
    """Removes noise and keeps texture: of each small piece of space and time only the strong frequencies stay.

    noise     : standard deviation of the (white) noise.
    threshold : a frequency goes where it is weaker than this many times the noise.
    radius    : the piece spans `2 radius + 1` frames; beyond the ends of the clip and of the picture samples repeat
                (in time) and are mirrored (in space).  Radius 2 is better still, radius 0 is for stills.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype.
    Source: see the module.
    """
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    scale = 1.0 if real else 2.0 ** (8 - bits)
    count, height, width = frames.shape
    down, across = (_origins(n) for n in (height, width))
    padded = frames[:, _mirrored(height)][:, :, _mirrored(width)].astype(np.float64) * scale
    shape = np.outer(window(), window())
    limit = (threshold * noise) ** 2 * np.mean(shape**2)
    sums = np.zeros(padded.shape)
    for t in range(count):
        near = padded[np.clip(np.arange(t - radius, t + radius + 1), 0, count - 1)]
        for y in down:
            blocks = np.stack([near[:, y : y + SIDE, x : x + SIDE] for x in across]) * shape
            f = np.fft.fftn(blocks, axes=(1, 2, 3), norm="ortho")
            keep = np.clip((np.abs(f) ** 2 - LOW * limit) / ((HIGH - LOW) * limit), 0, 1) if limit else np.ones(f.shape)
            keep[:, 0, 0, 0] = 1
            middle = np.fft.ifftn(f * keep, axes=(1, 2, 3), norm="ortho").real[:, radius] * shape
            for x, block in zip(across, middle, strict=True):
                sums[t, y : y + SIDE, x : x + SIDE] += block
    edge = SIDE - STEP
    mean = sums[:, edge : edge + height, edge : edge + width] / 4 / scale
    return mean.astype(frames.dtype) if real else np.clip(np.rint(mean), 0, (1 << bits) - 1).astype(frames.dtype)


def _origins(size: int) -> np.ndarray:
    """Where blocks start in a padded line: every sample of the picture lies in four of them."""
    return np.arange(-(-size // STEP) + SIDE // STEP - 1) * STEP


def _mirrored(size: int) -> np.ndarray:
    """Where each sample of a padded line comes from."""
    before = SIDE - STEP
    after = int(_origins(size)[-1]) + SIDE - before - size
    return np.pad(np.arange(size, dtype=np.int32), (before, after), mode="symmetric")


def _matrix() -> np.ndarray:
    """Window and orthonormal real Fourier transform in one, float32 `(16, 16)`: cosines 0-8, then sines 1-7."""
    n, k = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="xy")
    rows = np.where(k <= 8, np.cos(2 * np.pi * k * n / SIDE), np.sin(2 * np.pi * (k - 8) * n / SIDE))
    rows *= np.where((k == 0) | (k == 8), np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    return (rows * window()).astype(np.float32)


def _waves(radius: int) -> np.ndarray:
    """Cosines and sines along time, float32 `(2, radius, radius)`: of wave 1 .. radius at frame 1 .. radius."""
    k = np.outer(np.arange(1, radius + 1), np.arange(1, radius + 1)) * 2 * np.pi / (2 * radius + 1)
    return np.stack([np.cos(k), np.sin(k)]).astype(np.float32)


@njit(cache=True, nogil=True)
def _pack(s, re, im):
    """Real coefficients of rows and columns to twice the complex ones, F(u, v) and F(u, -v)."""
    for u in range(1, 8):
        c, d, at = u * 16, (u + 8) * 16, (u - 1) * 16
        for v in range(8):
            cc, cs, sc, ss = s[c + v], s[c + 8 + v], s[d + v], s[d + 8 + v]
            re[at + v] = cc - ss
            im[at + v] = cs + sc
            re[at + 8 + v] = cc + ss
            im[at + 8 + v] = sc - cs
        re[at], im[at] = ROOT * s[c], ROOT * s[d]  # columns 0 and 8 have no sine
        re[at + 8], im[at + 8] = ROOT * s[c + 8], ROOT * s[d + 8]
    for v in range(8):
        re[112 + v], im[112 + v] = ROOT * s[v], ROOT * s[8 + v]
        re[120 + v], im[120 + v] = ROOT * s[128 + v], ROOT * s[136 + v]
    two, none = np.float32(2), np.float32(0)
    re[112], re[120], re[128], re[129] = two * s[0], two * s[128], two * s[8], two * s[136]
    im[112], im[120], im[128], im[129] = none, none, none, none


@njit(cache=True, nogil=True)
def _unpack(re, im, s):
    """The inverse of `_pack`."""
    half, root = np.float32(0.5), np.float32(1 / np.sqrt(2.0))
    for u in range(1, 8):
        c, d, at = u * 16, (u + 8) * 16, (u - 1) * 16
        for v in range(8):
            a, b, e, f = re[at + v], im[at + v], re[at + 8 + v], im[at + 8 + v]
            s[c + v] = (a + e) * half
            s[d + 8 + v] = (e - a) * half
            s[d + v] = (b + f) * half
            s[c + 8 + v] = (b - f) * half
        s[c], s[d], s[c + 8], s[d + 8] = re[at] * root, im[at] * root, re[at + 8] * root, im[at + 8] * root
    for v in range(8):
        s[v], s[8 + v] = re[112 + v] * root, im[112 + v] * root
        s[128 + v], s[136 + v] = re[120 + v] * root, im[120 + v] * root
    s[0], s[128], s[8], s[136] = re[112] * half, re[120] * half, re[128] * half, re[129] * half


@njit(cache=True, nogil=True, fastmath={"contract", "arcp"})
def _shrink(spectra, middle, count, waves, low, slope, out):
    """Threshold along time.  `spectra[k]` is (real, imaginary) of ring place k; `out` the middle frame's share."""
    radius = count // 2
    one, none = np.float32(1), np.float32(0)
    re, im = spectra[middle, 0], spectra[middle, 1]
    sums, differences = np.empty((3, 2, SLOTS), np.float32), np.empty((3, 2, SLOTS), np.float32)
    to_re, to_im = out[0], out[1]
    for x in range(SLOTS):
        to_re[x], to_im[x] = re[x], im[x]
    for k in range(radius):
        after, before = spectra[(middle + k + 1) % count], spectra[(middle + count - k - 1) % count]
        for part in range(2):
            a, b, p, d = after[part], before[part], sums[k, part], differences[k, part]
            for x in range(SLOTS):
                p[x] = a[x] + b[x]
            for x in range(SLOTS):
                d[x] = a[x] - b[x]
            to = out[part]
            for x in range(SLOTS):
                to[x] += p[x]
    level = to_re[112]  # the mean of the piece is always kept
    for x in range(SLOTS):
        keep = min(max((to_re[x] * to_re[x] + to_im[x] * to_im[x] - low) * slope, none), one)
        to_re[x] *= keep
        to_im[x] *= keep
    to_re[112] = level
    waved = np.empty((4, SLOTS), np.float32)
    pr, pi, dr, di = waved[0], waved[1], waved[2], waved[3]
    for w in range(radius):
        for x in range(SLOTS):
            pr[x], pi[x] = re[x], im[x]
        for x in range(SLOTS):
            dr[x], di[x] = none, none
        for k in range(radius):
            c, s = waves[0, w, k], waves[1, w, k]
            a, b, e, f = sums[k, 0], sums[k, 1], differences[k, 0], differences[k, 1]
            for x in range(SLOTS):
                pr[x] += c * a[x]
            for x in range(SLOTS):
                pi[x] += c * b[x]
            for x in range(SLOTS):
                dr[x] += s * e[x]
            for x in range(SLOTS):
                di[x] += s * f[x]
        for x in range(SLOTS):
            a, b, e, f = pr[x] + di[x], pi[x] - dr[x], pr[x] - di[x], pi[x] + dr[x]
            first = min(max((a * a + b * b - low) * slope, none), one)
            second = min(max((e * e + f * f - low) * slope, none), one)
            to_re[x] += first * a + second * e
            to_im[x] += first * b + second * f


@njit(cache=True, nogil=True)
def _column(padded, sums, y, x, start, count, matrix, turned, waves, low, slope, space):
    """One block position through all frames: forward once per frame into a ring, threshold, back into `sums`."""
    ring, out, s, half = space
    last, stride, size = padded.shape[0] - 1, padded.shape[2], padded.shape[1] * padded.shape[2]
    radius = count // 2
    spot = y * stride + x
    for t in range(start - radius, start + sums.shape[0] + radius):
        k = (t + count) % count
        src = min(max(t, 0), last)  # beyond the ends frames repeat
        product16(half, 0, SIDE, matrix, padded, src * size + spot, stride, False)
        product16(s, 0, SIDE, half, turned, 0, SIDE, False)
        _pack(s, ring[k, 0], ring[k, 1])
        if t < start + radius:
            continue
        n = t - radius
        _shrink(ring, (n + count) % count, count, waves, low, slope, out)
        _unpack(out[0], out[1], s)
        product16(half, 0, SIDE, s, matrix, 0, SIDE, False)
        product16(sums, (n - start) * size + spot, stride, turned, half, 0, SIDE, True)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _threshold(frames, out, start, rows, columns, radius, matrix, turned, waves, low, slope, scale, share, peak, half):
    count = 2 * radius + 1
    begin, end = max(start - radius, 0), min(start + out.shape[0] + radius, frames.shape[0])
    padded = np.empty((end - begin, rows.shape[0], columns.shape[0]), np.float32)
    for i in prange(padded.shape[0] * padded.shape[1]):
        t, y = i // padded.shape[1], i % padded.shape[1]
        to, src = padded[t, y], frames[begin + t, rows[y]]
        for x in range(to.shape[0]):
            to[x] = np.float32(src[columns[x]]) * scale
    sums = np.zeros((out.shape[0], rows.shape[0], columns.shape[0]), np.float32)
    down, across = (rows.shape[0] - SIDE) // STEP + 1, (columns.shape[0] - SIDE) // STEP + 1
    for phase in range(SIDE // STEP):  # rows of blocks that do not overlap go in parallel
        for i in prange((down - phase + 3) // 4):
            ring = np.zeros((count, 2, SLOTS), np.float32)
            kept = np.zeros((2, SLOTS), np.float32)
            space = ring, kept, np.empty(SIDE * SIDE, np.float32), np.empty(SIDE * SIDE, np.float32)
            for x in range(across):
                _column(padded, sums, (phase + 4 * i) * STEP, x * STEP, start - begin, count, matrix, turned, waves,
                        low, slope, space)  # fmt: skip
    edge = SIDE - STEP
    for i in prange(out.shape[0] * out.shape[1]):
        t, y = i // out.shape[1], i % out.shape[1]
        to, row = out[t, y], sums[t, y + edge, edge:]
        for x in range(to.shape[0]):
            v = row[x] * share + half
            to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)


def _facts(frames: Any, noise: float, threshold: float, radius: int, bits: int) -> tuple[np.float32, ...]:
    """Start and slope of the ramp over slots (twice the orthonormal value, times the root of the frames), scale to 8
    bits, what a sum is multiplied by, peak and rounding (0 for float)."""
    real, count = frames.dtype.kind == "f", 2 * radius + 1
    scale = 1.0 if real else 2.0 ** (8 - bits)
    limit = max((threshold * noise) ** 2 * np.mean(np.outer(window(), window()) ** 2) * 4 * count, 1e-20)
    facts = LOW * limit, 1 / ((HIGH - LOW) * limit), scale, 1 / (4 * count * scale)
    return tuple(np.float32(v) for v in (*facts, 0 if real else (1 << bits) - 1, 0 if real else 0.5))


@dft_threshold.cpu
def _(frames, out, start, noise, threshold, radius, bits):
    matrix = _matrix()
    tables = matrix.ravel(), np.ascontiguousarray(matrix.T).ravel(), _waves(radius)
    mirrors = (_mirrored(n) for n in frames.shape[1:])
    _threshold(frames, out, start, *mirrors, radius, *tables, *_facts(frames, noise, threshold, radius, bits))
