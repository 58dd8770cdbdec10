"""Linear-phase filters: a wanted magnitude becomes a symmetric FIR, run by partitioned overlap-save with its delay
taken out (`kernels.sound.convolve`).

Neighbouring filter stages are multiplied into one (`Response.merge`), so a high-pass, a low-pass and an equaliser
cost one convolution.  A linear phase keeps the waveform: a 100 Hz Butterworth high-pass in its usual recursive form
turns 200 Hz by about 43 degrees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft, signal

from kernels.simd import LANES
from kernels.sound import convolve, fourier
from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

BLOCK = 0.0213  # s; LANES blocks are filtered at once
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
        self._filters: np.ndarray | None = None

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

    def design(self) -> tuple[np.ndarray, int]:
        """Spectra of the parts of the taps, and half the number of taps."""
        if self._filters is None:
            taps = self.taps()
            self._half = len(taps) // 2
            self._filters = convolve.parts_of(taps, 1 << max(6, round(np.log2(self.sound.rate * BLOCK))))
        return self._filters, self._half

    def start(self, learned: Any = None) -> Run:
        return _FirRun(*self.design(), self.sound.channels)


class _FirRun(Run):
    def __init__(self, filters: np.ndarray, half: int, channels: int):
        self.filters, self.skip = filters, half
        self.size, parts, _ = filters.shape
        self.block = self.size // 2
        self.batch = LANES * self.block
        self.table, self.turns = fourier.table(self.size), fourier.turns(self.size)
        self.wide = convolve.width(parts)
        self.held = [convolve.held_room(parts, self.block) for _ in range(0, channels, 2)]
        self.silence, self.whole = np.zeros(self.size, np.float32), np.zeros(0, np.float32)
        self.given = self.taken = 0
        self.fifo = Fifo(channels)
        self.fifo.pad(self.block)

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        self.taken += block.shape[1]
        return self._advance(max(0, (len(self.fifo) - self.block) // self.batch))

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        batches = -(-(left + self.skip) // self.batch)
        self.fifo.pad(max(0, self.block + batches * self.batch - len(self.fifo)))
        return self._advance(batches)[:, :left]

    def _advance(self, batches: int) -> np.ndarray:
        x = self.fifo.peek()
        out = np.empty((len(x), batches * self.batch), np.float32)
        for first in range(0, out.shape[1], self.batch):
            for one in range(0, len(x), 2):
                self._convolve(x, one, first, out[:, first : first + self.batch])
        self.fifo.drop(out.shape[1])
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        self.given += out.shape[1] - cut
        return out[:, cut:]

    def _convolve(self, x: np.ndarray, one: int, first: int, out: np.ndarray) -> None:
        """Two channels at once, as real and imaginary part: a real filter leaves them apart."""
        table, size = self.table, self.size
        fourier.gather(x[one], first, self.block, size, self.whole, table, 0)
        if one + 1 < len(x):
            fourier.gather(x[one + 1], first, self.block, size, self.whole, table, 1)
        else:
            fourier.gather(self.silence, 0, 0, size, self.whole, table, 1)
        fourier.forward(table, size, self.turns)
        convolve.convolve(table, self.filters, self.held[one // 2], self.wide)
        fourier.backward(table, size, self.turns)
        for part, filtered in enumerate(out[one : one + 2]):
            fourier.scatter(table, part, self.block, self.block, filtered)
