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
from kernels.denoise.stack import stack_floats

SIDE, STEP = 16, 4
SLOTS = 144  # complex values of a block: 7 x 16 for rows 1-7, 8 each for rows 0 and 8, their two at column 8, padding
BOTH, RING = 2 * SLOTS, 7 * 2 * SLOTS
LOW, HIGH = 0.75, 1.25  # the ramp, in squared thresholds
ROOT = np.float32(np.sqrt(2.0))


def window() -> np.ndarray:
    """Half a sine wave: at a step of 4 its squares sum to 2."""
    return np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE)


@kernel(halo=lambda radius, **_: Halo(radius, SIDE - 1), tolerance=1)
def dft_threshold(
    frames,
    noise: Annotated[float, Knob(0.1, 64, unit="levels", soft=(1, 25))] = 5.0,
    threshold: Annotated[float, Knob(0, 8, unit="times noise", soft=(1, 4))] = 2.5,
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
    grey = np.fft.fft2(shape)  # even grey under the window has other frequencies than 0, too: it is set aside
    sums = np.zeros(padded.shape)
    for t in range(count):
        near = padded[np.clip(np.arange(t - radius, t + radius + 1), 0, count - 1)]
        for y in down:
            blocks = np.stack([near[:, y : y + SIDE, x : x + SIDE] for x in across]) * shape
            f = np.fft.fftn(blocks, axes=(1, 2, 3), norm="ortho")
            mean = f[:, 0, 0, 0, None, None] / grey[0, 0] * grey
            f[:, 0] -= mean
            f *= np.clip((np.abs(f) ** 2 - LOW * limit) / ((HIGH - LOW) * limit), 0, 1) if limit else 1
            f[:, 0] += mean
            middle = np.fft.ifftn(f, axes=(1, 2, 3), norm="ortho").real[:, radius] * shape
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
def _pack(s, slots):
    """Real coefficients of rows and columns to twice the complex ones, F(u, v) and F(u, -v): real parts, imaginary."""
    re, im = slots[:SLOTS], slots[SLOTS:]
    for u in range(1, 8):
        c, d, at = u * 16, (u + 8) * 16, (u - 1) * 16
        for v in range(8):
            re[at + v] = s[c + v] - s[d + 8 + v]
        for v in range(8):
            re[at + 8 + v] = s[c + v] + s[d + 8 + v]
        for v in range(8):
            im[at + v] = s[c + 8 + v] + s[d + v]
        for v in range(8):
            im[at + 8 + v] = s[d + v] - s[c + 8 + v]
        re[at], im[at] = ROOT * s[c], ROOT * s[d]  # columns 0 and 8 have no sine
        re[at + 8], im[at + 8] = ROOT * s[c + 8], ROOT * s[d + 8]
    for v in range(8):
        re[112 + v] = ROOT * s[v]
        im[112 + v] = ROOT * s[8 + v]
        re[120 + v] = ROOT * s[128 + v]
        im[120 + v] = ROOT * s[136 + v]
    two, none = np.float32(2), np.float32(0)
    for v in range(128, SLOTS):
        re[v] = none
        im[v] = none
    re[112], re[120], re[128], re[129] = two * s[0], two * s[128], two * s[8], two * s[136]
    im[112], im[120] = none, none


@njit(cache=True, nogil=True)
def _unpack(slots, s):
    """The inverse of `_pack`."""
    re, im = slots[:SLOTS], slots[SLOTS:]
    half, root = np.float32(0.5), np.float32(1 / np.sqrt(2.0))
    for u in range(1, 8):
        c, d, at = u * 16, (u + 8) * 16, (u - 1) * 16
        for v in range(8):
            s[c + v] = (re[at + v] + re[at + 8 + v]) * half
        for v in range(8):
            s[d + 8 + v] = (re[at + 8 + v] - re[at + v]) * half
        for v in range(8):
            s[d + v] = (im[at + v] + im[at + 8 + v]) * half
        for v in range(8):
            s[c + 8 + v] = (im[at + v] - im[at + 8 + v]) * half
        s[c], s[d], s[c + 8], s[d + 8] = re[at] * root, im[at] * root, re[at + 8] * root, im[at + 8] * root
    for v in range(8):
        s[v] = re[112 + v] * root
        s[8 + v] = im[112 + v] * root
        s[128 + v] = re[120 + v] * root
        s[136 + v] = im[120 + v] * root
    s[0], s[128], s[8], s[136] = re[112] * half, re[120] * half, re[128] * half, re[129] * half


@njit(cache=True, nogil=True, fastmath={"contract"})
def _keep_still(slots, grey, low, slope):
    """Wave 0 along time: the sum over frames, thresholded, but for its share of even grey, which always stays."""
    re, im, grey_re, grey_im = slots[:SLOTS], slots[SLOTS:], grey[:SLOTS], grey[SLOTS:]
    level = re[112] / grey_re[112]
    for x in range(SLOTS):
        g, h = level * grey_re[x], level * grey_im[x]
        a, b = re[x] - g, im[x] - h
        keep = min(max((a * a + b * b - low) * slope, np.float32(0)), np.float32(1))
        re[x] = a * keep + g
        im[x] = b * keep + h


@njit(cache=True, nogil=True, fastmath={"contract"})
def _keep_waves(even, odd, out, low, slope):
    """A wave and its mirror image along time, `P - iD` and `P + iD`; what is kept is added to `out`."""
    pr, pi, dr, di = even[:SLOTS], even[SLOTS:], odd[:SLOTS], odd[SLOTS:]
    re, im = out[:SLOTS], out[SLOTS:]
    none, one = np.float32(0), np.float32(1)
    for x in range(SLOTS):
        a, b, e, f = pr[x] + di[x], pi[x] - dr[x], pr[x] - di[x], pi[x] + dr[x]
        first = min(max((a * a + b * b - low) * slope, none), one)
        second = min(max((e * e + f * f - low) * slope, none), one)
        re[x] += first * a + second * e
        im[x] += first * b + second * f


@njit(cache=True, nogil=True, fastmath={"contract"})
def _shrink(ring, middle, count, waves, grey, low, slope, out, even, odd):
    """Threshold along time of the slots in `ring`; `out` becomes the middle frame's (times the number of frames)."""
    radius, both = count // 2, 2 * SLOTS
    now = ring[middle * both : middle * both + both]
    for x in range(both):
        out[x] = now[x]
    for k in range(count - 1):
        other = (middle + k + 1) % count * both
        near = ring[other : other + both]
        for x in range(both):
            out[x] += near[x]
    _keep_still(out, grey, low, slope)
    for w in range(radius):
        for x in range(both):
            even[x] = now[x]
            odd[x] = np.float32(0)
        for k in range(radius):
            c, s = waves[0, w, k], waves[1, w, k]
            later, sooner = (middle + k + 1) % count * both, (middle + count - k - 1) % count * both
            after, before = ring[later : later + both], ring[sooner : sooner + both]
            for x in range(both):
                even[x] += c * (after[x] + before[x])
                odd[x] += s * (after[x] - before[x])
        _keep_waves(even, odd, out, low, slope)


@njit(cache=True, nogil=True)
def _column(padded, sums, spot, start, count, matrix, turned, waves, grey, low, slope):
    """One block position through all frames: forward once per frame into a ring, threshold, back into `sums`."""
    ring, out = stack_floats(RING), stack_floats(BOTH)
    even, odd = stack_floats(BOTH), stack_floats(BOTH)
    s, half = stack_floats(256), stack_floats(256)
    last, stride, size = padded.shape[0] - 1, padded.shape[2], padded.shape[1] * padded.shape[2]
    radius = count // 2
    for t in range(start - radius, start + sums.shape[0] + radius):
        src = min(max(t, 0), last)  # beyond the ends frames repeat
        k = (t + count) % count * BOTH
        product16(half, 0, SIDE, matrix, padded, src * size + spot, stride, False)
        product16(s, 0, SIDE, half, turned, 0, SIDE, False)
        _pack(s, ring[k : k + BOTH])
        if t < start + radius:
            continue
        n = t - radius
        _shrink(ring, (n + count) % count, count, waves, grey, low, slope, out, even, odd)
        _unpack(out, s)
        product16(half, 0, SIDE, s, matrix, 0, SIDE, False)
        product16(sums, (n - start) * size + spot, stride, turned, half, 0, SIDE, True)


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _threshold(frames, out, start, rows, columns, radius, matrix, turned, waves, grey, low, slope, scale,
               share, peak, half):  # fmt: skip
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
            y = (phase + 4 * i) * STEP
            for x in range(across):
                spot = y * columns.shape[0] + x * STEP
                _column(padded, sums, spot, start - begin, count, matrix, turned, waves, grey, low, slope)
    edge = SIDE - STEP
    for i in prange(out.shape[0] * out.shape[1]):
        t, y = i // out.shape[1], i % out.shape[1]
        to, row = out[t, y], sums[t, y + edge, edge:]
        for x in range(to.shape[0]):
            v = row[x] * share + half
            to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)


