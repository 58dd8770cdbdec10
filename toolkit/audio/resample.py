"""Plays a stream a little slower or faster, exactly: sample n of the result stands at n / ratio of the source.

A windowed sinc of 32 samples from a table of 512 phases, with a line between neighbouring phases (error below
-100 dB).  Positions are worked out from sample numbers, not added up, so nothing slips over hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numba import njit

from toolkit.audio.signal import Fifo

_REACH = 16  # samples each way
_PHASES = 512


def sinc_table(cutoff: float) -> np.ndarray:
    """`(phases + 1, taps)`: row p interpolates at p / phases between the two middle samples."""
    d = np.arange(_PHASES + 1)[:, None] / _PHASES - (np.arange(2 * _REACH) - (_REACH - 1))
    window = np.i0(9.0 * np.sqrt(np.clip(1 - (d / _REACH) ** 2, 0, 1))) / np.i0(9.0)
    table = cutoff * np.sinc(cutoff * d) * window
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _interpolate(x, first, made, ratio, table, out):
    """out[i] = x at (made + i) / ratio; `first` is the number of x's first sample."""
    taps = table.shape[1]
    for i in range(len(out)):
        at = (made + i) / ratio
        whole = int(np.floor(at))
        phase = (at - whole) * _PHASES
        p = int(phase)
        share = np.float32(phase - p)
        held = x[whole - (_REACH - 1) - first : whole - (_REACH - 1) - first + taps]
        low, high = table[p], table[p + 1]
        a = b = np.float32(0)
        for t in range(taps):
            a += low[t] * held[t]
            b += high[t] * held[t]
        out[i] = a + share * (b - a)


class Stretcher:
    """Makes a stream `ratio` times as long (and its pitch as much lower)."""

    def __init__(self, channels: int, ratio: float):
        if not 0.9 <= ratio <= 1.1:
            raise ValueError(f"the ratio is {ratio}; expected 0.9 to 1.1")
        self.ratio = ratio
        # A shorter result holds less band: the cutoff follows, with room for the window's slope.
        self.table = sinc_table(min(1.0, ratio) * 0.97 if ratio < 1 else 1.0)
        self.fifo = Fifo(channels, position=-_REACH)  # one more than the filter needs: a quotient may round down
        self.fifo.pad(_REACH)
        self.taken = self.made = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        self.taken += block.shape[1]
        return self._advance(math.ceil((self.taken - _REACH) * self.ratio))

    def flush(self) -> np.ndarray:
        self.fifo.pad(2 * _REACH)
        return self._advance(round(self.taken * self.ratio))

    def _advance(self, until: int) -> np.ndarray:
        held = self.fifo.peek()
        out = np.empty((held.shape[0], max(0, until - self.made)), np.float32)
        for channel, result in zip(held, out, strict=True):
            _interpolate(channel, self.fifo.position, self.made, self.ratio, self.table, result)
        self.made += out.shape[1]
        self.fifo.drop(max(0, math.floor(self.made / self.ratio) - _REACH - self.fifo.position))
        return out


def stretched(blocks: Iterable[Any], ratio: float, shift: float = 0.0) -> Iterator[Any]:
    """`SoundBlock`s made `ratio` times as long around their own start, which moves by `shift` seconds."""
    stretcher = begin = block = None
    for block in blocks:
        if stretcher is None:
            stretcher, begin = Stretcher(block.samples.shape[0], ratio), block.start + shift
        at = begin + stretcher.made / block.rate
        out = stretcher.process(block.samples)
        if out.shape[1]:
            yield type(block)(out, at, block.rate)
    if stretcher is not None:
        at = begin + stretcher.made / block.rate
        out = stretcher.flush()
        if out.shape[1]:
            yield type(block)(out, at, block.rate)
