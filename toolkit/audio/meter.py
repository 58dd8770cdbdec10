"""Loudness and true peak of a stream: ITU-R BS.1770-4, EBU R128, EBU Tech 3342.

The meter keeps one pair of numbers, K-weighted power and true peak, for each cell of 2 ms, 4 bytes in all: 2 kB per
second of sound.  Everything that loudness normalising needs to know can be reckoned from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from kernels.sound.peaks import cell_peaks
from toolkit.audio.signal import Fifo, SoundFormat

CELLS_PER_SECOND = 500
#: BS.1770-4 table 3; the low-frequency channel does not count.
WEIGHTS = {"LFE": 0.0, "BL": 1.41, "BR": 1.41, "SL": 1.41, "SR": 1.41, "BC": 1.41}
_TAPS = 16  # of each phase of the peak interpolator


def k_weighting(rate: float) -> np.ndarray:
    """Two biquads `(2, 6)` as b0 b1 b2 a0 a1 a2: the head's shelf, then the high-pass, at any sample rate.

    BS.1770 gives the coefficients at 48 kHz only; these analog parameters give them back there, to the last digit.
    """
    out = np.empty((2, 6))
    q, corner, gain = 0.7071752369554196, 1681.974450955533, 3.999843853973347
    k = math.tan(math.pi * corner / rate)
    vh = 10 ** (gain / 20)
    vb = vh**0.4996667741545416
    a0 = 1 + k / q + k * k
    out[0] = (
        (vh + vb * k / q + k * k) / a0,
        2 * (k * k - vh) / a0,
        (vh - vb * k / q + k * k) / a0,
        1,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    )
    q, corner = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * corner / rate)
    a0 = 1 + k / q + k * k
    out[1] = 1, -2, 1, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0
    return out


def interpolator(rate: int) -> np.ndarray:
    """Phases `(p, taps)` between two samples: oversampling to 192 kHz or 4 times, whichever is less."""
    factor = 4 if rate < 96000 else 2 if rate < 192000 else 1
    taps = np.arange(_TAPS) - (_TAPS / 2 - 1)
    phases = [np.sinc(taps - p / factor) * _kaiser(taps - p / factor) for p in range(1, factor)]
    return np.array([h / h.sum() for h in phases], np.float32).reshape(factor - 1, _TAPS)


def _kaiser(t: np.ndarray, beta: float = 5.0) -> np.ndarray:
    inside = np.clip(1 - (t / (_TAPS / 2)) ** 2, 0, None)
    return np.i0(beta * np.sqrt(inside)) / np.i0(beta)


@njit(cache=True, nogil=True, fastmath=True)
def _powers(x, y, filters, state, weights, cell, out):
    """Adds each cell's weighted sums of squares of two channels to out; `state` `(2, 4)` goes on.

    A recursive filter waits for its own last result; two of them side by side wait together.
    """
    b0, a1, a2 = filters[0, 0], filters[0, 4], filters[0, 5]
    c1, c2 = filters[0, 1] - a1 * b0, filters[0, 2] - a2 * b0  # states from states, not from the result: it is shorter
    d1, d2 = filters[1, 4], filters[1, 5]
    e1, e2 = -2 - d1, 1 - d2
    s0, s1, s2, s3 = state[0, 0], state[0, 1], state[0, 2], state[0, 3]
    t0, t1, t2, t3 = state[1, 0], state[1, 1], state[1, 2], state[1, 3]
    for k in range(len(out)):
        sum_x = sum_y = 0.0
        one, two = x[k * cell : (k + 1) * cell], y[k * cell : (k + 1) * cell]
        for i in range(cell):
            v, w = np.float64(one[i]), np.float64(two[i])
            p, q = b0 * v + s0, b0 * w + t0
            m, n = p + s2, q + t2
            s0, s1 = (s1 + c1 * v) - a1 * s0, c2 * v - a2 * s0
            t0, t1 = (t1 + c1 * w) - a1 * t0, c2 * w - a2 * t0
            s2, s3 = (s3 + e1 * p) - d1 * s2, e2 * p - d2 * s2
            t2, t3 = (t3 + e1 * q) - d1 * t2, e2 * q - d2 * t2
            sum_x += m * m
            sum_y += n * n
        out[k] += weights[0] * sum_x + weights[1] * sum_y
    state[0, 0], state[0, 1], state[0, 2], state[0, 3] = s0, s1, s2, s3
    state[1, 0], state[1, 1], state[1, 2], state[1, 3] = t0, t1, t2, t3


def cell_size(rate: int) -> int:
    return max(1, round(rate / CELLS_PER_SECOND))


class PeakScan:
    """True peak of each cell of a stream.

    heard : called with the samples of the cells `(channels, cells * cell)`, before their peaks are given.
    """

    def __init__(self, sound: SoundFormat, heard: Callable[[np.ndarray], None] | None = None):
        self.heard = heard
        self.cell = cell_size(sound.rate)
        self.phases = interpolator(sound.rate)
        self.fifo = Fifo(sound.channels)
        self.fifo.pad(_TAPS // 2 - 1)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Peaks (linear, float32) of the cells that are complete now."""
        self.fifo.push(block)
        return self._scan(max(0, (len(self.fifo) - _TAPS) // self.cell))

    def finish(self) -> np.ndarray:
        left = len(self.fifo) - (_TAPS // 2 - 1)
        cells = -(-left // self.cell)
        self.fifo.pad(cells * self.cell + _TAPS - len(self.fifo))
        return self._scan(cells)

    def _scan(self, cells: int) -> np.ndarray:
        out, held = np.zeros(cells, np.float32), self.fifo.peek()
        if self.heard is not None:
            lead = _TAPS // 2 - 1
            self.heard(held[:, lead : lead + cells * self.cell])
        for channel in held:
            cell_peaks(channel, self.phases, self.cell, out)
        self.fifo.drop(cells * self.cell)
        return out


_QUIET, _STEP = -200.0, 200.0  # 16-bit code of a level: 0 is nothing, then 1/200 dB each


def encode(values: np.ndarray, factor: float) -> np.ndarray:
    """Levels as 16-bit codes; factor is 10 for power, 20 for amplitude."""
    with np.errstate(divide="ignore"):
        code = (factor * np.log10(values) - _QUIET) * _STEP
    return np.clip(np.nan_to_num(code, neginf=0), 0, 65535).round().astype(np.uint16)


@njit(cache=True, nogil=True)
def decode(code, factor):
    """The level of one code, linear."""
    return 0.0 if code == 0 else 10.0 ** ((code / 200.0 - 200.0) / factor)


class Meter:
    """Loudness of a stream: `push` blocks, then `result()`."""

    def __init__(self, sound: SoundFormat):
        self.sound = sound
        self.cell = cell_size(sound.rate)
        self.filters = k_weighting(sound.rate)
        self.weights = np.array([WEIGHTS.get(n, 1.0) for n in sound.names] + [0.0])  # 0 for the partner of an odd one
        self.state = np.zeros((sound.channels + 1, 4))
        self.scan = PeakScan(sound, self._weigh)
        self.powers: list[np.ndarray] = []
        self.peaks: list[np.ndarray] = []
        self.samples = 0

    def push(self, block: np.ndarray) -> None:
        self.samples += block.shape[1]
        self.peaks.append(encode(self.scan.push(block), 20))

    def _weigh(self, held: np.ndarray) -> None:
        out = np.zeros(held.shape[1] // self.cell)
        for c in range(0, len(held), 2):
            partner = held[min(c + 1, len(held) - 1)]
            _powers(held[c], partner, self.filters, self.state[c : c + 2], self.weights[c : c + 2], self.cell, out)
        self.powers.append(encode(out / self.cell, 10))

    def result(self) -> History:
        """What was measured.  The last cell is filled with silence; the meter takes no more."""
        self.peaks.append(encode(self.scan.finish(), 20))
        nothing = np.zeros(0, np.uint16)  # an empty list would make floats of hours of codes
        powers, peaks = np.concatenate([nothing, *self.powers]), np.concatenate(self.peaks)
        self.powers, self.peaks = [], []
        return History(self.sound.rate, self.cell, self.samples, powers, peaks)


@njit(cache=True, nogil=True)
def cell_powers(codes):
    out = np.empty(len(codes))
    for i in range(len(codes)):
        out[i] = decode(codes[i], 10.0)
    return out


@njit(cache=True, nogil=True)
def _hop_powers(codes, edges):
    out = np.zeros(len(edges) - 1)
    for h in range(len(out)):
        for k in range(edges[h], edges[h + 1]):
            out[h] += decode(codes[k], 10.0)
    return out


@dataclass(frozen=True, eq=False)
class History:
    """Power and peak of each 2 ms cell of a stream, as 16-bit codes."""

    rate: int
    cell: int
    samples: int
    powers: np.ndarray
    peaks: np.ndarray

    def edges(self) -> np.ndarray:
        """Cell index at each 100 ms, the whole ones only."""
        hops = int(self.samples / self.rate * 10 + 1e-9)
        edges = np.round(np.arange(hops + 1) * (self.rate / 10 / self.cell)).astype(np.int64)
        return np.minimum(edges, len(self.powers))

    def hops(self) -> np.ndarray:
        """Mean power of each 100 ms."""
        edges = self.edges()
        return _hop_powers(self.powers, edges) / np.maximum(np.diff(edges), 1)

    @property
    def integrated(self) -> float:
        """LUFS of the whole; -inf for silence."""
        if self.samples < 0.4 * self.rate:  # shorter than a gating block: that block is all there is
            powers = cell_powers(self.powers)
            return lufs(float(powers.mean())) if len(powers) else -math.inf
        return integrated(self.hops())

    @property
    def range(self) -> float:
        """Loudness range in LU (Tech 3342)."""
        return loudness_range(self.hops())

    @property
    def true_peak(self) -> float:
        """dBTP; -inf for silence."""
        top = int(self.peaks.max()) if len(self.peaks) else 0
        return top / _STEP + _QUIET if top else -math.inf

    def over_time(self, seconds: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
        """Times (window centres) and short-term loudness in LUFS."""
        power = sliding_mean(self.hops(), max(1, round(seconds * 10)))
        with np.errstate(divide="ignore"):
            levels = -0.691 + 10 * np.log10(power)
        return (np.arange(len(power)) + seconds * 5) / 10, levels


def lufs(power: float) -> float:
    return -0.691 + 10 * math.log10(power) if power > 0 else -math.inf


def power_of(level: float) -> float:
    return 10 ** ((level + 0.691) / 10)


def sliding_mean(values: np.ndarray, n: int) -> np.ndarray:
    if len(values) < n:
        return values.mean(keepdims=True) if len(values) else values
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.maximum(total[n:] - total[:-n], 0) / n


def integrated(hops: np.ndarray) -> float:
    """Gated loudness (BS.1770-4) from the mean power of each 100 ms: 400 ms blocks, gates at -70 LUFS and -10 LU."""
    blocks = sliding_mean(hops, 4)
    blocks = blocks[blocks > power_of(-70)]
    if not len(blocks):
        return -math.inf
    return lufs(float(blocks[blocks > blocks.mean() / 10].mean()))


def loudness_range(hops: np.ndarray) -> float:
    """Spread of the short-term loudness between 10 % and 95 %, gated at -70 LUFS and -20 LU (Tech 3342)."""
    blocks = sliding_mean(hops, 30)
    blocks = blocks[blocks > power_of(-70)]
    if not len(blocks):
        return 0.0
    blocks = blocks[blocks > blocks.mean() / 100]
    low, high = np.percentile(blocks, [10, 95])
    return float(10 * np.log10(high / low))


def measure(samples: np.ndarray, rate: int, layout: str | None = None) -> History:
    """Loudness and true peak of samples in memory: `measure(x, 48000).integrated`."""
    from toolkit.audio.signal import as_samples, layout_of

    samples = as_samples(samples)
    meter = Meter(SoundFormat(rate, layout or layout_of(samples.shape[0])))
    for first in range(0, samples.shape[1], 1 << 18):
        meter.push(samples[:, first : first + (1 << 18)])
    return meter.result()
