"""What a stream of samples is (`SoundFormat`), and the queue that turns blocks of any size into windows.

Samples are float32 `(channels, n)`, full scale 1.0, in FFmpeg's channel order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolkit.errors import SoundError

#: FFmpeg's names and channel orders of the layouts in use.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "2.1": ("FL", "FR", "LFE"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "4.0": ("FL", "FR", "FC", "BC"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.0(side)": ("FL", "FR", "FC", "SL", "SR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "5.1(side)": ("FL", "FR", "FC", "LFE", "SL", "SR"),
    "6.1": ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}

RATES = (4000, 384000)


@dataclass(frozen=True)
class SoundFormat:
    """Sample rate in Hz and channel layout by FFmpeg's name."""

    rate: int
    layout: str

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise SoundError(
                f"the sound has the channel layout {self.layout!r}",
                expected=f"one of {', '.join(LAYOUTS)}",
                hint="--audio keep",
            )
        if self.rate != int(self.rate) or not RATES[0] <= self.rate <= RATES[1]:
            raise SoundError(
                f"the sound has {self.rate} samples per second",
                expected=f"a whole number from {RATES[0]} to {RATES[1]}",
                hint="--audio keep",
            )

    @property
    def names(self) -> tuple[str, ...]:
        return LAYOUTS[self.layout]

    @property
    def channels(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return f"{self.rate} Hz {self.layout}"


def layout_of(channels: int) -> str:
    """The usual layout of that many channels."""
    if channels not in _BY_COUNT:
        raise SoundError(f"the sound has {channels} channels", expected="1 to 8", hint="--audio keep")
    return _BY_COUNT[channels]


def as_samples(samples: np.ndarray, channels: int | None = None) -> np.ndarray:
    """`samples` as contiguous float32 `(channels, n)`; 1-D is mono, integers are scaled to full scale 1.0."""
    array = np.asarray(samples)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or not 1 <= array.shape[0] <= 8:
        hint = "samples.T" if array.ndim == 2 and array.shape[1] <= 8 else ""
        raise SoundError(
            f"sound samples have the shape {array.shape}", expected="(channels, n) with 1 to 8 channels", hint=hint
        )
    if channels is not None and array.shape[0] != channels:
        raise SoundError(f"a block has {array.shape[0]} channels", expected=f"{channels}, as the stream began")
    if array.dtype == np.uint8:
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype.kind == "i":
        array = array * np.float32(1 / -float(np.iinfo(array.dtype).min))
    elif array.dtype.kind != "f":
        raise SoundError(f"sound samples are {array.dtype}", expected="float, int16, int32 or uint8")
    return np.ascontiguousarray(array, dtype=np.float32)


def decibels(ratio: float) -> float:
    """20 log10, with -inf for zero."""
    return 20 * math.log10(ratio) if ratio > 0 else -math.inf


class Fifo:
    """Blocks in, windows out: a queue of samples whose front stays contiguous.

    `position` is the index in the stream of the first sample held.
    """

    def __init__(self, channels: int, position: int = 0):
        self.position = position
        self._data = np.zeros((channels, 4096), np.float32)
        self._first = self._last = 0

    def __len__(self) -> int:
        return self._last - self._first

    def push(self, block: np.ndarray) -> None:
        n = block.shape[1]
        if self._last + n > self._data.shape[1]:
            kept = len(self)
            size = self._data.shape[1]
            held = self._data[:, self._first : self._last]
            if kept + n > size // 2:
                self._data = np.empty((self._data.shape[0], 2 * (kept + n)), np.float32)
            self._data[:, :kept] = held  # mostly in place: fresh memory has to be cleared by the system first
            self._first, self._last = 0, kept
        self._data[:, self._last : self._last + n] = block
        self._last += n

    def pad(self, n: int) -> None:
        self.push(np.zeros((self._data.shape[0], n), np.float32))

    def peek(self, n: int | None = None) -> np.ndarray:
        """A view of the first n samples (all by default), valid until the next push."""
        last = self._last if n is None else min(self._first + n, self._last)
        return self._data[:, self._first : last]

    def drop(self, n: int) -> None:
        self._first += n
        self.position += n

    def take(self, n: int) -> np.ndarray:
        block = self.peek(n).copy()
        self.drop(block.shape[1])
        return block
