"""A look-ahead true-peak limiter whose gain is drawn on cells of 2 ms.

For each cell: the gain its peak needs, the least of those within `LOOK` cells, a rise no faster than the release, and
the mean over the same window.  The mean of values that are all low enough is low enough, so no peak gets through; the
gain is a line between cell edges.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from toolkit.audio.meter import CELLS_PER_SECOND, PeakScan
from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

LOOK = 2  # cells each way: 4 ms ahead
#: Kept free under the ceiling, because meters interpolate differently between samples.
MARGIN = 0.15  # dB


def release_of(milliseconds: float) -> float:
    """Share of the way back to 1 that the gain goes in one cell."""
    return 1 - math.exp(-1000 / (CELLS_PER_SECOND * milliseconds))


def ceiling_of(decibels: float) -> float:
    return 10 ** ((decibels - MARGIN) / 20)


@njit(cache=True, nogil=True)
def held(needed, first, last, release, before, out):
    """Least gain around each of the cells first..last, rising slowly; returns the last one."""
    n = len(needed)
    for b in range(first, last):
        low = needed[b]
        for j in range(max(0, b - LOOK), min(n, b + LOOK + 1)):
            low = min(low, needed[j])
        before = min(low, before + (1 - before) * release)
        out[b - first] = before
    return before


@njit(cache=True, nogil=True)
def smooth(held_gain, out):
    """Mean over the look-ahead window (the ends are held)."""
    n = len(held_gain)
    for b in range(n):
        total = 0.0
        for j in range(b - LOOK, b + LOOK + 1):
            total += held_gain[min(max(j, 0), n - 1)]
        out[b] = total / (2 * LOOK + 1)


@njit(cache=True, nogil=True, fastmath=True)
def apply_gain(x, edges, cell, out):
    """One channel times a gain that runs in a line from each cell edge to the next."""
    across = np.arange(cell).astype(np.float32) / np.float32(cell)
    for k in range(-(-len(x) // cell)):
        g, rise = edges[k], edges[k + 1] - edges[k]
        source, target = x[k * cell : (k + 1) * cell], out[k * cell : (k + 1) * cell]
        for i in range(len(source)):
            target[i] = source[i] * (g + rise * across[i])


class Limiter(Prepared):
    def __init__(self, sound: SoundFormat, ceiling: float, release: float):
        super().__init__(sound)
        self.ceiling, self.release = ceiling_of(ceiling), release_of(release)

    def start(self, learned: Any = None) -> Run:
        return _LimiterRun(self)


class _LimiterRun(Run):
    def __init__(self, prepared: Limiter):
        self.prepared = prepared
        self.scan = PeakScan(prepared.sound)
        self.cell = self.scan.cell
        self.fifo = Fifo(prepared.sound.channels)
        self.needed = np.ones(LOOK, np.float32)  # context, then cells not yet held
        self.held = np.ones(LOOK, np.float32)  # context, then cells not yet smoothed
        self.before = 1.0
        self.edge = 1.0  # gain at the edge where the next cell begins
        self.last: float | None = None  # smoothed gain of the cell before

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        return self._advance(self.scan.push(block), False)

    def flush(self) -> np.ndarray:
        left = len(self.fifo)
        peaks = self.scan.finish()
        extra = 2 * LOOK + 1
        self.fifo.pad(extra * self.cell + self.cell)
        return self._advance(np.concatenate([peaks, np.zeros(extra, np.float32)]), True)[:, :left]

    def _advance(self, peaks: np.ndarray, final: bool) -> np.ndarray:
        ceiling = self.prepared.ceiling
        self.needed = np.concatenate([self.needed, np.minimum(1, ceiling / np.maximum(peaks, 1e-9))]).astype(np.float32)
        ready = len(self.needed) - 2 * LOOK
        if ready > 0:
            fresh = np.empty(ready, np.float32)
            self.before = held(self.needed, LOOK, LOOK + ready, self.prepared.release, self.before, fresh)
            self.needed = self.needed[ready:]
            self.held = np.concatenate([self.held, fresh])
        ready = len(self.held) - 2 * LOOK
        if ready < 2:
            return np.zeros((self.prepared.sound.channels, 0), np.float32)
        gain = np.empty(len(self.held), np.float32)
        smooth(self.held, gain)
        gain = gain[LOOK : LOOK + ready]
        before = gain[0] if self.last is None else self.last
        edges = np.minimum(np.concatenate([[before], gain[:-1]]), gain).astype(np.float32)  # the left edge of each
        cells = ready - 1  # the right edge of the last one is not known yet
        self.last = gain[cells - 1]
        self.held = self.held[cells:]
        x = self.fifo.take(cells * self.cell)
        out = np.empty_like(x)
        for channel, result in zip(x, out, strict=True):
            apply_gain(channel, edges, self.cell, result)
        return out