def _grey() -> np.ndarray:
    """The slots of even grey under the window."""
    slots, ones = np.empty(BOTH, np.float32), _matrix().sum(axis=1)
    _pack(np.outer(ones, ones).ravel(), slots)
    return slots


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
    tables = matrix.ravel(), np.ascontiguousarray(matrix.T).ravel(), _waves(radius), _grey()
    mirrors = (_mirrored(n) for n in frames.shape[1:])
    _threshold(frames, out, start, *mirrors, radius, *tables, *_facts(frames, noise, threshold, radius, bits))


def _plan(arrays: list[Any], out: Any, start: int, noise: float, threshold: float, radius: int, bits: int):
    frames, i = arrays[0], np.int32
    outs, height, width = out.shape
    rows, columns = _mirrored(height), _mirrored(width)
    high, wide = len(rows), len(columns)
    low, slope, scale, share, peak, half = _facts(frames, noise, threshold, radius, bits)
    sums = empty_like_backend(frames, (outs, high, wide), np.float32)
    waves = _waves(radius) if radius else np.zeros(1, np.float32)
    grey = _grey()
    tables = (beside(frames, a) for a in (rows, columns, _matrix(), waves, grey))
    sizes = i(start), i(outs), i(len(frames)), i(height), i(width), i(high), i(wide), i(radius)
    grid = ((wide - SIDE) // STEP + 1, (high - SIDE) // STEP + 1, 1)
    last = (sums, out, i(height), i(width), i(high), i(wide), share, peak, half)
    return [
        Launch("clear", (-(-high * wide // 256), outs, 1), (256, 1, 1), (sums, i(high * wide))),
        Launch("threshold", grid, (256, 1, 1), (frames, sums, *tables, *sizes, low, slope, scale)),
        Launch("finish", (-(-width // 128), height, outs), (128, 1, 1), last),
    ]


dft_threshold.cuda("dft.cu", _plan)
