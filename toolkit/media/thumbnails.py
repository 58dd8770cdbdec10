"""Small JPEG pictures of frames, kept in memory: at most 128 of them and 10 MB."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from cachetools import LRUCache

from toolkit.clip import Clip
from toolkit.media.preview import Preview
from toolkit.media.times import identity

ENTRIES, BYTES = 128, 10_000_000
_OPEN = 2  # clips kept open for the next thumbnail


class _Bounded(LRUCache):
    """Least recently used pictures go when there are too many or they are too big together."""

    def __init__(self) -> None:
        super().__init__(maxsize=BYTES, getsizeof=len)

    def __setitem__(self, key: Any, value: bytes) -> None:
        super().__setitem__(key, value)
        while len(self) > ENTRIES:
            self.popitem()


class Thumbnails:
    """A cache of thumbnails that any thread may ask.

    A picture is found again by the file's path, size and time of change and by the time asked for, so a file that
    was written anew gets new pictures.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pictures = _Bounded()
        self._open: LRUCache = LRUCache(maxsize=_OPEN)

    def get(self, path: Path | str, seconds: float = 0.0, width: int = 160) -> bytes:
        """JPEG bytes of the frame on show at `seconds`, `width` pixels wide, in the display aspect ratio.

        Raises `InputMissing` or `InputUnreadable` as `Clip.open` does.
        """
        path = Path(path)
        if not path.is_file():
            Clip.open(path)  # says what is wrong with it
        file = identity(path)
        key = (file, round(seconds, 3), width)
        with self._lock:
            if (known := self._pictures.get(key)) is not None:
                return known
            preview = self._open.get(file)
        if preview is None:
            preview = Preview(path)
        height = max(2, round(width / preview.clip.format.dar / 2) * 2)
        picture = jpeg(preview.at(seconds), size=(height, width))
        with self._lock:
            self._open[file] = preview
            if len(picture) <= BYTES:
                self._pictures[key] = picture
        return picture

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures kept."""
        return int(self._pictures.currsize)

    def clear(self) -> None:
        """Forgets all pictures and lets go of the files."""
        with self._lock:
            self._pictures.clear()
            self._open.clear()


def jpeg(rgb: np.ndarray, size: tuple[int, int] | None = None, quality: int = 2) -> bytes:
    """An RGB picture uint8 `(H, W, 3)` as a JPEG file, resampled to `size`; quality from 1 (best) to 31."""
    height, width = size or rgb.shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    frame = frame.reformat(
        width=width,
        height=height,
        format="yuvj444p" if min(height, width) < 16 else "yuvj420p",
        dst_colorspace="ITU601",  # JFIF's matrix
        dst_color_range="JPEG",
        interpolation="AREA" if width < rgb.shape[1] else "BICUBIC",
        threads=1,
    )
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, frame.format.name
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = quality
    frame.pts = 0
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])


_shared = Thumbnails()


def thumbnail(path: Path | str, seconds: float = 0.0, width: int = 160) -> bytes:
    """JPEG bytes of the frame on show at `seconds`, from the cache that the whole process shares."""
    return _shared.get(path, seconds, width)
