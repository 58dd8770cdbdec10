"""Spectral denoising by a noise profile: the track's own hiss, measured where nothing else is heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from scipy import fft, special

from toolkit.audio.run import PassRun, Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

WINDOW = 0.043  # s
_BATCH = 32  # frames


def frame_size(rate: int) -> int:
    return 1 << max(6, round(np.log2(rate * WINDOW)))


@njit(cache=True, nogil=True, fastmath=True)
def _gains(spectra, noise, floor, table, prior, adapt, before, presence):
    """Weighs each bin of `(frames, bins)` of one channel in place.

    noise  : power per bin (follows when adapt > 0).  before : power of the last clean estimate.  presence : state.
    table  : exp(E1(v) / 2) at v = 10 ** (i / 64 - 4).
    """
    for t in range(spectra.shape[0]):
        for k in range(spectra.shape[1]):
            z = spectra[t, k]
            power = z.real * z.real + z.imag * z.imag
            n = noise[k]
            if n <= 0:
                continue
            gamma = min(power / n, 1e4)
            xi = max(prior * before[k] / n + (1 - prior) * max(gamma - 1, 0), 3e-3)
            wiener = xi / (1 + xi)
            v = max(gamma * wiener, 1e-4)
            place = (np.log10(v) + 4) * 64
            i = int(place)
            if i >= len(table) - 1:
                lift = 1.0
            else:
                lift = table[i] + (table[i + 1] - table[i]) * (place - i)
            g = wiener * lift
            if g > 1:
                g = 1.0
            before[k] = g * g * power
            if adapt > 0:
                p = 1 / (1 + (1 + 31.6) * np.exp(-min(gamma, 50.0) * 31.6 / 32.6))
                presence[k] = 0.9 * presence[k] + 0.1 * p
                if presence[k] > 0.99:
                    p = min(p, 0.99)
                noise[k] += adapt * 0.2 * (1 - p) * (power - n)
            g = max(g, floor)
            spectra[t, k] = z * g


class Denoise(Prepared):
    surveys = frozenset({"noise"})

    def __init__(self, sound: SoundFormat, reduction: float, strength: float, adapt: float):
        super().__init__(sound)
        self.size = frame_size(sound.rate)
        self.hop = self.size // 4
        self.window = np.hanning(self.size + 1)[:-1].astype(np.float32)
        self.floor, self.strength, self.adapt = 10 ** (-reduction / 20), strength, adapt
        v = 10 ** (np.arange(0, 64 * 6) / 64 - 4)
        self.table = np.exp(special.exp1(v) / 2)

    def spectra(self, held: np.ndarray, frames: int) -> np.ndarray:
        """`(channels, frames, bins)` of the first `frames` windows."""
        windows = np.lib.stride_tricks.sliding_window_view(held, self.size, axis=1)[:, :: self.hop][:, :frames]
        return fft.rfft(windows * self.window)

    def learn(self, survey: Any, before: Callable[[np.ndarray, int], np.ndarray]) -> Any:
        """Noise power per channel (middle and side for stereo) and bin, or None."""
        powers = []
        for samples, position in survey.stretches:
            quiet = rotate(before(samples, position), self.sound)
            edge = self.size // 2
            quiet = quiet[:, edge : quiet.shape[1] - edge]
            frames = (quiet.shape[1] - self.size) // self.hop + 1
            if frames >= 8:
                z = self.spectra(quiet, frames)
                powers.append((z.real**2 + z.imag**2).mean(axis=1))
        if not powers:
            return None
        power = np.mean(powers, axis=0)
        kernel = np.array([1, 2, 3, 2, 1]) / 9
        return np.array([np.convolve(np.pad(p, 2, mode="edge"), kernel, "valid") for p in power])

    def start(self, learned: Any = None, position: int = 0) -> Run:
        return PassRun() if learned is None else _DenoiseRun(self, learned)


def rotate(block: np.ndarray, sound: SoundFormat) -> np.ndarray:
    """Stereo as middle and side; its own inverse.  Hiss differs between the channels, most programme does not."""
    if sound.layout != "stereo":
        return block
    left, right = block
    return np.stack([left + right, left - right]) * np.float32(np.sqrt(0.5))


class _DenoiseRun(Run):
    def __init__(self, prepared: Denoise, noise: np.ndarray):
        self.p = prepared
        channels = prepared.sound.channels
        self.noise = noise * prepared.strength
        self.before = np.zeros_like(self.noise)
        self.presence = np.zeros_like(self.noise)
        self.lead = prepared.size - prepared.hop
        self.fifo = Fifo(channels)
        self.fifo.pad(self.lead)
        self.sum = np.zeros((channels, self.lead), np.float32)
        self.skip = self.lead
        self.taken = self.given = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(rotate(block, self.p.sound))
        self.taken += block.shape[1]
        frames = max(0, (len(self.fifo) - self.lead) // self.p.hop)
        return self._advance(frames)

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        frames = -(-(left + self.skip) // self.p.hop)
        self.fifo.pad(max(0, self.lead + frames * self.p.hop - len(self.fifo)))
        return self._advance(frames)[:, :left]

    def _advance(self, frames: int) -> np.ndarray:
        p, parts = self.p, []
        while frames > 0:
            count = min(frames, _BATCH)
            spectra = p.spectra(self.fifo.peek(), count)
            for c in range(len(spectra)):
                _gains(spectra[c], self.noise[c], p.floor, p.table, 0.98, p.adapt, self.before[c], self.presence[c])
            pieces = fft.irfft(spectra, p.size) * (p.window / np.float32(1.5))
            out = np.zeros((len(spectra), self.lead + count * p.hop), np.float32)
            out[:, : self.lead] = self.sum
            for t in range(count):
                out[:, t * p.hop : t * p.hop + p.size] += pieces[:, t]
            parts.append(out[:, : count * p.hop])
            self.sum = out[:, count * p.hop :].copy()
            self.fifo.drop(count * p.hop)
            frames -= count
        if not parts:
            return np.zeros((p.sound.channels, 0), np.float32)
        out = np.concatenate(parts, axis=1)
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        out = out[:, cut:]
        self.given += out.shape[1]
        return rotate(out, p.sound)
