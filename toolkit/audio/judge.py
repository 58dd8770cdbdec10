"""How near a cleaned sound is to the clean original, whatever its level: SNR and log-spectral distance."""

from __future__ import annotations

import numpy as np
from scipy import fft


def delay(reference: np.ndarray, result: np.ndarray, rate: int, most: float = 0.5) -> float:
    """Seconds by which `result` is late, to a fraction of a sample, by correlation of all channels.

    Spectra are weighted by 1 / (|reference| |result|) ** 0.7 so that no single loud frequency decides.
    """
    n = reference.shape[-1] + result.shape[-1]
    size = fft.next_fast_len(n, real=True)
    a, b = fft.rfft(np.atleast_2d(reference), size), fft.rfft(np.atleast_2d(result), size)
    channels = min(len(a), len(b))
    cross = np.zeros(a.shape[1], np.complex128)
    for c in range(channels):
        z = b[c] * np.conj(a[c])
        cross += z / np.maximum(np.abs(z), 1e-12) ** 0.7
    match = fft.irfft(cross, size)
    reach = max(2, round(most * rate))
    window = np.concatenate([match[-reach:], match[: reach + 1]])
    i = int(np.clip(window.argmax(), 1, len(window) - 2))
    y0, y1, y2 = window[i - 1 : i + 2]
    bend = y0 - 2 * y1 + y2
    return (i - reach + (0.5 * (y0 - y2) / bend if bend < 0 else 0.0)) / rate


def shifted(samples: np.ndarray, seconds: float, rate: int) -> np.ndarray:
    """The sound moved earlier by `seconds`, exactly (in the frequency domain), with silence at the ends."""
    if abs(seconds * rate) < 1e-6:
        return samples
    n = samples.shape[-1]
    pad = int(abs(seconds) * rate) + 64
    size = fft.next_fast_len(n + 2 * pad, real=True)
    z = fft.rfft(np.pad(samples, ((0, 0), (pad, size - n - pad))))
    z = z * np.exp(2j * np.pi * fft.rfftfreq(size, 1 / rate) * seconds)
    return fft.irfft(z, size)[:, pad : pad + n]


def snr(clean: np.ndarray, result: np.ndarray, gain: bool = True) -> float:
    """dB of the clean sound over what differs from it, after the best single gain (loudness must not count)."""
    a, b = clean.astype(np.float64).ravel(), result.astype(np.float64).ravel()
    scale = np.dot(a, b) / max(np.dot(b, b), 1e-30) if gain else 1.0
    left = np.dot(a, a) - 2 * scale * np.dot(a, b) + scale**2 * np.dot(b, b)
    return float(10 * np.log10(np.dot(a, a) / max(left, 1e-30)))


def _magnitudes(x: np.ndarray, rate: int) -> np.ndarray:
    n = 1 << round(np.log2(rate * 0.032))
    windows = np.lib.stride_tricks.sliding_window_view(x, n, axis=1)[:, :: n // 2]
    return np.abs(fft.rfft(windows * np.hanning(n).astype(np.float32)))


def spectral_snr(clean: np.ndarray, result: np.ndarray, rate: int) -> float:
    """The SNR of short-time magnitudes after the best gain: blind to phase, and so to minimum-phase filters."""
    return snr(_magnitudes(clean, rate), _magnitudes(result, rate))


def log_spectral_distance(clean: np.ndarray, result: np.ndarray, rate: int, depth: float = 60.0) -> float:
    """Mean over 32 ms frames of the RMS difference of log spectra in dB, after the best gain.

    Both spectra are taken to be at least `depth` dB below the clean sound's loudest bin, because nobody hears what
    lies below.
    """
    a, b = clean.astype(np.float64), result.astype(np.float64)
    scale = (a * b).sum() / max((b * b).sum(), 1e-30)
    x, y = _magnitudes(clean.astype(np.float32), rate), _magnitudes((b * scale).astype(np.float32), rate)
    floor = x.max() * 10 ** (-depth / 20) + 1e-12
    difference = 20 * np.log10(np.maximum(x, floor) / np.maximum(y, floor))
    return float(np.sqrt((difference**2).mean(axis=-1)).mean())


def judge(clean: np.ndarray, result: np.ndarray, rate: int) -> dict[str, float]:
    """Delay (ms), SNR, SNR of magnitudes (dB) and log-spectral distance (dB), after the delay is taken out."""
    late = delay(clean, result, rate)
    result = shifted(result.astype(np.float64), late, rate)
    return {
        "delay_ms": late * 1000,
        "snr_db": snr(clean, result),
        "spectral_snr_db": spectral_snr(clean, result.astype(np.float32), rate),
        "lsd_db": log_spectral_distance(clean, result, rate),
    }
