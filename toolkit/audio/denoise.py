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

from kernels.simd import LANES
from kernels.sound import fourier, wiener
from toolkit.audio.run import PassRun, Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

WINDOW = 0.043  # s
_MARGIN = np.float32(2.0)  # of the noise, that the first estimate leaves out
_GROUP = 5  # frames whose power the meter averages
_SHARE, _LEAST = 0.03, 4  # of the groups, but at least so many, lie below what is taken for noise
_SILENT = -93.0  # dBFS: under this there is nothing but the dither of 16 bits
_LOW, _LEVELS = -170, 190  # dB of the first level that is counted, and how many
_SEGMENT = 64  # groups, 8 s, whose restlessness is judged together


def frame_size(rate: int) -> int:
    return 1 << max(6, round(np.log2(rate * WINDOW)))


class Denoise(Prepared):
    meters = True

    def __init__(self, sound: SoundFormat, reduction: float, strength: float, hiss: float = 0.0):
        super().__init__(sound)
        self.size = frame_size(sound.rate)
        self.hop = self.size // 4
        window = np.hanning(self.size + 1)[:-1]
        self.window = (window / 2).astype(np.float32)  # two channels in one transform come out doubled
        self.back = (window / 1.5 / self.size).astype(np.float32)  # four squared windows overlap to 1.5
        self.floor, self.strength = np.float32(10 ** (-reduction / 20)), strength
        self.hiss = hiss
        self.meters = hiss == 0

    def meter(self) -> NoiseMeter:
        return NoiseMeter(self)

    def start(self, learned: Any = None) -> Run:
        if self.hiss:
            power = 10 ** (self.hiss / 10) * self.size * 3 / 8
            learned = np.full((self.sound.channels, self.size // 2 + 1), power, np.float32)
        return PassRun() if learned is None else _DenoiseRun(self, learned)

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        return {"noise_dbfs": None if learned is None else profile_level(learned, self.size)}


class Windows:
    """Short-time spectra of the channels, two by two, LANES windows at a time."""

    def __init__(self, prepared: Denoise):
        self.size, self.window = prepared.size, prepared.window
        self.table, self.rows = fourier.table(self.size), fourier.rows_of(self.size)
        self.turns = fourier.turns(self.size)
        self.nothing = np.zeros(self.size, np.float32)

    def transform(self, held: np.ndarray, one: int, first: int, pitch: int) -> None:
        """Channels `one` and `one + 1` (silence where there is none) of windows `pitch` apart, into the table."""
        fourier.gather(held[one], first, pitch, self.size, self.window, self.table, 0)
        if one + 1 < len(held):
            fourier.gather(held[one + 1], first, pitch, self.size, self.window, self.table, 1)
        else:
            fourier.gather(self.nothing, 0, 0, self.size, self.window, self.table, 1)
        fourier.forward(self.table, self.size, self.turns)


def profile_level(profile: np.ndarray, size: int) -> float:
    """RMS in dBFS of the noise that a profile describes, mean of all channels."""
    return float(_level_of(profile.sum(axis=1).mean(), size))


def _level_of(power: Any, size: int) -> Any:
    """RMS in dBFS of the sums over bins of powers."""
    return 10 * np.log10(2 * power / size / (size * 3 / 8) + 1e-30)


class NoiseMeter:
    """Push all blocks; `result()` is the noise power per channel (middle and side for stereo) and bin, or None."""

    def __init__(self, prepared: Denoise):
        self.p = prepared
        channels, bins = prepared.sound.channels, prepared.size // 2 + 1
        self.fifo = Fifo(channels)
        self.span = prepared.size + (_GROUP - 1) * prepared.hop
        self.every = max(self.span, prepared.sound.rate // 8)
        self.batch = LANES * self.every
        self.windows = Windows(prepared)
        self.powers = np.empty((channels + channels % 2, bins, LANES), np.float32)
        self.restless, self.steady = (np.zeros((channels, bins, _LEVELS), np.uint32) for _ in range(2))
        self.segment: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> None:
        self.fifo.push(rotate(block, self.p.sound))
        while len(self.fifo) >= self.batch:
            self._groups(LANES)
            self.fifo.drop(LANES * self.every)

    def _groups(self, count: int) -> None:
        """Takes the levels of the next groups, each in a lane of its own."""
        held, channels = self.fifo.peek(self.batch), self.p.sound.channels
        self.powers[:] = 0
        for one in range(0, channels, 2):
            for i in range(_GROUP):
                self.windows.transform(held, one, i * self.p.hop, self.every)
                args = self.windows.table, self.windows.rows, self.p.size
                wiener.add_powers(*args, self.powers[one].ravel(), self.powers[one + 1].ravel())
        power, totals = np.empty_like(self.powers[:channels]), np.empty((channels, LANES), np.float32)
        for c in range(channels):
            wiener.average_bins(self.powers[c], 1 / _GROUP, power[c], totals[c])
        heard = _level_of(totals.mean(axis=0), self.p.size) > _SILENT
        levels = np.log(np.maximum(power, 1e-16)) * np.float32(10 / np.log(10))
        for group in np.flatnonzero(heard[:count]):
            self.segment.append(levels[..., group].copy())
            if len(self.segment) == _SEGMENT:
                self._count()

    def _count(self) -> None:
        if not self.segment:
            return
        levels = np.array(self.segment)
        whole = np.sort(levels.max(axis=2).max(axis=1))
        restless = whole[-1 - len(whole) // 10] - whole[len(whole) // 10] > 6
        _count_levels(levels, self.restless if restless else self.steady)
        self.segment = []

    def result(self) -> np.ndarray | None:
        if len(self.fifo) >= self.span:
            count = (len(self.fifo) - self.span) // self.every + 1
            self.fifo.pad(self.batch - len(self.fifo))
            self._groups(count)
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


@njit(cache=True, nogil=True)
def _count_levels(levels, into):
    """Counts levels `(groups, channels, bins)` in dB by whole ones, for each channel and bin."""
    for g in range(levels.shape[0]):
        for c in range(levels.shape[1]):
            for k in range(levels.shape[2]):
                into[c, k, min(max(int(levels[g, c, k] - _LOW + 0.5), 0), _LEVELS - 1)] += 1


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
    out = np.empty(block.shape, np.float32)
    wiener.turn(block[0], block[1], out[0], out[1])
    return out


class _Channel:
    """What a channel's frames leave for those after them; see `kernels.sound.wiener`."""

    def __init__(self, size: int):
        bins = size // 2 + 1
        self.spectrum, self.power = wiener.spectrum_room(bins), wiener.power_room(bins)
        self.before = np.zeros(2 * bins, np.float32)
        self.carry = np.zeros(3 * size, np.float32)


class _DenoiseRun(Run):
    def __init__(self, prepared: Denoise, noise: np.ndarray):
        self.p = prepared
        self.noise = noise * np.float32(prepared.strength)
        self.lead = prepared.size - prepared.hop
        self.batch = LANES * prepared.hop
        self.fifo = Fifo(len(noise))
        self.fifo.pad(self.lead)
        self.windows = Windows(prepared)
        self.channels = [_Channel(prepared.size) for _ in range(len(noise) + len(noise) % 2)]
        self.skip = self.lead + wiener.AHEAD * prepared.hop
        self.taken = self.given = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(rotate(block, self.p.sound))
        self.taken += block.shape[1]
        return self._advance(max(0, (len(self.fifo) - self.lead) // self.batch))

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        batches = -(-(left + self.skip) // self.batch)
        self.fifo.pad(max(0, self.lead + batches * self.batch - len(self.fifo)))
        return self._advance(batches)[:, :left]

    def _advance(self, batches: int) -> np.ndarray:
        out = np.empty((len(self.noise), batches * self.batch), np.float32)
        for first in range(0, out.shape[1], self.batch):
            held = self.fifo.peek()
            for one in range(0, len(out), 2):
                self._treat(held, one, out[:, first : first + self.batch])
            self.fifo.drop(self.batch)
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        out = out[:, cut:]
        self.given += out.shape[1]
        return rotate(out, self.p.sound)

    def _treat(self, held: np.ndarray, one: int, out: np.ndarray) -> None:
        """LANES frames of channels `one` and `one + 1`."""
        p, windows = self.p, self.windows
        table, rows, size = windows.table, windows.rows, p.size
        a, b = self.channels[one : one + 2]
        windows.transform(held, one, 0, p.hop)
        wiener.take_apart(table, rows, size, a.spectrum, a.power, b.spectrum, b.power)
        for channel, noise in zip((a, b), self.noise[one : one + 2], strict=False):
            wiener.lower(channel.spectrum, channel.power, channel.before, noise, _MARGIN, p.floor)
        wiener.put_together(a.spectrum, b.spectrum, rows, size, table)
        fourier.backward(table, size, windows.turns)
        for part, (channel, quarters) in enumerate(zip((a, b), out[one : one + 2], strict=False)):
            fourier.overlap_add(table, part, size, p.back, channel.carry, quarters)
