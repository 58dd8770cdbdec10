"""Seeded sound with a known clean original: speech, music, and what a worn tape does to them.

Used by tests, benchmarks and the notebook.  Speech comes from espeak-ng where that is installed; otherwise a glottal
source runs through moving formants, which is not language but has its pauses, pitch and spectrum.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np

SENTENCES = (
    "Good evening, and welcome to the nineteen ninety four summer concert.",
    "We are very glad that so many of you came tonight, in spite of the rain.",
    "The children have practised for weeks, and the orchestra has grown again.",
    "Please do not forget to visit the small exhibition in the hall.",
    "Afterwards there will be tea and cake, and the choir will sing old songs.",
    "My grandfather bought this camera in a shop that no longer exists.",
    "Look at the waves! Has anybody seen where the dog went?",
    "It was the first warm Sunday of the year, and everybody was outside.",
)


def speech(seconds: float, rate: int = 48000, seed: int = 0) -> tuple[np.ndarray, str]:
    """Mono speech, float32 `(1, n)` with peak 0.5, and the name of its source."""
    rng = np.random.default_rng(seed)
    espeak = shutil.which("espeak-ng")
    total = round(seconds * rate)
    if espeak is None:
        return _level(_formant_speech(total, rate, rng))[None], "formant synthesis (espeak-ng is not installed)"
    parts, length = [], 0
    voices = ("en-us", "en-gb", "en-us+f3", "en-gb+m3")
    while length < total:
        words = SENTENCES[rng.integers(len(SENTENCES))]
        part = _speak(espeak, words, voices[rng.integers(len(voices))], int(rng.integers(130, 170)), rate)
        pause = np.zeros(round(rng.uniform(0.5, 1.2) * rate), np.float32)
        parts += [pause, part * rng.uniform(0.6, 1.0)]
        length += len(pause) + len(part)
    return _level(np.concatenate(parts)[:total])[None], "espeak-ng"


def _speak(espeak: str, words: str, voice: str, pace: int, rate: int) -> np.ndarray:
    import soundfile
    import soxr

    from toolkit import process

    done = process.run([espeak, "-v", voice, "-s", str(pace), "--stdout", words], timeout=60)
    samples, own = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    return soxr.resample(samples, own, rate).astype(np.float32)


def _formant_speech(total: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    from scipy import signal

    step = rate // 100
    frames = total // step + 2
    syllable = np.repeat(rng.random(frames // 18 + 2) > 0.25, 18)[:frames]
    level = np.convolve(syllable.astype(float), np.hanning(9) / 4, "same")
    drift = np.cumsum(rng.standard_normal(frames)) * 0.01
    pitch = 130 * 2 ** (0.25 * np.sin(np.arange(frames) / 40) + 0.1 * np.sin(drift))
    phase = np.cumsum(np.repeat(pitch, step)[:total] / rate)
    pulses = np.diff(np.floor(phase), prepend=0) + 0.02 * rng.standard_normal(total)
    out = np.zeros(total)
    for low, high, width in ((300, 800, 90), (900, 2200, 120), (2300, 3000, 160)):
        centre = np.repeat(rng.uniform(low, high, frames // 18 + 2), 18)[:frames]
        state = np.zeros(2)
        for f in range(frames - 1):
            lo, hi = f * step, min((f + 1) * step, total)
            if lo >= hi:
                break
            r, w = np.exp(-np.pi * width / rate), 2 * np.pi * min(centre[f], 0.45 * rate) / rate
            a = [1, -2 * r * np.cos(w), r * r]
            piece, state = signal.lfilter([1 - r], a, pulses[lo:hi], zi=state)
            out[lo:hi] += piece
    return out * np.repeat(level, step)[:total]


def music(seconds: float, rate: int = 48000, seed: int = 0) -> np.ndarray:
    """Stereo music, float32 `(2, n)` with peak 0.5: plucked chords, a bass, a melody, brushes, and rests."""
    rng = np.random.default_rng(seed)
    total = round(seconds * rate)
    out = np.zeros((2, total + 4 * rate))
    beat = 0.5
    roots = np.array([0, 5, 7, 3]) + 45
    for bar in range(int(seconds / (4 * beat)) + 1):
        if bar % 8 == 7:
            continue  # a rest: even music has quiet seconds
        root = roots[bar % len(roots)]
        at = bar * 4 * beat
        for note in (0, 7, 12, 16, 19):
            _pluck(out, rate, at + rng.uniform(0, 0.02), _pitch(root + note), 0.08, 2.0, rng.uniform(-0.6, 0.6))
        for b in range(4):
            _pluck(out, rate, at + b * beat, _pitch(root - 12), 0.15, 0.5, 0.0)
            pan = rng.uniform(-0.4, 0.4)
            _pluck(out, rate, at + (b + 0.5) * beat, _pitch(root + rng.choice([12, 14, 16, 19, 24])), 0.1, 0.7, pan)
            hit = rng.standard_normal(rate // 20) * np.exp(-np.arange(rate // 20) / (rate * 0.01)) * 0.03
            first = round((at + b * beat) * rate)
            out[:, first : first + len(hit)] += hit
    return np.stack([_level(out[0, :total], out), _level(out[1, :total], out)])


def _pitch(midi: float) -> float:
    return 440 * 2 ** ((midi - 69) / 12)


def _pluck(out: np.ndarray, rate: int, at: float, f: float, level: float, seconds: float, pan: float) -> None:
    """Adds a string: partials that fade the faster the higher they are."""
    n = round(seconds * 2 * rate)
    first = round(at * rate)
    n = min(n, out.shape[1] - first)
    if n <= 0:
        return
    t = np.arange(n) / rate
    tone = np.zeros(n)
    for k in range(1, 16):
        if k * f < min(0.45 * rate, 15000):
            fade = np.exp(-t * (1 + 0.5 * k) / seconds) / k**1.3
            tone += fade * np.sin(2 * np.pi * k * f * (1 + 2e-4 * k * k) * t + k)
    tone *= level * np.minimum(1, t / 0.004)
    out[0, first : first + n] += tone * np.sqrt((1 - pan) / 2)
    out[1, first : first + n] += tone * np.sqrt((1 + pan) / 2)


def _level(x: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    peak = np.abs(x if like is None else like).max()
    return (x * (0.5 / max(peak, 1e-9))).astype(np.float32)


@dataclass(frozen=True)
class Damage:
    """What the tape adds.  Levels are dBFS (RMS); None leaves a fault out.

    hiss : noise, rising 3 dB per octave above 1 kHz.  hum : of `mains` Hz with harmonics, wandering by `wander` Hz.
    clicks : per second.  band : Hz, upper end of the tape's band.
    """

    hiss: float | None = -46.0
    hum: float | None = -40.0
    mains: float = 60.0
    wander: float = 0.2
    clicks: float = 0.0
    band: float | None = None


def damage(
    clean: np.ndarray, rate: int, what: Damage | None = None, seed: int = 0
) -> tuple[np.ndarray, dict[str, Any]]:
    """The clean sound as a worn tape gives it, float32, and the parts that were added (`hiss`, `hum`, `clicks`)."""
    what = what or Damage()
    rng = np.random.default_rng(seed + 1)
    channels, n = clean.shape
    out, parts = clean.astype(np.float64), {}
    if what.band is not None:
        out = _lowpassed(out, rate, what.band)
    if what.hiss is not None:
        parts["hiss"] = _hiss(rng, channels, n, rate, what)
    if what.hum is not None:
        parts["hum"] = np.repeat(_hum(rng, n, rate, what)[None], channels, axis=0)
    if what.clicks:
        parts["clicks"] = _clicks(rng, channels, n, rate, what.clicks)
    for part in parts.values():
        out = out + part
    return out.astype(np.float32), parts


def _lowpassed(x: np.ndarray, rate: int, band: float) -> np.ndarray:
    from scipy import signal

    if band >= 0.49 * rate:
        return x
    return signal.sosfiltfilt(signal.butter(4, band, fs=rate, output="sos"), x)


def _hiss(rng: np.random.Generator, channels: int, n: int, rate: int, what: Damage) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal((channels, n)))
    f = np.fft.rfftfreq(n, 1 / rate)
    shape = np.sqrt(np.maximum(f, 1000) / 1000) / (1 + (f / min(what.band or 14000, 0.49 * rate)) ** 8)
    noise = np.fft.irfft(spectrum * shape, n)
    return noise * (10 ** (what.hiss / 20) / max(noise.std(), 1e-12))


def _hum(rng: np.random.Generator, n: int, rate: int, what: Damage) -> np.ndarray:
    t = np.arange(n) / rate
    wander = np.sin(2 * np.pi * t / 23 + rng.uniform(0, 6)) + 0.5 * np.sin(2 * np.pi * t / 7 + rng.uniform(0, 6))
    turns = np.cumsum(what.mains + what.wander / 1.5 * wander) / rate
    hum = np.zeros(n)
    for k in range(1, 21):
        if k * what.mains * 1.02 < rate / 2:
            size = 1 / k ** (0.7 if k % 2 else 1.1) * rng.uniform(0.5, 1.0)
            hum += size * np.sin(2 * np.pi * k * turns + rng.uniform(0, 6))
    return hum * (10 ** (what.hum / 20) / hum.std())


def _clicks(rng: np.random.Generator, channels: int, n: int, rate: int, often: float) -> np.ndarray:
    out = np.zeros((channels, n))
    for _ in range(round(often * n / rate)):
        length = max(1, round(rng.uniform(0.02, 0.6) / 1000 * rate))
        at = rng.integers(0, max(1, n - length))
        shape = rng.standard_normal(length) * np.hanning(length + 2)[1:-1]
        out[:, at : at + length] += shape[: n - at] * rng.uniform(0.2, 0.7)
    return out
