"""Spectral denoising by a noise profile: the track's own hiss, measured where nothing else is heard.

Profile.  Power is averaged over 5 frames and 5 bins, every eighth of a second, and its levels are counted for each
bin: what the quietest 3 % reach is hiss, as long as the bin is without sound that often (white noise tells how far
below its mean that lies).  Stretches of steady level, as a blank end of the tape, do not count beside a
programme.  Hiss is smooth over frequency, so a median over about a quarter of an octave follows, and a bound on how
much it may rise towards the bass.

Gain, twice (empirical Wiener filtering).  First the power of the sound is what the average over 5 frames and 5 bins
has above twice the noise; then that estimate, averaged over 3 frames, is the signal-to-noise ratio of a Wiener gain.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit
from scipy import fft
from scipy.ndimage import uniform_filter1d

from toolkit.audio.run import PassRun, Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

WINDOW = 0.043  # s
_BATCH = 48  # frames
_AHEAD = 3  # frames that the gain looks each way
_MARGIN = np.float32(2.0)  # of the noise, that the first estimate leaves out
_SHARE, _LEAST = 0.03, 4  # of the groups, but at least so many, lie below what is taken for noise
_SILENT = -93.0  # dBFS: under this there is nothing but the dither of 16 bits
_LOW, _LEVELS = -170, 190  # dB of the first level that is counted, and how many
_SEGMENT = 64  # groups, 8 s, whose restlessness is judged together


def frame_size(rate: int) -> int:
    return 1 << max(6, round(np.log2(rate * WINDOW)))


@njit(cache=True, nogil=True, fastmath=True)
def _weigh(parts, frames, bins, noise, margin, floor):
    """Weighs, in place, all frames but the first and last three of one channel.

    parts : `frames * bins` complex values as float32 pairs, frame after frame.  noise : power per bin.
    """
    power = np.empty((frames, bins), np.float32)
    first = np.zeros((frames, bins), np.float32)
    column, gain = np.zeros(bins + 4, np.float32), np.empty(bins, np.float32)
    for t in range(frames):
        row, z = power[t], parts[2 * bins * t : 2 * bins * (t + 1)]
        for k in range(bins):
            row[k] = z[2 * k] * z[2 * k] + z[2 * k + 1] * z[2 * k + 1]
    for t in range(2, frames - 2):
        a, b, c, d, e = power[t - 2], power[t - 1], power[t], power[t + 1], power[t + 2]
        inner = column[2 : 2 + bins]
        for k in range(bins):
            inner[k] = a[k] + b[k] + c[k] + d[k] + e[k]
        column[0] = column[1] = column[2]
        column[bins + 2] = column[bins + 3] = column[bins + 1]
        c0, c1, c2, c3, c4 = column[:bins], column[1:], column[2:], column[3:], column[4:]
        row = first[t]
        for k in range(bins):
            mean = (c0[k] + c1[k] + c2[k] + c3[k] + c4[k]) * np.float32(0.04)
            over = max(mean - margin * noise[k], np.float32(0))
            part = over / (over + noise[k])
            row[k] = part * part * c[k]
    for t in range(3, frames - 3):
        a, b, c = first[t - 1], first[t], first[t + 1]
        for k in range(bins):
            clean = (a[k] + b[k] + c[k]) * np.float32(1 / 3)
            gain[k] = max(clean / (clean + noise[k]), floor)
        z = parts[2 * bins * t : 2 * bins * (t + 1)]
        for k in range(bins):
            z[2 * k] *= gain[k]
            z[2 * k + 1] *= gain[k]


class Denoise(Prepared):
    meters = True

    def __init__(self, sound: SoundFormat, reduction: float, strength: float, hiss: float = 0.0):
        super().__init__(sound)
        self.size = frame_size(sound.rate)
        self.hop = self.size // 4
        self.window = np.hanning(self.size + 1)[:-1].astype(np.float32)
        self.back = self.window / np.float32(1.5)  # four squared windows overlap to 1.5
        self.floor, self.strength = np.float32(10 ** (-reduction / 20)), strength
        self.hiss = hiss
        self.meters = hiss == 0

    def spectra(self, held: np.ndarray, frames: int) -> np.ndarray:
        """`(channels, frames, bins)` of the first `frames` windows."""
        windows = np.lib.stride_tricks.sliding_window_view(held, self.size, axis=1)[:, :: self.hop][:, :frames]
        return fft.rfft(windows * self.window)

    def meter(self) -> NoiseMeter:
        return NoiseMeter(self)

    def start(self, learned: Any = None) -> Run:
        if self.hiss:
            power = 10 ** (self.hiss / 10) * self.size * 3 / 8
            learned = np.full((self.sound.channels, self.size // 2 + 1), power, np.float32)
        return PassRun() if learned is None else _DenoiseRun(self, learned)

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        return {"noise_dbfs": None if learned is None else profile_level(learned, self.size)}


def profile_level(profile: np.ndarray, size: int) -> float:
    """RMS in dBFS of the noise that a profile describes, mean of all channels."""
    return float(10 * np.log10(2 * profile.sum(axis=1).mean() / size / (size * 3 / 8) + 1e-30))


class NoiseMeter:
    """Push all blocks; `result()` is the noise power per channel (middle and side for stereo) and bin, or None."""

    def __init__(self, prepared: Denoise):
        self.p = prepared
        channels, bins = prepared.sound.channels, prepared.size // 2 + 1
        self.fifo = Fifo(channels)
        self.span = prepared.size + 4 * prepared.hop
        self.every = max(self.span, prepared.sound.rate // 8)
        self.restless, self.steady = (np.zeros((channels, bins, _LEVELS), np.uint32) for _ in range(2))
        self.segment: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> None:
        self.fifo.push(block)
        while len(self.fifo) >= self.every:
            self._group(self.fifo.peek(self.span))
            self.fifo.drop(self.every)

    def _group(self, samples: np.ndarray) -> None:
        z = self.p.spectra(rotate(samples, self.p.sound), 5)
        power = uniform_filter1d((z.real**2 + z.imag**2).mean(axis=1), 5, axis=1)
        if profile_level(power, self.p.size) > _SILENT:
            self.segment.append(np.log10(np.maximum(power, 1e-16)).astype(np.float32) * 10)
            if len(self.segment) == _SEGMENT:
                self._count()

    def _count(self) -> None:
        if not self.segment:
            return
        levels = np.array(self.segment)
        whole = np.sort(levels.max(axis=2).max(axis=1))
        restless = whole[-1 - len(whole) // 10] - whole[len(whole) // 10] > 6
        into = self.restless if restless else self.steady
        for group in levels:
            index = np.clip(np.round(group - _LOW), 0, _LEVELS - 1).astype(np.intp)
            np.put_along_axis(into, index[..., None], np.take_along_axis(into, index[..., None], 2) + 1, 2)
        self.segment = []

    def result(self) -> np.ndarray | None:
        if len(self.fifo) >= self.span:
            self._group(self.fifo.peek(self.span))
        self._count()
        counts = self.restless if self.restless[0, 0].sum() >= _SEGMENT // 4 else self.restless + self.steady
        total = int(counts[0, 0].sum())
        if total < 4:
            return None
        below = np.cumsum(counts, axis=2) / total
        share = min(max(_SHARE, _LEAST / total), 0.5)
        at = (below >= share).argmax(axis=2)
        before = np.take_along_axis(below, np.maximum(at - 1, 0)[..., None], 2)[..., 0]
        here = np.take_along_axis(below, at[..., None], 2)[..., 0]
        level = _LOW + at - 0.5 + np.clip((share - before) / np.maximum(here - before, 1e-9), 0, 1)
        low = 10 ** (level / 10) / _below_mean(share)
        low = smooth_over_frequency(low)
        hold_down(low, self.p.sound.rate / self.p.size)
        return (low + 1e-20).astype(np.float32)


@functools.cache
def _white() -> np.ndarray:
    """Averaged power of white noise over its mean, sorted; no matter of size, so it is found on short windows."""
    noise = np.random.default_rng(1).standard_normal((1500, 512))
    windows = np.lib.stride_tricks.sliding_window_view(noise, 256, axis=1)[:, ::64] * np.hanning(257)[:-1]
    power = uniform_filter1d((np.abs(fft.rfft(windows)) ** 2).mean(axis=1), 5, axis=1)[:, 8:-8]
    return np.sort(power.ravel() / power.mean())


def _below_mean(share: float) -> float:
    """What that share of averaged noise powers lie below, over their mean."""
    white = _white()
    return float(white[round(share * (len(white) - 1))])


def smooth_over_frequency(power: np.ndarray) -> np.ndarray:
    """Median over 2 bins plus an eighth of the frequency each way: narrow tones are no noise."""
    out = np.empty_like(power)
    bins = power.shape[1]
    for k in range(bins):
        reach = 2 + k // 8
        out[:, k] = np.median(power[:, max(0, k - reach) : min(bins, k + reach + 1)], axis=1)
    return out


def hold_down(power: np.ndarray, spacing: float) -> None:
    """Lets the noise rise, in place, by no more than 1.5 dB per octave below 1 kHz.

    Bass and chords may leave no quiet moment there; hiss is white or grows with the frequency.
    """
    bins = power.shape[1]
    for k in range(min(int(1000 / spacing), bins // 4), 0, -1):
        above = np.arange(int(1.5 * k) + 1, 4 * k + 1)
        most = (power[:, above] * np.sqrt(above / k)).max(axis=1)
        power[:, k] = np.minimum(power[:, k], most)
    power[:, 0] = np.minimum(power[:, 0], power[:, 1])


def rotate(block: np.ndarray, sound: SoundFormat) -> np.ndarray:
    """Stereo as middle and side; its own inverse.  Hiss differs between the channels, most programme does not."""
    if sound.layout != "stereo":
        return block
    out = np.empty_like(block)
    np.add(block[0], block[1], out[0])
    np.subtract(block[0], block[1], out[1])
    out *= np.float32(np.sqrt(0.5))
    return out


class _DenoiseRun(Run):
    def __init__(self, prepared: Denoise, noise: np.ndarray):
        self.p = prepared
        channels, bins = noise.shape
        self.noise = noise * np.float32(prepared.strength)
        self.lead = prepared.size - prepared.hop
        self.fifo = Fifo(channels)
        self.fifo.pad(self.lead)
        self.spectra = np.zeros((channels, _AHEAD, bins), np.complex64)  # frames that are not weighed yet, and context
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
        frames = -(-(left + self.skip) // self.p.hop) + _AHEAD
        self.fifo.pad(max(0, self.lead + frames * self.p.hop - len(self.fifo)))
        return self._advance(frames)[:, :left]

    def _advance(self, frames: int) -> np.ndarray:
        p, parts = self.p, []
        while frames > 0:
            count = min(frames, _BATCH)
            frames -= count
            fresh = p.spectra(self.fifo.peek(), count)
            self.fifo.drop(count * p.hop)
            spectra = np.concatenate([self.spectra, fresh], axis=1)
            total = spectra.shape[1]
            ready = total - 2 * _AHEAD
            self.spectra = spectra[:, max(0, ready) :].copy()
            if ready <= 0:
                continue
            for z, noise in zip(spectra, self.noise, strict=True):
                _weigh(z.reshape(-1).view(np.float32), total, z.shape[1], noise, _MARGIN, p.floor)
            parts.append(self._overlap_add(spectra[:, _AHEAD : _AHEAD + ready]))
        if not parts:
            return np.zeros((p.sound.channels, 0), np.float32)
        out = np.concatenate(parts, axis=1)
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        out = out[:, cut:]
        self.given += out.shape[1]
        return rotate(out, p.sound)

    def _overlap_add(self, spectra: np.ndarray) -> np.ndarray:
        p, count = self.p, spectra.shape[1]
        pieces = fft.irfft(spectra, p.size)
        pieces *= p.back
        out = np.zeros((len(spectra), count + 3, p.hop), np.float32)
        out[:, :3] = self.sum.reshape(-1, 3, p.hop)
        for quarter in range(4):
            out[:, quarter : quarter + count] += pieces[:, :, quarter * p.hop : (quarter + 1) * p.hop]
        self.sum = out[:, count:].reshape(len(out), -1).copy()
        return out[:, :count].reshape(len(out), -1)
