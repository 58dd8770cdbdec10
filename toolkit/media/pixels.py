"""FFmpeg's pixel formats and colour numbers, and how they map to a `PictureFormat`.

A pixel format is *native* when its planes can be taken as they are, *packed* when each plane is a regular stride of
one packed plane, and anything else is converted once by swscale to the nearest 4:4:4 or equal layout, never with
vertical resampling of chroma (that would mix the two fields of interlaced pictures).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.clip import PictureFormat

#: AVColorSpace -> PictureFormat.matrix.  SMPTE 240M and the rest are left "unknown" rather than called something near.
MATRIX = {0: "rgb", 1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
#: AVColorPrimaries and AVColorTransferCharacteristic by FFmpeg's names (ITU-T H.273 numbers).
PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFER = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip

_SUBSAMPLING = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}
_PLANAR = re.compile(r"^yuv(a?)(j?)(410|411|420|422|440|444)p(9|10|12|14|16)?(le)?$")
_GREY = re.compile(r"^gray(9|10|12|14|16)?(le)?$")


@dataclass(frozen=True)
class Layout:
    """Where the samples of each plane lie: `(plane, first sample, step)` in units of one sample, then a right shift."""

    subsampling: tuple[int, int] | None
    bits: int
    parts: tuple[tuple[int, int, int], ...]
    shift: int = 0
    full_range: bool = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)


_THREE = ((0, 0, 1), (1, 0, 1), (2, 0, 1))
_PACKED = {
    "yuyv422": Layout((1, 0), 8, ((0, 0, 2), (0, 1, 4), (0, 3, 4))),
    "yvyu422": Layout((1, 0), 8, ((0, 0, 2), (0, 3, 4), (0, 1, 4))),
    "uyvy422": Layout((1, 0), 8, ((0, 1, 2), (0, 0, 4), (0, 2, 4))),
    "nv12": Layout((1, 1), 8, ((0, 0, 1), (1, 0, 2), (1, 1, 2))),
    "nv21": Layout((1, 1), 8, ((0, 0, 1), (1, 1, 2), (1, 0, 2))),
    "nv16": Layout((1, 0), 8, ((0, 0, 1), (1, 0, 2), (1, 1, 2))),
    "nv24": Layout((0, 0), 8, ((0, 0, 1), (1, 0, 2), (1, 1, 2))),
    "p010le": Layout((1, 1), 10, ((0, 0, 1), (1, 0, 2), (1, 1, 2)), shift=6),
    "p210le": Layout((1, 0), 10, ((0, 0, 1), (1, 0, 2), (1, 1, 2)), shift=6),
    "y210le": Layout((1, 0), 10, ((0, 0, 2), (0, 1, 4), (0, 3, 4)), shift=6),
}


@lru_cache(maxsize=64)
def layout(name: str) -> Layout | None:
    """How to take the planes of pixel format `name` without a conversion; None when it needs one."""
    if m := _PLANAR.match(name):
        bits = int(m[4] or 8)
        if (bits > 8) == bool(m[5]):  # samples above 8 bits are taken only in little-endian order
            return Layout(_SUBSAMPLING[m[3]], bits, _THREE, full_range=bool(m[2]))
    if m := _GREY.match(name):
        bits = int(m[1] or 8)
        if (bits > 8) == bool(m[2]):
            return Layout(None, bits, ((0, 0, 1),))
    return _PACKED.get(name)


def is_rgb(format: Any) -> bool:
    """Whether a PyAV `VideoFormat` holds red, green and blue (or a palette of them)."""
    return format.is_rgb or format.name.startswith(("gbr", "pal", "bgr", "rgb", "bayer"))


def stand_in(format: Any) -> str:
    """The native pixel format that a PyAV `VideoFormat` is converted to when it has no `layout` of its own."""
    name, bits = format.name, max((c.bits for c in format.components), default=8)
    if name.endswith("be") and layout(name[:-2] + "le"):
        return name[:-2] + "le"
    if not is_rgb(format) and (m := re.search(r"(410|411|420|422|440)", name)):
        # uyyvyy411 and its like: same chroma grid, other packing.
        depth = "" if bits <= 8 else f"{min(16, max(10, bits + bits % 2))}le"
        if layout(near := f"yuv{m[1]}p{depth}"):
            return near
    return "yuv444p" if bits <= 8 else "yuv444p16le"


def pix_fmt(format: PictureFormat) -> str:
    """FFmpeg's name for planes as `format` describes them."""
    depth = "" if format.bits == 8 else f"{format.bits}le"
    if format.subsampling is None:
        return f"gray{depth}"
    names = {v: k for k, v in _SUBSAMPLING.items()}
    return f"yuv{names[format.subsampling]}p{depth}"


def tagged(format: PictureFormat) -> PictureFormat:
    """The same format with every colour tag set: what the file leaves open is filled in from the picture's size.

    Up to 576 lines that is BT.601 with the primaries of 525- or 625-line video, above it BT.709 (the choice players
    make too).
    """
    standard = format.height <= 576 and format.width <= 1024
    line_625 = standard and format.height in (288, 576, 544, 272)
    matrix, primaries, transfer = format.matrix, format.primaries, format.transfer
    if matrix == "unknown":
        matrix = {"bt709": "bt709", "bt2020": "bt2020"}.get(primaries) or ("bt601" if standard else "bt709")
    if primaries == "unknown":
        primaries = {"bt601": "bt470bg" if line_625 else "smpte170m", "bt2020": "bt2020"}.get(matrix, "bt709")
    if transfer == "unknown":
        transfer = {"bt601": "smpte170m", "bt2020": "bt2020-10", "rgb": "iec61966-2-1"}.get(matrix, "bt709")
    return format.replace(matrix=matrix, primaries=primaries, transfer=transfer)


def colour_numbers(format: PictureFormat) -> tuple[int, int, int, int]:
    """`(colorspace, primaries, transfer, range)` of a `tagged` format as FFmpeg's numbers."""
    spaces = {"rgb": 0, "bt709": 1, "bt2020": 9, "bt601": 5 if format.primaries == "bt470bg" else 6}
    return (
        spaces.get(format.matrix, 2),
        {v: k for k, v in PRIMARIES.items()}.get(format.primaries, 2),
        {v: k for k, v in TRANSFER.items()}.get(format.transfer, 2),
        2 if format.range == "full" else 1,
    )
