"""Thresholding of overlapped space-time blocks in the frequency domain.

The family of dfttest: blocks of 16x16 samples of some frames, every 4 samples, under a window whose square sums to a
constant; of their three-dimensional Fourier transform what does not stand out from the noise is removed, and the
middle frame is put back.  The noise is white, or of a known spectrum, which then sets the threshold of each frequency.
Donoho and Johnstone: "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994,
for the threshold; Yaroslavsky: "Local adaptive image restoration and enhancement with the use of DFT and DCT in a
running window", SPIE 2825, 1996, for overlapped blocks.  The step of the threshold is a short ramp, so that rounding
cannot decide.

How it is computed: the window is part of the transform of 16 real samples, down the columns first, once for the columns
that blocks side by side have in common; rows of waves are combined to the complex values F(u, v) and F(u, -v); along
time, with the middle frame as origin, the sums and differences of frames equally far from it are enough.  The sum of
all waves is the middle frame itself, so what a threshold removes is taken from it, and on the way back blocks are added
up before the columns.  On the CPU `spectra` has the transforms, sixteen blocks at once, and `blocks` leads them through
the picture; the CUDA body makes them products with a 16x16 matrix (constant, 7 cosines, the alternating row, 7 sines).

Sums in float32, in another order in each body: integers may differ by one level (tolerance 1).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from kernels.arrays import beside, contiguous, depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.denoise import blocks
from kernels.denoise.spectra import FOOT, HIGH, LOW, SIDE, WAVES_ALONG, WAVES_DOWN

STEP = blocks.STEP
#: Waves down and along the line of the CUDA body's slots: sixteen for each row wave 1-7 (F(u, 0), F(u, 1..7), F(u, 8),
#: F(u, -1..-7)), then rows 0 and 8 (columns 0-7 each), then their two values at column 8; the rest is empty.
CUDA_DOWN = np.array([u for u in range(1, 8) for _ in range(16)] + [0] * 8 + [8] * 8 + [0] + [8] * 15)
CUDA_ALONG = np.array([*range(9), *range(1, 8)] * 7 + [*range(8)] * 2 + [8] * 16)
CUDA_SLOTS = len(CUDA_DOWN)


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
    limit = (threshold * noise) ** 2 * np.ones((len(frames), 2 * radius + 1, SIDE, SIDE))
    return _defined(frames, limit, radius, bits)


@kernel(
    halo=lambda radius, **_: Halo(radius, SIDE - 1),
    inputs=lambda shape, knobs: [shape, _spectra(shape, knobs["radius"])],
    others={"spectrum": "float32"},
    tolerance=1,
)
def dft_coloured(
    frames,
    spectrum,
    threshold: Annotated[float, Knob(0, 8, unit="times noise", soft=(1, 4))] = 2.5,
    radius: Annotated[int, Knob(0, 3, step=1, unit="frames")] = 1,
    bits: Bits = 0,
):
    """Removes noise that is stronger in some frequencies than in others, such as a tape's, and keeps texture.

    As `dft_threshold`, with a threshold of its own for each frequency: `threshold` times the root of `spectrum` there.

    frames   : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    spectrum : float32 `(T, radius + 1, 9, 9)`, for each frame the noise's power in the waves 0 .. radius along time,
               0 .. 8 down and 0 .. 8 along the line, in squared levels; white noise has its variance everywhere.
               `kernels.measure.spectrum.noise_spectrum` measures it.  Nothing is taken away where it is 0 or less.
    Returns the shape and dtype of `frames`.
    Source: see the module.
    """
    along, fold = (np.minimum(np.arange(n), n - np.arange(n)) for n in (2 * radius + 1, SIDE))
    power = np.maximum(spectrum.astype(np.float64), 0)[:, along][:, :, fold][:, :, :, fold]
    return _defined(frames, threshold**2 * power, radius, bits)


def _defined(frames: np.ndarray, limit: np.ndarray, radius: int, bits: int) -> np.ndarray:
    """The definition of both; `limit` `(T, 2 radius + 1, 16, 16)` is the power below which a wave goes."""
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    scale = 1.0 if real else 2.0 ** (8 - bits)
    count, height, width = frames.shape
    down, across = (_origins(n) for n in (height, width))
    padded = frames[:, _mirrored(height)][:, :, _mirrored(width)].astype(np.float64) * scale
    shape = np.outer(window(), window())
    limit = np.maximum(limit * np.mean(shape**2), 1e-20)
    grey = np.fft.fft2(shape)  # even grey under the window has other frequencies than 0, too: it is set aside
    sums = np.zeros(padded.shape)
    for t in range(count):
        near = padded[np.clip(np.arange(t - radius, t + radius + 1), 0, count - 1)]
        for y in down:
            blocks = np.stack([near[:, y : y + SIDE, x : x + SIDE] for x in across]) * shape
            f = np.fft.fftn(blocks, axes=(1, 2, 3), norm="ortho")
            mean = f[:, 0, 0, 0, None, None] / grey[0, 0] * grey
            f[:, 0] -= mean
            f *= np.clip((np.abs(f) ** 2 / limit[t] - LOW) / (HIGH - LOW), 0, 1)
            f[:, 0] += mean
            middle = np.fft.ifftn(f, axes=(1, 2, 3), norm="ortho").real[:, radius] * shape
            for x, block in zip(across, middle, strict=True):
                sums[t, y : y + SIDE, x : x + SIDE] += block
    edge = SIDE - STEP
    mean = sums[:, edge : edge + height, edge : edge + width] / 4 / scale
    return mean.astype(frames.dtype) if real else np.clip(np.rint(mean), 0, (1 << bits) - 1).astype(frames.dtype)


def _spectra(shape: tuple[int, ...], radius: int) -> tuple[int, ...]:
    return shape[0], radius + 1, SIDE // 2 + 1, SIDE // 2 + 1


def _origins(size: int) -> np.ndarray:
    """Where blocks start in a padded line: every sample of the picture lies in four of them."""
    return np.arange(-(-size // STEP) + SIDE // STEP - 1) * STEP


def _mirrored(size: int) -> np.ndarray:
    """Where each sample of a padded line comes from."""
    before = SIDE - STEP
    after = int(_origins(size)[-1]) + SIDE - before - size
    return np.pad(np.arange(size, dtype=np.int32), (before, after), mode="symmetric")


def real_transform() -> np.ndarray:
    """Window and orthonormal real Fourier transform in one, float32 `(16, 16)`: cosines 0-8, then sines 1-7."""
    n, k = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="xy")
    rows = np.where(k <= 8, np.cos(2 * np.pi * k * n / SIDE), np.sin(2 * np.pi * (k - 8) * n / SIDE))
    rows *= np.where((k == 0) | (k == 8), np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    return (rows * window()).astype(np.float32)


def _waves(radius: int) -> np.ndarray:
    """Cosines and sines along time, float32 `(2, radius, radius)`: of wave 1 .. radius at frame 1 .. radius."""
    k = np.outer(np.arange(1, radius + 1), np.arange(1, radius + 1)) * 2 * np.pi / (2 * radius + 1)
    return np.stack([np.cos(k), np.sin(k)]).astype(np.float32)


def _grey() -> np.ndarray:
    """The slots of even grey under the window, over that of F(0, 0), for the Numba body."""
    wave = np.fft.fft(window())
    slots = wave[WAVES_DOWN] * wave[WAVES_ALONG] / wave[0] ** 2
    return np.stack([slots.real, slots.imag], axis=1).ravel().astype(np.float32)


def _facts(frames: Any, radius: int, bits: int) -> tuple[np.float32, ...]:
    """Factor to 8-bit levels, what a sum is multiplied by, peak and rounding (0 for float)."""
    real = frames.dtype.kind == "f"
    scale = 1.0 if real else 2.0 ** (8 - bits)
    facts = scale, 1 / (4 * (2 * radius + 1) * scale)
    return tuple(np.float32(v) for v in (*facts, 0 if real else (1 << bits) - 1, 0 if real else 0.5))


def _slopes(power: Any, threshold: float, radius: int, slots: tuple[np.ndarray, np.ndarray], unit: float) -> Any:
    """Slopes of the ramp over squared slots, float32 `(frames, (radius + 1) slots)`, from `power` as `spectrum` has it.

    slots : waves down and along the line of each slot, which is the orthonormal value times the root of `unit` and of
            the frames.
    """
    share = threshold**2 * np.mean(np.outer(window(), window()) ** 2) * unit * (2 * radius + 1)
    limit = power[:, :, beside(power, slots[0]), beside(power, slots[1])] * np.float32(share)
    slopes = np.float32(1 / (HIGH - LOW)) / np.maximum(limit, np.float32(1e-20))
    return contiguous(slopes.reshape(len(power), -1))  # looking up leaves the axes in another order in memory


def _slopes_cuda(power: Any, threshold: float, radius: int) -> Any:
    return _slopes(power, threshold, radius, (CUDA_DOWN, CUDA_ALONG), 4)  # its slots hold twice the orthonormal value


def _white(noise: float, radius: int) -> np.ndarray:
    """The spectrum of white noise, one for all frames."""
    return np.full(_spectra((1,), radius), noise**2, np.float32)


def _grey_cuda() -> np.ndarray:
    """The same in the CUDA body's slots: F(u, v) and F(u, -v) as they are, columns without a sine as (cosine, sine)."""
    ones, root = real_transform().sum(axis=1), np.sqrt(2)
    s, slots = np.outer(ones, ones), np.zeros((2, CUDA_SLOTS), np.float32)
    for u in range(1, 8):
        c, d, at = s[u], s[u + 8], (u - 1) * 16
        slots[0, at : at + 16] = np.concatenate([c[:8] - d[8:], c[:8] + d[8:]])
        slots[1, at : at + 16] = np.concatenate([c[8:] + d[:8], d[:8] - c[8:]])
        slots[:, at], slots[:, at + 8] = (root * c[0], root * d[0]), (root * c[8], root * d[8])
    slots[0, 112:128] = root * np.concatenate([s[0, :8], s[8, :8]])
    slots[1, 112:128] = root * np.concatenate([s[0, 8:], s[8, 8:]])
    slots[0, [112, 120, 128, 129]] = 2 * s[[0, 8, 0, 8], [0, 0, 8, 8]]
    slots[1, [112, 120]] = 0
    return slots.ravel()


