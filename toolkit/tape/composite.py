"""A composite connection: colour put on a carrier over the luma, and taken apart again by a simple decoder.

The carrier is that of ITU-R BT.1700: 227.5 cycles a line in NTSC, 283.7516 in PAL, whose V changes its sign from line
to line.  The decoder demodulates and low-passes along the line, and takes from luma what it so understood.  What it
misses of the carrier stays in luma (dot crawl), what it takes of luma's detail becomes colour (rainbows).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d

from toolkit.clip import PictureFormat
from toolkit.errors import PictureError
from toolkit.tape import faults

#: Cycles and sign changes of V a line, lines a field, carrier in MHz.
CARRIERS = {"ntsc": (227.5, False, 262.5, 3.579545), "pal": (283.7516, True, 312.5, 4.43361875)}
DECODED_MHZ = 1.0  # what the decoder takes for colour, on each side of the carrier


def check(standard: str, fmt: PictureFormat, sampling_mhz: float) -> None:
    """Raises `PictureError` where the samples of `fmt` cannot hold the composite signal."""
    carrier = CARRIERS[standard][3]
    if fmt.subsampling is None or fmt.subsampling[1]:
        raise PictureError(f"a composite tape of {fmt}", expected="colour on every line: 4:2:2, 4:1:1 or 4:4:4")
    if sampling_mhz / 2 < carrier + DECODED_MHZ:
        least = int(np.ceil(720 * 2 * (carrier + DECODED_MHZ) / 13.5))
        raise PictureError(f"a composite tape of {fmt.width} samples a line", expected=f"at least {least}")


def through(
    planes: tuple[np.ndarray, ...], fields: np.ndarray, parity: int, fmt: PictureFormat, standard: str, mhz: float,
    share: float,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Woven frames after a composite connection; `share` of what it changes.

    fields : the number of each field, two for a frame; parity : of the lines of the first field.
    mhz    : luma samples per microsecond.
    """
    cycles, alternates, field_lines, carrier = CARRIERS[standard]
    height, width = planes[0].shape[1:]
    middle = 128.0 * 2.0 ** (fmt.bits - 8)
    step = 1 << fmt.subsampling[0]
    x = np.arange(width)
    taps = faults.line_filter(DECODED_MHZ, mhz)[0].astype(np.float64)
    out = tuple(np.empty_like(p) for p in planes)
    for t in range(len(planes[0])):
        line = np.arange(height)
        number = np.where(line % 2 == parity, fields[2 * t], fields[2 * t + 1])
        count = number * field_lines + line // 2  # lines since the tape began
        turn = 2 * np.pi * ((cycles * count)[:, None] % 1 + carrier / mhz * x)
        sine, cosine = np.sin(turn), np.cos(turn)
        if alternates:
            cosine *= np.where(np.floor(count) % 2, -1.0, 1.0)[:, None]
        y, u, v = (p[t].astype(np.float64) for p in planes)
        u, v = (_stretched(c - middle, width, step) for c in (u, v))
        signal = y + u * sine + v * cosine
        u, v = (convolve1d(2 * signal * c, taps, axis=1, mode="nearest") for c in (sine, cosine))
        for to, made, was in zip(
            out, (signal - u * sine - v * cosine, u[:, ::step] + middle, v[:, ::step] + middle), planes, strict=True
        ):
            mixed = was[t] + share * (made - was[t])
            to[t] = np.clip(np.rint(mixed), 0, fmt.peak) if to.dtype.kind in "ui" else mixed
    return out


def _stretched(plane: np.ndarray, width: int, step: int) -> np.ndarray:
    """Chroma at every luma sample, in straight lines between its own."""
    place = np.arange(width) / step
    low = np.minimum(place.astype(int), plane.shape[1] - 1)
    high = np.minimum(low + 1, plane.shape[1] - 1)
    return plane[:, low] + (plane[:, high] - plane[:, low]) * (place - low)
