"""Linear-phase filters: a wanted magnitude becomes a symmetric FIR, run by overlap-save with its delay taken out.

Neighbouring filter stages are multiplied into one (`Response.merge`), so a high-pass, a low-pass and an equaliser
cost one convolution.  A linear phase keeps the waveform: a 100 Hz Butterworth high-pass in its usual recursive form
turns 200 Hz by about 43 degrees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft, signal

from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

Magnitude = Callable[[np.ndarray], np.ndarray]


def butterworth(f: np.ndarray, corner: float, slope: int, side: str) -> np.ndarray:
    """Magnitude of a Butterworth filter of `slope` dB per octave at frequencies f (Hz)."""
    with np.errstate(divide="ignore"):
        ratio = corner / f if side == "high" else f / corner
        return 1 / np.sqrt(1 + ratio ** (2 * slope / 6))


def bell(f: np.ndarray, centre: float, gain: float, width: float) -> np.ndarray:
    """Magnitude of the analog peaking prototype: `gain` dB at the centre, half of it (in dB) at the edges of
    `width` octaves."""
    a = 10 ** (gain / 40)
    q = 1 / (2 * np.sinh(np.log(2) / 2 * width))
    w = f / centre
    across = 1 - w**2
    return np.sqrt((across**2 + (a * w / q) ** 2) / (across**2 + (w / (a * q)) ** 2))


class Response(Prepared):
    """A magnitude over frequency, realised as one FIR.

    lowest : the lowest frequency (Hz) at which the magnitude bends; it decides the length, three periods each way.
    """

    def __init__(self, sound: SoundFormat, magnitude: Magnitude, lowest: float):
        super().__init__(sound)
        self.magnitude, self.lowest = magnitude, lowest
        self._spectrum: np.ndarray | None = None

    def merge(self, other: Response) -> Response:
        first, second = self.magnitude, other.magnitude
        return Response(self.sound, lambda f: first(f) * second(f), min(self.lowest, other.lowest))

    def taps(self) -> np.ndarray:
        """The symmetric impulse response, float64, odd length."""
        rate = self.sound.rate
        half = int(rate * min(max(3 / self.lowest, 0.005), 0.25))
        n = fft.next_fast_len(8 * half + 2, real=True)
        wanted = self.magnitude(np.arange(n // 2 + 1) * (rate / n))
        impulse = fft.irfft(wanted, n)
        taps = np.concatenate([impulse[-half:], impulse[: half + 1]]) * signal.windows.kaiser(2 * half + 1, 5.0)
        if wanted[0] == 0:  # the window lets a little DC through again; a high-pass promises none
            window = signal.windows.kaiser(2 * half + 1, 5.0)
            taps -= window * (taps.sum() / window.sum())
        return taps

    def design(self) -> tuple[np.ndarray, int, int]:
        """Spectrum of the taps, half their length, and new samples per transform."""
        if self._spectrum is None:
            taps = self.taps()
            size = 1 << int(np.ceil(np.log2(4 * len(taps))))
            self._half, self._step = len(taps) // 2, size - len(taps) + 1
            self._spectrum = fft.rfft(taps, size).astype(np.complex64)
        return self._spectrum, self._half, self._step

    def start(self, learned: Any = None) -> Run:
        return _FirRun(*self.design(), self.sound.channels)


class _FirRun(Run):
    def __init__(self, spectrum: np.ndarray, half: int, step: int, channels: int):
        self.spectrum, self.half, self.step = spectrum, half, step
        self.size = 2 * (len(spectrum) - 1)
        self.given = self.taken = 0
        self.fifo = Fifo(channels)
        self.fifo.pad(half)

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        self.taken += block.shape[1]
        count = max(0, (len(self.fifo) - 2 * self.half) // self.step)
        out = self._convolve(count)
        self.given += out.shape[1]
        return out

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        count = -(-left // self.step)
        self.fifo.pad(max(0, count * self.step + 2 * self.half - len(self.fifo)))
        return self._convolve(count)[:, :left]

    def _convolve(self, count: int) -> np.ndarray:
        held = self.fifo.peek()
        out = np.empty((held.shape[0], count * self.step), np.float32)
        for i in range(count):  # one transform at a time keeps the memory flat and the data in the cache
            window = held[:, i * self.step : i * self.step + self.size]
            result = fft.irfft(fft.rfft(window) * self.spectrum)
            out[:, i * self.step : (i + 1) * self.step] = result[:, 2 * self.half : 2 * self.half + self.step]
        self.fifo.drop(count * self.step)
        return out
