"""Where a track waits between the pass that measures something and the one that uses it."""

from __future__ import annotations

import itertools
import logging
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)


_numbers = itertools.count()
_SHAPE = struct.Struct("<II")  # channels and samples, ahead of each block in the file


class Spool:
    """Blocks of samples, to be read back once, in order: in memory, or as a file of float32 in `folder`.

    A file that cannot grow any further (disk full) is given up: `broken` is set, nothing is raised.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.path = folder / f"sound-{next(_numbers)}.f32" if folder else None
        self._file = open(self.path, "wb") if self.path else None
        self._blocks: list[np.ndarray] = []
        self.broken = False

    def push(self, block: np.ndarray) -> None:
        if self.broken or block.shape[1] == 0:
            return
        if self._file is None:
            self._blocks.append(block)
            return
        try:
            self._file.write(_SHAPE.pack(*block.shape))
            self._file.write(np.ascontiguousarray(block, np.float32).data)
        except OSError as error:
            log.warning("no room for the sound between its two passes (%s); it will be worked out twice", error)
            self.broken = True
            self.close()

    def another(self) -> Spool:
        """An empty one of the same kind."""
        return Spool(self.folder)

    def empty(self) -> None:
        """Forgets what was pushed."""
        self._blocks = []
        if self._file is not None and not self.broken:
            self._file.seek(0)
            self._file.truncate()

    def close(self) -> None:
        """Gives the memory or the disk space back."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # what could not be flushed is not wanted any more
            self.path.unlink(missing_ok=True)
        self._blocks = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """The blocks in order; those in memory are let go one by one."""
        if self._file is None:
            self._blocks.reverse()
            while self._blocks:
                yield self._blocks.pop()
            return
        self._file.flush()
        with open(self.path, "rb") as file:
            while head := file.read(_SHAPE.size):
                channels, n = _SHAPE.unpack(head)
                yield np.fromfile(file, np.float32, channels * n).reshape(channels, n)


def room_for(size: float, folder: Path) -> bool:
    """Whether the disk under `folder` holds `size` bytes and a tenth more."""
    return shutil.disk_usage(folder).free > 1.1 * size
