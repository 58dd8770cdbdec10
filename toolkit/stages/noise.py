"""The noise that a stage adjusts itself to, measured frame by frame.

What is measured of a frame depends on it and its neighbours within the stage's halo alone, so neither batches nor
where a run was gone on with can be seen in the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.stages.devices import on_host

LEAST, MOST = 0.25, 64.0  # levels of noise that are told apart, in steps of a quarter of an octave
SMALLEST = 16  # lines and samples in which noise can be measured
FLATTEST, BUSIEST = 1 / 8, 8.0  # detail in times the noise, likewise
_BLOCK = 8  # lines and samples: in the mean of so many little is left of the noise

#: The knobs of a stage that adjusts itself.
NOISE = Parameter("noise", float, 0.0, Knob(0, MOST, unit="levels", soft=(0, 25)))
AMOUNT = Parameter("amount", float, 1.0, Knob(0.05, 8, step=0.05, unit="times what fits", soft=(0.25, 3)))
SHAPE = Parameter("noise_shape", str, "measured", None, ("measured", "white"))


def by_level(plane: Any, window: tuple[int, int], bits: int) -> Iterator[tuple[float, tuple[int, int]]]:
    """The frames of `window` in runs of equal noise: its deviation in levels of 8-bit video, and `(first, stop)`."""
    for level, frames in groupby(range(*window), key=lambda t: level_of(plane[t], bits)):
        span = list(frames)
        yield level, (span[0], span[-1] + 1)


def level_of(frame: Any, bits: int) -> float:
    """The deviation of one frame's noise `(H, W)` in levels of 8-bit video, in steps, so that frames share calls."""
    from kernels.measure.noise import noise_level

    if min(frame.shape) < SMALLEST:
        return LEAST
    level = float(noise_level(on_host(frame)[None])[0]) * _scale(frame, bits)
    return float(np.clip(2 ** (np.rint(4 * np.log2(max(level, LEAST))) / 4), LEAST, MOST))


def measured(frame: Any, bits: int, share: float = 1.0) -> float:
    """`share` of the deviation of the noise of one frame, as `level_of` has it."""
    return min(max(level_of(frame, bits) * share, LEAST), MOST)


def by_level_and_detail(
    plane: Any, window: tuple[int, int], bits: int, level: float = 0.0
) -> Iterator[tuple[float, float, tuple[int, int]]]:
    """As `by_level`, with the detail of the frames (`detail_of`) between; `level` is the noise where it is known."""

    def facts(t: int) -> tuple[float, float]:
        frame = on_host(plane[t])
        noise = level or level_of(frame, bits)
        return noise, detail_of(frame, noise, bits)

    for (noise, detail), frames in groupby(range(*window), key=facts):
        span = list(frames)
        yield noise, detail, (span[0], span[-1] + 1)


def detail_of(frame: Any, level: float, bits: int) -> float:
    """How much a frame `(H, W)` shows beside noise of `level` (in levels of 8-bit video), in steps as `level_of`.

    The median difference of the means of blocks of 8x8 samples, one above the other, in times the noise.  Blank areas
    (no difference at all, as in borders) are left out.
    """
    if min(frame.shape) < SMALLEST:
        return 1.0
    high, wide = (n // _BLOCK for n in frame.shape)
    whole = on_host(frame)[: high * _BLOCK, : wide * _BLOCK]
    sums = np.uint32 if whole.dtype.kind == "u" else np.float32
    rows = whole.reshape(high, _BLOCK, -1).sum(1, dtype=sums)
    means = rows.reshape(high, wide, _BLOCK).sum(2) / np.float32(_BLOCK**2)
    apart = np.abs(np.diff(means, axis=0))
    apart = apart[apart > 0]
    if not apart.size:
        return FLATTEST
    detail = float(np.median(apart)) * _scale(frame, bits) / max(level, LEAST)
    return float(np.clip(2 ** (np.rint(4 * np.log2(max(detail, FLATTEST))) / 4), FLATTEST, BUSIEST))


def spectrum_of(plane: Any, window: tuple[int, int], radius: int, bits: int) -> Any:
    """The spectrum of the noise around each frame of `window`, float32 `(frames of plane, radius + 1, 9, 9)` beside
    `plane`, in squared levels of 8-bit video; the frames outside have none."""
    from kernels.arrays import beside
    from kernels.measure.spectrum import noise_spectrum

    found = np.full((len(plane), radius + 1, 9, 9), np.float32(LEAST**2))
    if min(plane.shape[1:]) >= SMALLEST:
        low, high = max(window[0] - radius, 0), min(window[1] + radius, len(plane))
        near = on_host(plane[low:high])
        measured = noise_spectrum(near, radius, (window[0] - low, window[1] - low))
        found[window[0] : window[1]] = measured * np.float32(_scale(plane, bits) ** 2)
    return beside(plane, found)


def scaled(shape: Any, level: float) -> Any:
    """`shape`, spectra, made as strong as white noise of the deviation `level`."""
    mean = shape.mean(axis=(1, 2, 3), keepdims=True)
    return shape * (np.float32(level**2) / np.maximum(mean, np.float32(1e-9)))


def _scale(frames: Any, bits: int) -> float:
    return 1.0 if frames.dtype.kind == "f" else 2.0 ** (8 - bits)
