"""One look at the whole track before anything is done: how loud each channel is, and what hums."""

from __future__ import annotations

import numpy as np
from numba import njit

from toolkit.audio.signal import Fifo, SoundFormat

FRAME = 0.1  # s


@njit(cache=True, nogil=True, fastmath=True)
def _band_powers(x, coefs, frame, out):
    """Mean square in the second half of each frame of one channel, behind a biquad that settles in the first."""
    for k in range(len(out)):
        s0 = s1 = 0.0
        middle = k * frame + frame // 2
        for v in x[middle - frame // 8 : middle]:
            y = coefs[0] * v + s0
            s0 = coefs[1] * v - coefs[4] * y + s1
            s1 = coefs[2] * v - coefs[5] * y
        total = 0.0
        for v in x[middle : (k + 1) * frame]:
            y = coefs[0] * v + s0
            s0 = coefs[1] * v - coefs[4] * y + s1
            s1 = coefs[2] * v - coefs[5] * y
            total += y * y
        out[k] = total / (frame - frame // 2)


class Survey:
    """Push all blocks, call `finish()`, then read.

    wants            : "channels" (levels) and "hum".
    programme_level  : dBFS per channel, above 400 Hz, exceeded a tenth of the time; -inf for silence.
    programme_spread : dB per channel between the loudest and the quietest tenth of the time.
    hum              : `{50: HumTrack, 60: HumTrack}`, or empty.
    """

    def __init__(self, sound: SoundFormat, wants: frozenset[str]):
        from scipy import signal

        self.wants = wants
        self.frame = round(sound.rate * FRAME)
        self.coefs = signal.butter(2, min(400, sound.rate / 8), "high", fs=sound.rate, output="sos")[0]
        self.fifo = Fifo(sound.channels)
        self.counts = np.zeros((sound.channels, 115), np.int64)  # histogram of levels, 2 dB from -220 on
        self.hum: dict = {}
        self._finder = None
        if "hum" in wants:
            from toolkit.audio.hum import HumFinder

            self._finder = HumFinder(sound)

    def push(self, block: np.ndarray) -> None:
        if self._finder is not None:
            self._finder.push(block)
        if "channels" not in self.wants:
            return
        self.fifo.push(block)
        powers = np.empty((len(block), len(self.fifo) // self.frame))
        for channel, power in zip(self.fifo.peek(), powers, strict=True):
            _band_powers(channel, self.coefs, self.frame, power)
        self.fifo.drop(powers.shape[1] * self.frame)
        with np.errstate(divide="ignore"):
            levels = np.clip(10 * np.log10(powers), -219, 9)
        for count, level in zip(self.counts, levels, strict=True):
            np.add.at(count, ((level + 220) / 2).astype(int), 1)

    def finish(self) -> None:
        if self._finder is not None:
            self.hum = self._finder.finish()

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