def _run(frames: np.ndarray, out: np.ndarray, start: int, power: np.ndarray, threshold: float, radius: int,
         bits: int) -> None:  # fmt: skip
    rows, columns = (_mirrored(n) for n in frames.shape[1:])
    scale, share, peak, half = _facts(frames, radius, bits)
    # Slots are sums over the samples as they are; there and back they grow by SIDE ** 2 / 2.
    slopes = _slopes(power, threshold, radius, (WAVES_DOWN, np.abs(WAVES_ALONG)), (SIDE / scale) ** 2)
    share = np.float32(share * scale * 2 / SIDE**2)
    blocks.threshold(frames, out, start, rows, columns, radius, _grey(), slopes, share, peak, half)


@dft_threshold.cpu
def _(frames, out, start, noise, threshold, radius, bits):
    _run(frames, out, start, _white(noise, radius), threshold, radius, bits)


@dft_coloured.cpu
def _(frames, spectrum, out, start, threshold, radius, bits):
    _run(frames, out, start, spectrum[start : start + len(out)], threshold, radius, bits)


def _launches(frames: Any, out: Any, start: int, slopes: Any, radius: int, bits: int) -> list[Launch]:
    i = np.int32
    outs, height, width = out.shape
    rows, columns = _mirrored(height), _mirrored(width)
    high, wide = len(rows), len(columns)
    scale, share, peak, half = _facts(frames, radius, bits)
    sums = empty_like_backend(frames, (outs, high, wide), np.float32)
    waves = _waves(radius) if radius else np.zeros(1, np.float32)
    tables = (beside(frames, a) for a in (rows, columns, real_transform(), waves, _grey_cuda()))
    sizes = i(start), i(outs), i(len(frames)), i(height), i(width), i(high), i(wide), i(radius), i(len(slopes))
    grid = ((wide - SIDE) // STEP + 1, (high - SIDE) // STEP + 1, 1)
    last = (sums, out, i(height), i(width), i(high), i(wide), share, peak, half)
    return [
        Launch("clear", (-(-high * wide // 256), outs, 1), (256, 1, 1), (sums, i(high * wide))),
        Launch("threshold", grid, (256, 1, 1), (frames, sums, *tables, slopes, *sizes, np.float32(FOOT), scale)),
        Launch("finish", (-(-width // 128), height, outs), (128, 1, 1), last),
    ]


def _plan(arrays: list[Any], out: Any, start: int, noise: float, threshold: float, radius: int, bits: int):
    slopes = beside(arrays[0], _slopes_cuda(_white(noise, radius), threshold, radius))
    return _launches(arrays[0], out, start, slopes, radius, bits)


def _plan_coloured(arrays: list[Any], out: Any, start: int, threshold: float, radius: int, bits: int):
    slopes = _slopes_cuda(arrays[1][start : start + len(out)], threshold, radius)
    return _launches(arrays[0], out, start, slopes, radius, bits)


dft_threshold.cuda("dft.cu", _plan)
dft_coloured.cuda("dft.cu", _plan_coloured)
