"""Whether sound runs as long as its picture, and by how much it does not.

Three witnesses, from the cheapest:

    times     the container's own times against the samples counted (captures that stamp each packet by the clock)
    lengths   how long the sound lasts against how long the picture does (captures that stamp nothing)
    events    cuts and flashes in the picture against onsets in the sound (on request: the whole file is decoded)

and `against`, sound against another recording of the same sound, to a fraction of a sample.  Each gives a `Sync`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from toolkit.clip import Clip
from toolkit.errors import SoundError


@dataclass(frozen=True)
class Sync:
    """How sound lies against picture.

    offset      : seconds by which the sound is late at the start (early when negative).
    ratio       : how much longer the sound should be made to keep up; 1.001 is 3.6 s in an hour.
    uncertainty : of the ratio, one standard deviation.
    method      : "times", "lengths", "events" or "sound".
    points      : how many measurements were joined.
    """

    offset: float
    ratio: float
    uncertainty: float
    method: str
    points: int

    @property
    def drift(self) -> float:
        """Milliseconds per hour by which the sound runs ahead of the picture."""
        return (self.ratio - 1) * 3.6e6

    @property
    def certain(self) -> bool:
        """Whether the drift is more than its own uncertainty could feign, and more than 5 ms in an hour."""
        return bool(abs(self.ratio - 1) > max(3 * self.uncertainty, 5 / 3.6e6))

    def __str__(self) -> str:
        return (
            f"sound {abs(self.offset) * 1000:.1f} ms {'late' if self.offset >= 0 else 'early'}, drift "
            f"{self.drift:+.0f} ms per hour (+-{self.uncertainty * 3.6e6:.0f}), from {self.points} {self.method}"
        )


def measure_drift(clip: Clip, track: int = 0) -> Sync:
    """The drift that the file itself tells: from packet times where they know one, else from the lengths.

    Reads all packets of one sound track and the picture's times; decodes no picture.
    """
    first, counted = _sound_times(clip, track)
    start, end, frame = _picture_span(clip)
    late = first[0, 0] - start if len(first) else 0.0
    rate = clip.sound[track].sample_rate
    by_times = _line(first, rate, late, _tick(clip, track))
    if by_times.certain or not len(first):
        return by_times
    length = end - start
    lasts = counted / rate
    if lasts <= 0 or length <= 0:
        return by_times
    # What both have in common is from the later start; the picture's end is known to a frame, sound may be padded.
    ratio = (length - max(0.0, late)) / lasts
    padding = 0.0 if clip.sound[track].codec.startswith(("pcm", "flac")) else _packet(first, rate)
    doubt = (frame + padding) / math.sqrt(12) / length
    by_lengths = Sync(late, ratio, doubt, "lengths", 2)
    # Lengths differ for many reasons: a ratio is believed only where tape decks and sound cards can have made it.
    return by_lengths if by_lengths.certain and abs(ratio - 1) < 0.02 else by_times


def _tick(clip: Clip, track: int) -> float:
    from toolkit.media.source import open_container

    with open_container(clip.path) as container:
        return float(container.streams[clip.sound[track].index].time_base)


def _packet(points: np.ndarray, rate: int) -> float:
    return float(np.median(np.diff(points[:, 1]))) / rate if len(points) > 1 else 0.0


def _sound_times(clip: Clip, track: int) -> tuple[np.ndarray, int]:
    """`(n, 2)` of the container's time (s) and the samples counted before, for each decoded frame; and the total.

    Where times jump by more than 50 ms there is a hole: the count jumps with them, since a hole is no drift.
    """
    import av

    from toolkit.media.source import open_container

    if not 0 <= track < len(clip.sound):
        raise SoundError(f"{clip.path.name} has no sound track {track}", expected=f"a number below {len(clip.sound)}")
    points, counted, due = [], 0, None
    rate = clip.sound[track].sample_rate
    with open_container(clip.path) as container:
        stream = container.streams[clip.sound[track].index]
        tick = float(stream.time_base)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, OSError):
                if packet is None:
                    break
                continue
            if packet is None:
                break
            for frame in frames:
                if frame.pts is not None:
                    at = frame.pts * tick
                    if due is not None and abs(at - due) > 0.05:
                        counted += round((at - due) * rate)
                    points.append((at, counted))
                    due = at
                counted += frame.samples
                if due is not None:
                    due += frame.samples / rate
    return np.array(points).reshape(-1, 2), counted


def _line(points: np.ndarray, rate: int, late: float, tick: float) -> Sync:
    """The slope of the container's times over the samples counted."""
    if len(points) < 3:
        return Sync(late, 1.0, 1.0, "times", len(points))
    at, x = points[:, 0], points[:, 1] / rate
    slope, doubt = _fit(x, at)
    # Rounding to the container's ticks is no noise that repeats independently; it cannot tilt by more than this.
    doubt = max(doubt, tick / max(x[-1] - x[0], 1e-9) / math.sqrt(len(x)))
    return Sync(late, slope, doubt, "times", len(points))


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of y over x by least squares, and its standard deviation."""
    dx = x - x.mean()
    spread = (dx**2).sum()
    if spread <= 0:
        return 1.0, 1.0
    slope = (dx * y).sum() / spread
    left = y - y.mean() - slope * dx
    return float(slope), float(math.sqrt((left**2).sum() / max(len(x) - 2, 1) / spread))


def _picture_span(clip: Clip) -> tuple[float, float, float]:
    """Time of the first frame, end of the last one, and its duration, in seconds, from the packets."""
    from toolkit.media.source import open_container, picture_stream

    first, last = math.inf, -math.inf
    frame = float(1 / (clip.rate or Fraction(25)))
    with open_container(clip.path) as container:
        stream = picture_stream(container, clip.path)
        tick = float(stream.time_base)
        for packet in container.demux(stream):
            if packet.pts is not None:
                at = packet.pts * tick
                first = min(first, at)
                last = max(last, at + (packet.duration * tick if packet.duration else frame))
    return (first, last, frame) if last > first else (clip.start, clip.start, frame)


def against(reference: np.ndarray, samples: np.ndarray, rate: int, window: float = 4.0, most: float = 0.5) -> Sync:
    """How `samples` lie against `reference`, the same sound without drift, both `(channels, n)`.

    Windows of `window` seconds are correlated where they stand; the delays, to a fraction of a sample, give a line.
    A drift blurs the correlation within each window, so it is taken out and what is left is measured again.
    `most` is the largest delay looked for, in seconds, beyond what the line so far foretells.
    """
    from toolkit.audio.resample import Stretcher

    first = last = _against(reference, samples, rate, window, most)
    ratio = first.ratio
    for _ in range(2):
        stretcher = Stretcher(samples.shape[0], ratio)
        straight = np.concatenate([stretcher.process(samples), stretcher.flush()], axis=1)
        last = _against(reference, straight, rate, window, most)
        ratio *= last.ratio
    return Sync(first.offset, ratio, last.uncertainty, "sound", last.points)


def _against(reference: np.ndarray, samples: np.ndarray, rate: int, window: float, most: float) -> Sync:
    from toolkit.audio.judge import delay

    size = round(window * rate)
    length = min(reference.shape[-1], samples.shape[-1])
    times, delays = [], []
    guess = 0.0
    for first in range(0, length - size, size):
        a = reference[:, first : first + size]
        shift = round(guess * rate)
        lo = first + shift
        if lo < 0 or lo + size > samples.shape[-1] or not float((a.astype(np.float64) ** 2).mean()) > 1e-9:
            continue
        guess = delay(a, samples[:, lo : lo + size], rate, most) + shift / rate
        times.append((first + size / 2) / rate)
        delays.append(guess)
    if len(times) < 3:
        raise SoundError(
            f"{length / rate:.1f} s of sound are too short to measure drift", expected=f"more than {4 * window:g} s"
        )
    x, y = np.array(times), np.array(delays)
    keep = np.ones(len(x), bool)
    for _ in range(5):  # windows that matched something else lie far off the line
        slope, doubt = _fit(x[keep], y[keep])
        off = np.abs(y - (y[keep].mean() + slope * (x - x[keep].mean())))
        fresh = off <= max(4 * float(np.median(off[keep])), 2 / rate)
        if (fresh == keep).all() or fresh.sum() < 3:
            break
        keep = fresh
    offset = float(y[keep].mean() - slope * x[keep].mean())
    # Delay grows where the sound is played too slowly: it must be made shorter.
    return Sync(offset, 1 / (1 + slope), doubt, "sound", int(keep.sum()))


def by_events(clip: Clip, track: int = 0, most: float = 2.0) -> Sync:
    """Offset and drift from what happens in both: cuts and flashes against onsets, a clap against its hands.

    Decodes the whole file.  Events are paired by the offset that most of them share (within `most` seconds), then by
    a line through the pairs.  One event gives an offset only; the picture knows each to half a frame.
    """
    from toolkit.media.sound import read_sound

    frame = float(1 / (clip.rate or Fraction(25)))
    seen = picture_events(clip)
    heard = sound_events(read_sound(clip, track))
    pairs = _pair(seen, heard, frame, most)
    if not len(pairs):
        raise SoundError(
            f"{clip.path.name} shows {len(seen)} cuts or flashes and {len(heard)} onsets of sound, none at once",
            expected="something seen and heard at once, as a clap",
            files="the file was not touched",
        )
    x, y = pairs.T
    if len(pairs) < 2 or np.ptp(x) < 10:
        return Sync(float(np.median(y - x)), 1.0, 1.0, "events", len(pairs))
    slope, doubt = _fit(x, y)
    doubt = max(doubt, frame / math.sqrt(12 * len(pairs)) / max(x.std(), 1e-9) / 2)
    at_start = float(y.mean() - x.mean() - (slope - 1) * (x.mean() - clip.start))
    return Sync(at_start, 1 / slope, doubt, "events", len(pairs))


def picture_events(clip: Clip) -> np.ndarray:
    """Times (s) of sudden changes of the whole picture."""
    changes, times, before = [], [], None
    for batch in clip.batches(16):
        luma = np.asarray(batch.planes[0])[:, ::4, ::4].astype(np.float32)
        for image, at in zip(luma, batch.times, strict=True):
            if before is not None:
                changes.append(float(np.abs(image - before).mean()))
                times.append(float(at))
            before = image
    return np.array(times)[_peaks(np.array(changes), spread=8)]


def sound_events(blocks: Iterator[Any]) -> np.ndarray:
    """Times (s) of sudden loudness, by librosa's onset detection on the spectral flux, then to 1 ms by energy."""
    import librosa

    found: list[float] = []
    tail: np.ndarray | None = None
    for block in blocks:
        mono = block.samples.mean(axis=0)
        lead = 0 if tail is None else len(tail)
        x = mono if tail is None else np.concatenate([tail, mono])
        begin = block.start - lead / block.rate
        tail = mono[-block.rate // 4 :]
        if len(x) < 2048 or not np.abs(x).max() > 1e-4:
            continue
        flux = librosa.onset.onset_strength(y=x, sr=block.rate, hop_length=256)
        for peak in _peaks(flux, spread=8):
            centre = peak * 256
            lo = max(0, centre - block.rate // 20)
            energy = np.convolve(x[lo : centre + block.rate // 50] ** 2, np.ones(48), "same")
            rise = np.log(np.maximum(energy[96:], 1e-10)) - np.log(np.maximum(energy[:-96], 1e-10))
            if len(rise):
                found.append(begin + (lo + 72 + int(rise.argmax())) / block.rate)
    times = np.sort(found)
    return times[np.diff(times, prepend=-np.inf) > 0.05] if len(times) else np.array([])


def _peaks(values: np.ndarray, spread: float) -> np.ndarray:
    """Indices of lone high values: `spread` times the usual scatter above the median of all."""
    if len(values) < 3:
        return np.array([], int)
    middle = np.median(values)
    scatter = np.median(np.abs(values - middle)) + 1e-3 * (np.abs(values).max() + 1e-9)
    padded = np.pad(values, 1, constant_values=-np.inf)
    top = (values > padded[:-2]) & (values >= padded[2:])
    return np.flatnonzero(top & (values > middle + spread * scatter))


def _pair(seen: np.ndarray, heard: np.ndarray, frame: float, most: float) -> np.ndarray:
    """`(n, 2)` of times seen and heard that belong together."""
    if not len(seen) or not len(heard):
        return np.empty((0, 2))
    apart = heard[None, :] - seen[:, None]
    near = apart[np.abs(apart) <= most]
    if not len(near):
        return np.empty((0, 2))
    votes = [(np.abs(near - d) < 1.5 * frame).sum() for d in near]
    shared = float(near[int(np.argmax(votes))])
    line = (shared, 0.0)
    pairs = np.empty((0, 2))
    for _ in range(8):  # the line may lean: it is followed from the pairs it has already
        found = []
        for s in seen:
            h = heard[np.abs(heard - s - line[0] - line[1] * s).argmin()]
            if abs(h - s - line[0] - line[1] * s) < 1.5 * frame:
                found.append((s, h))
        fresh = np.array(found).reshape(-1, 2)
        if len(fresh) == len(pairs):
            break
        pairs = fresh
        if len(pairs) >= 3 and np.ptp(pairs[:, 0]) > 5:
            slope, _ = _fit(pairs[:, 0], pairs[:, 1])
            line = (float((pairs[:, 1] - slope * pairs[:, 0]).mean()), slope - 1)
    return pairs
