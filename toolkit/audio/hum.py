"""Mains hum: found over the whole track, followed, and subtracted.

Finding.  The track at about 2 kHz is cut into windows of 4 s; their spectra, divided by their local median, are
summed over harmonics (as `librosa.salience` does) for each fundamental near 50 and 60 Hz, and the best path through
time is taken.  What stands out in three windows of four is hum; a note is not there all the time.

Subtracting.  A clock runs with the found frequency.  Against it each harmonic in each 3/8 s has one complex amplitude
that hardly changes, except for what is left of the drift, which all harmonics share.  The amplitude is averaged over
a few seconds, each frame weighing as much as it is quiet half-way to the neighbouring harmonics, so speech counts
little and pauses much.  A harmonic that does not stand out of its own uncertainty is left alone.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.sound import hum_fit, humming
from toolkit.audio.decimate import Decimator
from toolkit.audio.run import PassRun, Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

log = logging.getLogger(__name__)
WINDOW, STEP = 4.0, 1.0  # s
SPAN = 0.015  # of the mains frequency each way: tapes do not run true, but the next notes are 2 % away
HARMONICS = np.arange(1, 9)
#: Excess over the local median, in nepers, from which hum is believed.
BELIEVED = 0.85


@dataclass(frozen=True, eq=False)
class HumTrack:
    """The fundamental over time.

    mains : 50 or 60.  frequencies : Hz at times `first + i * STEP` seconds.  confidence : excess of its harmonics,
    weighted by 1 / number, over their surroundings in nepers, that three windows in four reach; from `BELIEVED` on it
    counts as found.
    """

    mains: int
    first: float
    frequencies: np.ndarray
    confidence: float

    @property
    def found(self) -> bool:
        return self.confidence >= BELIEVED

    def at(self, times: np.ndarray | float) -> np.ndarray:
        """Hz at times in seconds."""
        return np.interp(times, self.first + STEP * np.arange(len(self.frequencies)), self.frequencies)

    def turns(self, times: np.ndarray) -> np.ndarray:
        """Whole turns of the fundamental since time 0, float64: the integral of `at`, exactly."""
        return humming.turns_of(np.asarray(times, np.float64), self.frequencies, self.first, STEP)

    def __repr__(self) -> str:
        f = self.frequencies
        return (
            f"HumTrack({f.mean():.3f} Hz, {f.min():.3f} to {f.max():.3f}, {len(f)} windows, "
            f"confidence {self.confidence:.2f}{'' if self.found else ', not found'})"
        )


class HumFinder:
    """Push all blocks, then `finish()` gives `{50: HumTrack, 60: HumTrack}`; empty for less than 2 s of sound."""

    CHUNK = 32  # windows at a time

    def __init__(self, sound: SoundFormat):
        self.factor = max(1, sound.rate // 2000)
        self.low = sound.rate / self.factor
        self.decimator = Decimator(sound.channels, self.factor)
        self.size, self.hop = 2 * round(WINDOW * self.low / 2), round(STEP * self.low)
        self.fifo = Fifo(sound.channels)
        self.fifo.pad(self.size // 2)  # transforms are twice as long as the window in their middle
        self.found: dict[int, list[Evidence]] = {50: [], 60: []}
        self.samples = 0

    def push(self, block: np.ndarray) -> None:
        low = self.decimator.push(block)
        self.samples += low.shape[1]
        self.fifo.push(low)
        if len(self.fifo) >= 2 * self.size + (self.CHUNK - 1) * self.hop:
            self._look(self.CHUNK)

    def finish(self) -> dict[int, HumTrack]:
        low = self.decimator.finish()
        self.samples += low.shape[1]
        self.fifo.push(low)
        if self.samples < 2 * self.low:
            return {}
        self.fifo.pad(self.size // 2 + max(0, self.size - self.samples))
        count = (len(self.fifo) - 2 * self.size) // self.hop + 1
        if count > 0:
            self._look(count)
        return {mains: follow(parts, mains) for mains, parts in self.found.items()}

    @property
    def _spacing(self) -> float:
        return self.low / (2 * self.size)

    def _look(self, count: int) -> None:
        """Spectra of the next windows over their surroundings, channels added in power, and what hums in them."""
        import librosa

        held = self.fifo.peek(2 * self.size + (count - 1) * self.hop)
        spectra = librosa.stft(
            held, n_fft=2 * self.size, win_length=self.size, hop_length=self.hop, window="hann", center=False
        )
        self.fifo.drop(count * self.hop)
        around = round(5 / self._spacing)  # the median is taken over 5 Hz, 40 bins
        bins = (int(520 / self._spacing) // around + 1) * around
        power = (np.abs(spectra[:, :bins]) ** 2).sum(axis=0)
        middle = np.median(power.reshape(-1, around, count), axis=1)
        middle = np.repeat(middle, around, axis=0) + 1e-20
        excess = np.log(power / middle + 1e-9).astype(np.float32) / 2
        for mains, parts in self.found.items():
            parts.append(evidence(excess, self._spacing, mains))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What some windows say about fundamentals near one mains frequency; arrays are `(rows, windows)`.

    freqs : Hz of the rows.  score : salience above that of frequencies further off.
    fine, weight : the fundamental by the peaks next to its harmonics, and how much they are to be believed.
    """

    freqs: np.ndarray
    score: np.ndarray
    fine: np.ndarray
    weight: np.ndarray


