"""Clip and Batch: a tape on disk, and a handful of its frames with everything that must not be lost.  Read this first.

A `Clip` says what a file holds and yields `Batch`es.  A `Batch` holds separate planes `(T, H, W)`, the presentation
time of each frame, and a `PictureFormat`: how the samples are to be understood.  Frames stay planar YUV until they
are progressive, because every RGB conversion of interlaced 4:2:0 mixes the chroma of the two fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

#: Field orders.  "unknown" stands in what a file claims, never in what is handed to a kernel.
FIELD_ORDERS = ("tff", "bff", "progressive", "unknown")
MATRICES = ("bt601", "bt709", "bt2020", "rgb", "unknown")
RANGES = ("limited", "full")
#: Where chroma sits relative to luma: "left" (MPEG-2, H.264), "center" (MPEG-1, JPEG), "topleft" (DV PAL, BT.2020).
SITINGS = ("left", "center", "topleft")


@dataclass(frozen=True)
class PictureFormat:
    """How the samples of a picture are to be understood.

    width, height : luma samples.
    subsampling   : `(x, y)` as powers of two: 4:2:0 is (1, 1), 4:2:2 (1, 0), 4:1:1 (2, 0), 4:4:4 (0, 0); None is grey.
    bits          : 8 to 16; planes are uint8 for 8, else uint16; float32 planes keep the scale of `bits`.
    sar           : sample aspect ratio, width over height of one sample; 1 when the file does not say.
    field_order   : "tff", "bff", "progressive" or "unknown".
    matrix        : "bt601", "bt709", "bt2020", "rgb" or "unknown"; `primaries` and `transfer` are FFmpeg's names.
    range         : "limited" (16-235) or "full".
    siting        : "left", "center" or "topleft".
    """

    width: int
    height: int
    subsampling: tuple[int, int] | None = (1, 1)
    bits: int = 8
    sar: Fraction = Fraction(1)
    field_order: str = "unknown"
    matrix: str = "unknown"
    primaries: str = "unknown"
    transfer: str = "unknown"
    range: str = "limited"
    siting: str = "left"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("field_order", self.field_order, FIELD_ORDERS),
            ("matrix", self.matrix, MATRICES),
            ("range", self.range, RANGES),
            ("siting", self.siting, SITINGS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")

    @property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """`(height, width)` of each plane; odd sizes round chroma up, as FFmpeg does."""
        luma = (self.height, self.width)
        if self.subsampling is None:
            return (luma,)
        sx, sy = self.subsampling
        chroma = (-(-self.height >> sy), -(-self.width >> sx))
        return luma, chroma, chroma

    @property
    def dar(self) -> Fraction:
        """Display aspect ratio, width over height of the whole picture."""
        return self.sar * self.width / self.height

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def peak(self) -> int:
        """The largest sample value."""
        return (1 << self.bits) - 1

    @property
    def interlaced(self) -> bool:
        return self.field_order in ("tff", "bff")

    def replace(self, **changes: Any) -> PictureFormat:
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        names = {(1, 1): "4:2:0", (1, 0): "4:2:2", (2, 0): "4:1:1", (0, 0): "4:4:4", None: "grey", (2, 2): "4:1:0"}
        layout = names.get(self.subsampling, str(self.subsampling))
        return (
            f"{self.width}x{self.height} {layout} {self.bits} bit {self.field_order} SAR {self.sar} "
            f"{self.matrix}/{self.range}"
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """A handful of consecutive frames.

    planes    : one (grey) or three arrays `(T, H, W)`, NumPy or CuPy, uint8, uint16 or float32.
    pts       : int64 `(T,)`, presentation time of each frame in units of `time_base` seconds.
    durations : int64 `(T,)`, how long each frame is shown, in the same unit.
    """

    planes: tuple[Any, ...]
    pts: np.ndarray
    durations: np.ndarray
    time_base: Fraction
    format: PictureFormat

    def __post_init__(self) -> None:
        lengths = {len(p) for p in self.planes} | {len(self.pts), len(self.durations)}
        if len(lengths) != 1:
            raise ValueError(f"a Batch needs as many times as frames in every plane; got lengths {sorted(lengths)}")
        shapes = tuple(tuple(p.shape[1:]) for p in self.planes)
        if shapes != self.format.plane_shapes:
            raise ValueError(f"planes are {shapes}; the format {self.format} needs {self.format.plane_shapes}")

    def __len__(self) -> int:
        return len(self.pts)

    def __getitem__(self, index: slice) -> Batch:
        """Frames `index` (a slice) as a Batch of views."""
        if not isinstance(index, slice):
            raise TypeError("a Batch is cut with a slice, batch[2:5]; one frame is batch[2:3]")
        return self.replace(
            planes=tuple(p[index] for p in self.planes), pts=self.pts[index], durations=self.durations[index]
        )

    @property
    def times(self) -> np.ndarray:
        """Presentation times in seconds, float64 `(T,)`."""
        return self.pts * float(self.time_base)

    def replace(self, **changes: Any) -> Batch:
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        shapes = " ".join("x".join(map(str, p.shape[1:])) for p in self.planes)
        span = f"{self.times[0]:.3f}..{self.times[-1]:.3f} s" if len(self) else "empty"
        return f"Batch({len(self)} frames {shapes} {self.planes[0].dtype}, {span}, {self.format})"

    @staticmethod
    def join(batches: list[Batch]) -> Batch:
        """One Batch of all frames in order.  Copies; all must share format and time base."""
        first = batches[0]
        if any(b.format != first.format or b.time_base != first.time_base for b in batches):
            raise ValueError("only batches of the same format and time base can be joined")
        if len(batches) == 1:
            return first
        return first.replace(
            planes=tuple(np.concatenate(p) for p in zip(*(b.planes for b in batches), strict=True)),
            pts=np.concatenate([b.pts for b in batches]),
            durations=np.concatenate([b.durations for b in batches]),
        )


@dataclass(frozen=True)
class SoundTrack:
    """One sound track as the container describes it.  Times are seconds on the same clock as the picture's."""

    index: int  # stream index in the container
    codec: str
    sample_rate: int
    channels: int
    layout: str
    start: float
    duration: float | None
    language: str | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Clip:
    """What a video file holds.  `Clip.open(path)` reads the headers only; `batches()` reads the picture.

    frames is the container's claim (None when it does not say); `media.probe` counts when asked.
    """

    path: Path
    container: str
    codec: str
    format: PictureFormat
    time_base: Fraction
    rate: Fraction | None  # average frame rate, None when the file does not say
    frames: int | None
    start: float  # presentation time of the first frame in seconds
    duration: float | None  # seconds
    sound: tuple[SoundTrack, ...] = ()
    vfr: bool | None = None
    metadata: dict[str, str] = field(default_factory=dict, compare=False, hash=False)

    @staticmethod
    def open(path: str | Path) -> Clip:
        """Opens a video file and reads its headers.

        Raises `InputMissing` when the path is not there, `InputUnreadable` when it holds no picture that can be read.
        """
        from toolkit.media.read import open_clip

        return open_clip(Path(path))

    def batches(self, size: int = 16, frames: tuple[int, int | None] = (0, None)) -> Iterator[Batch]:
        """Yields the frames `frames[0] <= i < frames[1]` in presentation order, at most `size` at a time."""
        from toolkit.media.read import read_batches

        return read_batches(self, size=size, frames=frames)


open_clip = Clip.open
