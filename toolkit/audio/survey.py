"""One look at the whole track before anything is done: how loud each channel is, where it is quietest, what hums.

Memory is bounded: levels are counted in bins, and a few quiet stretches are kept as samples, so that the noise
profile can be taken behind whatever stages stand before the denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from toolkit.audio.signal import Fifo, SoundFormat

STRETCH = 0.5  # s
_FRAMES = 8  # level frames in a stretch
_SILENT = -93.0  # dBFS: under this there is nothing but the dither of 16 bits
_BIN = 2.0  # dB; stretches are sorted into bins of level
_KEEP = 6  # bins of which stretches are kept
_EACH = 4  # stretches kept of each


@dataclass
class _Bin:
    count: int = 0
    held: list[tuple[float, int, np.ndarray]] = field(default_factory=list)  # unrest, position, samples


@njit(cache=True, nogil=True, fastmath=True)
def _band_powers(x, coefs, state, frame, out):
    """Mean square per frame of one channel behind a biquad; `state` (2) goes on."""
    s0, s1 = state[0], state[1]
    for k in range(len(out)):
        total = 0.0
        for v in x[k * frame : (k + 1) * frame]:
            y = coefs[0] * v + s0
            s0 = coefs[1] * v - coefs[4] * y + s1
            s1 = coefs[2] * v - coefs[5] * y
            total += y * y
        out[k] = total / frame
    state[0], state[1] = s0, s1


class Survey:
    """Push all blocks, call `finish()`, then read.

    samples          : how many there were.
    stretches        : `[(samples, position), ...]`, half a second each, of the quietest that occur; may be empty.
    programme_level  : dBFS per channel, above 400 Hz, exceeded a tenth of the time; -inf for silence.
    programme_spread : dB per channel between the loudest and the quietest tenth of the time.
    hum              : `toolkit.audio.hum.HumTrack` or None.
    """

    def __init__(self, sound: SoundFormat, wants: frozenset[str]):
        from scipy import signal

        self.sound, self.wants = sound, wants
        self.frame = round(sound.rate * STRETCH / _FRAMES)
        self.coefs = signal.butter(2, min(400, sound.rate / 8), "high", fs=sound.rate, output="sos")[0]
        self.state = np.zeros((sound.channels, 2))
        self.fifo = Fifo(sound.channels)  # the last stretch
        self.done = 0  # frames of the fifo already weighed
        self.levels: list[np.ndarray] = []  # of the frames in the fifo
        self.counts = np.zeros((sound.channels, 110), np.int64)  # level histogram, 2 dB from -220
        self.bins: dict[int, _Bin] = {}
        self.samples = 0
        self.hum = None
        self._hum = None
        if "hum" in wants:
            from toolkit.audio.hum import HumFinder

            self._hum = HumFinder(sound)

    def push(self, block: np.ndarray) -> None:
        self.samples += block.shape[1]
        if self._hum is not None:
            self._hum.push(block)
        if not self.wants & {"noise", "channels"}:
            return
        self.fifo.push(block)
        count = len(self.fifo) // self.frame - self.done
        if count <= 0:
            return
        powers = np.empty((self.sound.channels, count))
        for channel, state, power in zip(self.fifo.peek(), self.state, powers, strict=True):
            _band_powers(channel[self.done * self.frame :], self.coefs, state, self.frame, power)
        with np.errstate(divide="ignore"):
            levels = np.maximum(10 * np.log10(powers), -219)
        for column in levels.T:
            self.counts[np.arange(len(column)), ((column + 220) / 2).astype(int)] += 1
            self.levels.append(column)
        self.done += count
        while self.done >= _FRAMES:
            if "noise" in self.wants:
                self._consider()
            half = _FRAMES // 2
            self.fifo.drop(half * self.frame)
            self.done -= half
            del self.levels[:half]

    def _consider(self) -> None:
        """Keeps the stretch at the front of the fifo if it is among the quietest of its kind."""
        levels = np.array(self.levels[:_FRAMES]).max(axis=1)
        if levels.min() < _SILENT:
            return
        key = int(np.floor(levels.max() / _BIN))
        if key not in self.bins and len(self.bins) >= _KEEP and key > max(self.bins):
            return
        kept = self.bins.setdefault(key, _Bin())
        kept.count += 1
        if len(self.bins) > _KEEP:
            del self.bins[max(self.bins)]
        unrest, position = float(levels.std()), self.fifo.position
        length = _FRAMES * self.frame
        near = [i for i, (_, at, _) in enumerate(kept.held) if abs(at - position) < length]
        if not near and len(kept.held) >= _EACH:
            near = [max(range(_EACH), key=lambda i: kept.held[i][0])]
        if near:
            if unrest >= kept.held[near[0]][0]:
                return
            for i in reversed(near):
                del kept.held[i]
        kept.held.append((unrest, position, self.fifo.peek(length).copy()))

    def finish(self) -> None:
        if self._hum is not None:
            self.hum = self._hum.finish()

    @property
    def stretches(self) -> list[tuple[np.ndarray, int]]:
        """Those of the lowest level that occurs in earnest (three times, or one time in fifty) and up to 6 dB above.

        What is quieter still, and rarer, is a muted recorder, not the tape.
        """
        total = sum(kept.count for kept in self.bins.values())
        wanted, below = max(min(3, total), total // 50), 0
        for key in sorted(self.bins):
            below += self.bins[key].count
            if below >= wanted:
                near = [k for k in self.bins if key - 1 <= k <= key + 3]
                return [(samples, position) for k in sorted(near) for _, position, samples in self.bins[k].held]
        return []

    def _level(self, share: float) -> np.ndarray:
        total = self.counts.sum(axis=1, keepdims=True)
        index = (np.cumsum(self.counts, axis=1) >= share * total).argmax(axis=1)
        return np.where(index == 0, -np.inf, index * 2.0 - 219)

    @property
    def programme_level(self) -> np.ndarray:
        return self._level(0.9)

    @property
    def programme_spread(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(self._level(0.9) - self._level(0.1), nan=0.0)