def evidence(excess: np.ndarray, spacing: float, mains: int) -> Evidence:
    """Harmonic summation of log spectra `(bins, windows)` for each fundamental within `SPAN` of the mains.

    The harmonics of a bin's frequency stand in whole bins, so nothing has to be interpolated, and only the bins near
    the mains are asked (what `librosa.salience` gives for them; it would work out all the others too).
    """
    near = np.arange(math.ceil(0.92 * mains / spacing), math.floor(1.08 * mains / spacing) + 1)
    clipped = np.clip(excess, 0, 3)
    salience = sum(clipped[near * h] / h for h in HARMONICS) / (1 / HARMONICS).sum()
    base = np.median(salience, axis=0)
    freqs = near * spacing
    inner = np.abs(freqs - mains) <= mains * SPAN
    reaches = np.array([max(1, round(0.06 * h / spacing)) for h in HARMONICS])
    fine, weight = humming.refine(excess, near[inner], reaches, spacing)
    return Evidence(freqs[inner], (salience[inner] - base).astype(np.float32), fine, weight)


def follow(parts: list[Evidence], mains: int) -> HumTrack:
    """The likeliest path of the fundamental through all windows; it moves at most one row, 1/8 Hz, a second."""
    freqs = parts[0].freqs
    score, fine, weight = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("score", "fine", "weight")
    )
    total, came = score[:, 0].astype(np.float64), np.zeros(score.shape, np.int8)
    for t in range(1, score.shape[1]):
        padded = np.pad(total, 1, constant_values=-np.inf)
        moves = np.stack([padded[1:-1], padded[:-2], padded[2:]])
        best = moves.argmax(axis=0)
        came[:, t] = np.array([0, -1, 1])[best]
        total = moves.max(axis=0) + score[:, t]
    path = np.empty(score.shape[1], np.int64)
    path[-1] = total.argmax()
    for t in range(score.shape[1] - 1, 0, -1):
        path[t - 1] = path[t] + came[path[t], t]
    windows = np.arange(len(path))
    confidence = float(np.quantile(score[path, windows], 0.25))
    believed = 1e-6 + weight[path, windows]
    kernel = np.hanning(7)[1:-1]
    smooth = np.convolve(believed * fine[path, windows], kernel, "same") / np.convolve(believed, kernel, "same")
    found = np.clip(smooth, freqs[0], freqs[-1])
    return HumTrack(mains, WINDOW / 2 if len(path) > 1 else 0.0, found, confidence)


FRAME = 0.375  # s; frames follow one another by half
SETTLE = 2  # frames from one settled amplitude to the next; between them it runs in a line


class Dehum(Prepared):
    surveys = frozenset({"hum"})

    def __init__(self, sound: SoundFormat, mains: str, harmonics: int, smoothing: float):
        super().__init__(sound)
        self.mains, self.smoothing = mains, smoothing
        self.factor = max(1, int(sound.rate / (2.7 * harmonics * 60)))
        self.low = sound.rate / self.factor
        self.harmonics = min(harmonics, int(0.37 * self.low / 61.5))
        self.hop = max(8, round(FRAME / 2 * self.low))  # at the low rate

    def learn(self, survey: Any) -> HumTrack | None:
        tracks = survey.hum or {}
        if self.mains != "auto":
            return tracks.get(int(self.mains))
        best = max(tracks.values(), key=lambda track: track.confidence, default=None)
        return best if best is not None and best.found else None

    def start(self, learned: Any = None) -> Run:
        return PassRun() if learned is None else DehumRun(self, learned)

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        if learned is None:
            return {"hum": None}
        f = learned.frequencies
        out = {"hz": float(f.mean()), "lowest_hz": float(f.min()), "highest_hz": float(f.max())}
        if isinstance(run, DehumRun) and run.frames:
            out["removed_db"] = float(10 * np.log10(run.removed / run.frames + 1e-20))
        return {"hum": out}


