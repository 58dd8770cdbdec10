"""One look at the whole track before anything is done: how loud each channel is, and what hums."""

from __future__ import annotations

import numpy as np
from numba import njit

from toolkit.audio.signal import Fifo, SoundFormat

FRAME = 0.1  # s


@njit(cache=True, nogil=True, fastmath=True)
def _band_powers(x, y, coefs, frame, out):
    """Mean square in the second half of each frame of two channels, behind a biquad that settles in the first.

    Two channels side by side wait together for their last results.
    """
    b0, a1, a2 = coefs[0], coefs[4], coefs[5]
    c1, c2 = coefs[1] - a1 * b0, coefs[2] - a2 * b0
    for k in range(out.shape[1]):
        s0 = s1 = t0 = t1 = sum_x = sum_y = 0.0
        middle, last = k * frame + frame // 2, (k + 1) * frame
        for i in range(middle - frame // 8, last):
            v, w = np.float64(x[i]), np.float64(y[i])
            p, q = b0 * v + s0, b0 * w + t0
            s0, s1 = (s1 + c1 * v) - a1 * s0, c2 * v - a2 * s0
            t0, t1 = (t1 + c1 * w) - a1 * t0, c2 * w - a2 * t0
            if i >= middle:
                sum_x += p * p
                sum_y += q * q
        out[0, k] = sum_x / (last - middle)
        out[1, k] = sum_y / (last - middle)


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
        powers, held = np.empty((len(block) + 1, len(self.fifo) // self.frame)), self.fifo.peek()
        for c in range(0, len(held), 2):
            partner = held[min(c + 1, len(held) - 1)]
            _band_powers(held[c], partner, self.coefs, self.frame, powers[c : c + 2])
        powers = powers[: len(block)]
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
