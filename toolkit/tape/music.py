"""Made music: four chords plucked over and over, and clicks at known times.  Any stretch of it can be asked for."""

from __future__ import annotations

import numpy as np

#: Am, F, C, G as MIDI note numbers, one chord per two seconds, a note every quarter second.
CHORDS = ((45, 57, 60, 64, 69), (41, 57, 60, 65, 69), (48, 55, 60, 64, 67), (43, 55, 59, 62, 67))
NOTE_S, RING_S, CLICK_S = 0.25, 1.5, 0.5


def clicks(duration: float) -> list[float]:
    """Times in seconds of the clicks within `duration`."""
    return [float(t) for t in np.arange(CLICK_S / 2, duration, CLICK_S)]


def play(first: int, count: int, rate: int, seed: int) -> np.ndarray:
    """Samples `first` to `first + count` of the music, `(2, count)` float32, peaks below 0.5 and clicks at 0.8."""
    out = np.zeros((2, count), np.float64)
    begin, end = first / rate, (first + count) / rate
    for n in range(max(0, int((begin - RING_S) / NOTE_S)), int(end / NOTE_S) + 1):
        chord = CHORDS[n // 8 % 4]
        rng = np.random.default_rng((seed, n))
        note = chord[0] if n % 8 == 0 else chord[1 + int(rng.integers(len(chord) - 1))]
        side = rng.uniform(0.3, 0.7)
        from_, to = max(first, round(n * NOTE_S * rate)), min(first + count, round((n * NOTE_S + RING_S) * rate))
        if from_ < to:
            wave = _pluck(np.arange(from_, to) / rate - n * NOTE_S, 440 * 2 ** ((note - 69) / 12))
            out[:, from_ - first : to - first] += np.array([[1 - side], [side]]) * 0.16 * wave
    for n in range(max(0, int((begin - CLICK_S) / CLICK_S)), int(end / CLICK_S) + 1):
        at = round((n + 0.5) * CLICK_S * rate)
        for i in range(max(at, first), min(at + round(0.002 * rate), first + count)):
            out[:, i - first] += 0.8 * np.exp(-(i - at) / (0.0003 * rate)) * (1 if (i - at) % 2 == 0 else -1)
    return out.astype(np.float32)


def _pluck(t: np.ndarray, hertz: float) -> np.ndarray:
    """A plucked string: harmonics that fade the faster the higher they are, with a soft start."""
    tone = sum(np.sin(2 * np.pi * hertz * k * t) * np.exp(-t * (1.5 + 1.2 * k)) / k for k in range(1, 7))
    return tone * np.minimum(t / 0.004, 1) * np.clip((RING_S - t) / 0.1, 0, 1)