class DehumRun(Run):
    """Estimates the hum and makes it at the low rate, subtracts at the full one; holds `smoothing` seconds back."""

    def __init__(self, prepared: Dehum, track: HumTrack):
        self.p, self.track = prepared, track
        channels = prepared.sound.channels
        self.decimator = Decimator(channels, prepared.factor)
        hop = prepared.hop
        self.low = Fifo(channels)
        self.low.pad(hop)  # frame i is centred on i * hop
        self.fifo = Fifo(channels)
        self.side = self.decimator.half // prepared.factor  # low samples on each side that interpolating asks for
        self.hum = Fifo(channels, -self.side)  # at the low rate, not yet subtracted
        self.phases = humming.phases_of(self.decimator.taps, prepared.factor)
        self.reach = max(1, round(prepared.smoothing / (FRAME / 2)))
        self.window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
        self.amplitudes = np.zeros((0, channels, prepared.harmonics), np.complex64)  # raw, frames `first` onwards
        self.around = np.zeros((0, channels, prepared.harmonics), np.float32)
        self.first = 0
        self.next = 0  # frame whose smoothed amplitude comes next
        self.settled: list[np.ndarray] = []  # smoothed, of frames whose hum is not yet made
        self.made = 0  # low samples of hum
        self.removed, self.frames = 0.0, 0

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        self.low.push(self.decimator.push(block))
        self._measure(max(0, len(self.low) // self.p.hop - 1))
        self._settle(self.first + len(self.amplitudes) - self.reach)
        return self._subtract()

    def flush(self) -> np.ndarray:
        left = len(self.fifo)
        if left == 0:
            return self.fifo.take(0)
        hop = self.p.hop
        self.low.push(self.decimator.finish())
        self.low.pad((3 + SETTLE) * hop)
        frames = self.first + len(self.amplitudes)
        wanted = -(-(self.fifo.position + left) // (hop * self.p.factor)) + SETTLE + 1
        self._measure(max(0, min(wanted - frames, len(self.low) // hop - 1)))
        self._settle(self.first + len(self.amplitudes))
        self.fifo.pad((1 + SETTLE) * hop * self.p.factor)
        return self._subtract()[:, :left]

    def _measure(self, count: int) -> None:
        """Complex amplitudes of the next frames, and how loud it is between the harmonics."""
        if count <= 0:
            return
        hop, p = self.p.hop, self.p
        first = self.first + len(self.amplitudes)
        held = self.low.peek((count + 1) * hop)
        at = (first - 1 + np.arange(count + 2)) * (hop * p.factor / p.sound.rate)
        turns, middle = self.track.turns(at), self.track.turns((at[1:] + at[:-1]) / 2)
        half = humming.clock(turns / 2, middle / 2, hop)  # of half the fundamental
        raw = np.empty((count, len(held), 2 * p.harmonics + 1), np.complex64)
        for c, channel in enumerate(held):
            humming.demodulate(channel, half, self.window, raw[:, c])
        raw *= 2 / self.window.sum()
        power = raw[:, :, ::2].real ** 2 + raw[:, :, ::2].imag ** 2
        self.amplitudes = np.concatenate([self.amplitudes, raw[:, :, 1::2]])
        self.around = np.concatenate([self.around, (power[:, :, 1:] + power[:, :, :-1]) / 2])
        self.low.drop(count * hop)

    def _settle(self, last: int) -> None:
        """Averages the amplitudes around each of the frames up to `last`."""
        while self.next < last:
            lo = max(self.first, self.next - self.reach)
            hi = min(self.first + len(self.amplitudes), self.next + self.reach + 1)
            near = slice(lo - self.first, hi - self.first)
            self.settled.append(hum_fit.average(self.amplitudes[near], self.around[near], self.next - lo))
            self.next += SETTLE
        old = min(max(0, self.next - self.reach - self.first), len(self.amplitudes))
        self.amplitudes, self.around, self.first = self.amplitudes[old:], self.around[old:], self.first + old

    def _subtract(self) -> np.ndarray:
        self._hum()
        factor = self.p.factor
        count = max(0, min(len(self.hum) - 2 * self.side, len(self.fifo) // factor))
        out = np.empty((self.p.sound.channels, count * factor), np.float32)
        x, raised = self.fifo.peek(count * factor), np.empty(count * factor + self.phases.shape[1], np.float32)
        for c, hum in enumerate(self.hum.peek()):
            humming.raised(hum, self.phases, factor, count, raised)
            np.subtract(x[c], raised[: count * factor], out[c])
        self.hum.drop(count)
        self.fifo.drop(count * factor)
        return out

    def _hum(self) -> None:
        """Makes the hum up to the last settled amplitude."""
        hop, amplitudes = SETTLE * self.p.hop, np.array(self.settled)
        count = len(amplitudes) - 1
        if count <= 0:
            return
        if self.made == 0:  # what lies before the track is wanted as a neighbour
            amplitudes, count = np.concatenate([amplitudes[:1], amplitudes]), count + 1
        first = self.made - hop * (self.made == 0)
        at = (first + np.arange(count + 1) * hop) * (self.p.factor / self.p.sound.rate)
        turns, middle = self.track.turns(at), self.track.turns((at[1:] + at[:-1]) / 2)
        made = np.empty((amplitudes.shape[1], count * hop), np.float32)
        for c, channel in enumerate(made):
            humming.hum(np.ascontiguousarray(amplitudes[:, c]), turns, middle, hop, channel)
        self.hum.push(made[:, hop - self.side :] if self.made == 0 else made)
        self.made = first + count * hop
        self.removed += float((np.abs(amplitudes[:-1]) ** 2).sum() / 2 / amplitudes.shape[1])
        self.frames += count
        self.settled = self.settled[-1:]
