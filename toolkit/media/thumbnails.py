"""Small JPEG pictures of frames, kept in memory: at most 128 of them and 10 MiB."""

from __future__ import annotations

import io
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from toolkit.clip import Clip
from toolkit.media.preview import frame_at, to_rgb
from toolkit.media.times import identity

ENTRIES, BYTES = 128, 10 * 2**20


class _Bounded(LRUCache):
    """Least recently used pictures go before there are too many or they are too big together."""

    def __init__(self, entries: int, size: int) -> None:
        super().__init__(maxsize=size, getsizeof=len)
        self.entries = entries

    def __setitem__(self, key: Any, value: bytes) -> None:
        while len(self) >= self.entries and key not in self:
            self.popitem()
        super().__setitem__(key, value)


class Thumbnails:
    """A cache of thumbnails that any thread may ask; a picture that several ask for at once is decoded once.

    entries, size : at most so many pictures and so many bytes of them are kept, at every moment.

    A picture is found again by the file's path, size, time of change and inode and by the time asked for, so a file
    that was written anew gets new pictures.  No file is held open.
    """

    def __init__(self, entries: int = ENTRIES, size: int = BYTES) -> None:
        if entries < 1 or size < 1:
            raise ValueError(f"{entries = }, {size = }; expected at least one entry and one byte")
        self.entries, self.size = entries, size
        self._lock = threading.Lock()
        self._pictures = _Bounded(entries, size)
        self._under_way: dict[Any, Future] = {}
        self._clips: LRUCache = LRUCache(maxsize=16)  # headers; an index of hours takes a while to read

    def get(self, path: Path | str, time: float = 0.0, width: int = 160, within: float = 0.0) -> bytes:
        """JPEG bytes of the frame on show at `time` seconds, `width` pixels wide, in the display aspect ratio.

        within : a key frame up to so many seconds earlier will do, which is quicker.
        Raises `InputMissing` or `InputUnreadable` as `Clip.open` does; nothing is remembered of a failure.
        """
        path = Path(path)
        if not path.is_file():
            Clip.open(path)  # says what is wrong with it
        key = (identity(path), round(time, 3), width, round(within, 3))
        while True:
            with self._lock:
                if (known := self._pictures.get(key)) is not None:
                    return known
                under_way = self._under_way.get(key)
                if under_way is None:
                    mine = self._under_way[key] = Future()
                    break
            try:
                return under_way.result()
            except CancelledError:  # whoever was at it was interrupted: now it is our turn
                continue
        try:
            picture = self.draw(path, time, width, within)
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            if isinstance(error, Exception):
                mine.set_exception(error)
            else:
                mine.cancel()
            raise
        with self._lock:  # at once, so that nobody finds neither
            del self._under_way[key]
            if len(picture) <= self.size:
                self._pictures[key] = picture
        mine.set_result(picture)
        return picture

    def draw(self, path: Path, time: float, width: int, within: float) -> bytes:
        """Decodes and shrinks one frame; asked once for each picture that is not kept."""
        file = identity(path)
        with self._lock:
            clip = self._clips.get(file)
        if clip is None:
            clip = Clip.open(path)
            with self._lock:
                self._clips[file] = clip
        size = (max(2, round(width / clip.format.dar / 2) * 2), width)
        return jpeg(to_rgb(frame_at(clip, time, within))[0], size=size)

    def __len__(self) -> int:
        with self._lock:
            return len(self._pictures)

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures kept."""
        with self._lock:
            return int(self._pictures.currsize)

    def clear(self) -> None:
        """Forgets all pictures."""
        with self._lock:
            self._pictures.clear()
            self._clips.clear()


def jpeg(rgb: np.ndarray, size: tuple[int, int] | None = None, quality: int = 85) -> bytes:
    """An RGB picture uint8 `(H, W, 3)` as a JPEG file, resampled to `size` `(height, width)`.

    Chroma is kept at full size, so that red and blue lines of two fields stay apart.
    """
    from PIL import Image

    picture, out = Image.fromarray(np.ascontiguousarray(rgb)), io.BytesIO()
    if size is not None and size != rgb.shape[:2]:
        shrinks = size[1] < rgb.shape[1]
        picture = picture.resize(size[::-1], Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
    picture.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


#: The cache that the whole process shares.
shared = Thumbnails()


def thumbnail(path: Path | str, time: float = 0.0, width: int = 160, within: float = 0.0) -> bytes:
    """JPEG bytes of the frame on show at `time` seconds, from the cache that the whole process shares."""
    return shared.get(path, time, width, within)
