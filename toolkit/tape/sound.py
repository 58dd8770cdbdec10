"""The sound of a made tape: another speed, hum, hiss.  Blocks of any size give the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit, prange

from toolkit.tape import chance

#: Levels of the hum's harmonics against its fundamental, in dB: 1, 2, 3, 4, 5 times the mains frequency.
HUM_HARMONICS = (0.0, -6.0, -10.0, -16.0, -20.0)
OFF_DBFS = -120.0
_REACH = 24  # samples each way of the interpolating filter


@njit(parallel=True, cache=True, nogil=True)
def _at(samples, first, positions, cutoff, out):
    """Band-limited values of `samples` (whose first has number `first`) at fractional sample `positions`."""
    for i in prange(positions.shape[0]):
        centre = int(np.floor(positions[i]))
        for c in range(samples.shape[0]):
            total = 0.0
            for k in range(centre - _REACH + 1, centre + _REACH + 1):
                j = k - first
                if 0 <= j < samples.shape[1]:
                    d = positions[i] - k
                    x = np.pi * d * cutoff
                    weight = cutoff if abs(x) < 1e-9 else cutoff * np.sin(x) / x
                    total += samples[c, j] * weight * np.cos(np.pi / 2 * d / (_REACH + 1)) ** 2
            out[c, i] = total


def resampled(blocks: Iterable[np.ndarray], speed: float, delay: float) -> Iterator[np.ndarray]:
    """Yields `blocks` `(channels, n)` played `speed` times as fast and `delay` samples later; float32.

    Output sample i is input sample `(i - delay) * speed`, by a windowed sinc of 48 samples; silence outside.
    """
    if speed == 1 and delay == 0:
        for block in blocks:
            yield np.asarray(block, np.float32)
        return
    cutoff = min(1.0, 1 / speed)
    held, first, made = None, 0, 0
    for block in blocks:
        block = np.asarray(block, np.float32)
        held = block if held is None else np.concatenate([held, block], axis=1)
        end = first + held.shape[1] - _REACH  # positions below this have all their neighbours
        count = max(0, int(np.ceil(end / speed + delay)) - made)
        if count:
            yield _take(held, first, made, count, speed, delay, cutoff)
            made += count
        keep = min(int(np.floor((made - delay) * speed)) - _REACH, first + held.shape[1])
        if keep > first:
            held, first = held[:, keep - first :], keep
    if held is not None:
        count = max(0, int(np.ceil((first + held.shape[1]) / speed + delay)) - made)
        if count:
            yield _take(held, first, made, count, speed, delay, cutoff)


def _take(held: np.ndarray, first: int, made: int, count: int, speed: float, delay: float, cutoff: float) -> np.ndarray:
    out = np.empty((held.shape[0], count), np.float32)
    _at(np.ascontiguousarray(held), first, (np.arange(made, made + count) - delay) * speed, cutoff, out)
    return out


def spoilt(block: np.ndarray, first: int, rate: int, hiss: float, hum: float, mains_hz: float, seed: int) -> np.ndarray:
    """Adds hum and hiss, RMS in dBFS, to `block` `(channels, n)` whose first sample has number `first`."""
    out = np.array(block, np.float32)
    n = out.shape[1]
    if hum > OFF_DBFS:
        phase = 2 * np.pi * mains_hz / rate * np.arange(first, first + n)
        wave = sum(10 ** (db / 20) * np.sin((i + 1) * phase + i) for i, db in enumerate(HUM_HARMONICS))
        out += (np.sqrt(2) * 10 ** (hum / 20) * wave).astype(np.float32)
    if hiss > OFF_DBFS:
        level = np.float32(10 ** (hiss / 20))
        page = 4096  # random numbers come in pages, so that a block may begin anywhere
        noise = np.empty(page, np.float32)
        for channel in range(out.shape[0]):
            for p in range(first // page, -(-(first + n) // page)):
                chance.normals(noise, p, channel, chance.HISS, seed)
                begin, end = max(first, p * page), min(first + n, (p + 1) * page)
                out[channel, begin - first : end - first] += level * noise[begin - p * page : end - p * page]
    return out
