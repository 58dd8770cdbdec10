"""One look at the whole track before anything is done: how loud each channel is, where it is quietest, what hums.

Memory is bounded: levels are counted in bins, and a few quiet stretches are kept as samples, so that the noise
profile can be taken behind whatever stages stand before the denoiser.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from toolkit.audio.signal import Fifo, SoundFormat

STRETCH = 1.0  # s
_FRAMES = 10  # level frames in a stretch
_SILENT = -93.0  # dBFS: under this there is nothing but the dither of 16 bits
_BIN = 2.0  # dB
_KEEP = 8  # bins of which a stretch is kept


@njit(cache=True, nogil=True, fastmath=True)
def _band_powers(x, coefs, state, frame, out):
    """Mean square per frame behind a biquad; out is (channels, frames)."""
    for c in range(x.shape[0]):
        s0, s1 = state[c]
        for k in range(out.shape[1]):
            total = 0.0
            for i in range(k * frame, (k + 1) * frame):
                v = float(x[c, i])
                y = coefs[0] * v + s0
                s0 = coefs[1] * v - coefs[4] * y + s1
                s1 = coefs[2] * v - coefs[5] * y
                total += y * y
            out[c, k] = total / frame
        state[c] = s0, s1


class Survey:
    """Push all blocks, call `finish()`, then read.

    samples          : how many there were.
    stretches        : `[(samples, position), ...]` of the steadiest quiet second(s); empty when there is none.
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
        self.bins: dict[int, tuple[int, float, np.ndarray, int]] = {}
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
        _band_powers(self.fifo.peek()[:, self.done * self.frame :], self.coefs, self.state, self.frame, powers)
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
        level = levels.max()
        key = int(np.floor(level / _BIN))
        seen = self.bins.get(key)
        unrest = float(levels.std())
        if seen is None:
            if len(self.bins) >= _KEEP and key > max(self.bins):
                return
            seen = (0, np.inf, np.empty((0, 0)), 0)
        count, best, held, position = seen
        if unrest < best:
            best, position = unrest, self.fifo.position
            held = self.fifo.peek(_FRAMES * self.frame).copy()
        self.bins[key] = (count + 1, best, held, position)
        if len(self.bins) > _KEEP:
            del self.bins[max(self.bins)]

    def finish(self) -> None:
        if self._hum is not None:
            self.hum = self._hum.finish()

    @property
    def stretches(self) -> list[tuple[np.ndarray, int]]:
        """The lowest level that occurs in earnest: in at least three stretches, or one in fifty."""
        total = sum(count for count, *_ in self.bins.values())
        wanted = max(min(3, total), total // 50)
        below, found = 0, []
        for key in sorted(self.bins):
            count, _, held, position = self.bins[key]
            below += count
            found.append((held, position))
            if below >= wanted:
                break
        return found[-2:]

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
