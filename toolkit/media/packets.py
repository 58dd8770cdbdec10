"""Encoded pictures on disk, one segment a file: what an encoder of its own made of a stretch of frames.

A file holds the encoder's set-up data and then every picture with its exact times.  (Containers would round the times,
as Matroska does, or not keep decoding times and durations, as NUT does.)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from toolkit.clip import Batch
from toolkit.media.encode import EncodedPicture, Encoding

_MAGIC = b"vhs-toolkit pictures 1\n"
_LENGTH = struct.Struct("<I")
_PICTURE = struct.Struct("<qqqIB")  # pts, dts, duration, bytes, key


class DamagedPackets(ValueError):
    """A packet file that does not hold together."""


class PacketFile:
    """Encodes Batches into a file of packets with an encoder that begins and ends with it, so it can stand alone.

    The file is whole and on the disk when `close` returns; it gives back its SHA-256.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path, self.encoding, self.frames = path, encoding, 0
        self._sum = hashlib.sha256()
        self._encoder = encoding.open()
        self._file = path.open("wb")
        setup = bytes(self._encoder.extradata or b"")
        try:
            self._put(_MAGIC + _LENGTH.pack(len(setup)) + setup)
        except OSError:
            self.abort()
            raise

    def write(self, batch: Batch) -> None:
        self.encoding.check(batch, self.path.name)
        for frame, _ in self.encoding.frames(batch):
            self._keep(self._encoder.encode(frame))
            self.frames += 1

    def close(self) -> str:
        self._keep(self._encoder.encode(None))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._sum.hexdigest()

    def abort(self) -> None:
        """Gives up and removes the file."""
        with contextlib.suppress(OSError):  # what waits to be written may be what did not fit
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _keep(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            data = bytes(packet)
            head = _PICTURE.pack(packet.pts, packet.dts, packet.duration or 0, len(data), packet.is_keyframe)
            self._put(head + data)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._sum.update(data)


def read_packets(path: Path) -> Iterator[EncodedPicture]:
    """The pictures of a packet file in coding order.  Raises `DamagedPackets`."""
    with path.open("rb") as file:
        _setup(file, path)
        while head := file.read(_PICTURE.size):
            if len(head) < _PICTURE.size:
                raise DamagedPackets(f"{path.name} ends inside a picture")
            pts, dts, duration, size, key = _PICTURE.unpack(head)
            data = file.read(size)
            if len(data) < size:
                raise DamagedPackets(f"{path.name} ends inside a picture")
            yield EncodedPicture(data, pts, dts, duration, bool(key))


def setup_data(path: Path) -> bytes:
    """What the encoder of a packet file told its decoder ahead of the pictures."""
    with path.open("rb") as file:
        return _setup(file, path)


def _setup(file: Any, path: Path) -> bytes:
    head = file.read(len(_MAGIC) + _LENGTH.size)
    if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _LENGTH.size:
        raise DamagedPackets(f"{path.name} is not a file of packets")
    return file.read(_LENGTH.unpack(head[len(_MAGIC) :])[0])


def times(paths: Iterable[Path]) -> Iterator[int]:
    """Presentation times of all pictures in the files, rising within each, in the encoding's clock.

    They are read file by file: however many there are, no more than one file's are held.
    """
    for path in paths:
        yield from sorted(_times_in(path))


def _times_in(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        _setup(file, path)
        while len(head := file.read(_PICTURE.size)) == _PICTURE.size:
            pts, _, _, size, _ = _PICTURE.unpack(head)
            file.seek(size, os.SEEK_CUR)
            yield pts


def joined(paths: Iterable[Path]) -> Iterator[EncodedPicture]:
    """The pictures of all files as one stream, in coding order.

    Each encoder counted its decoding times from its own beginning, and where frames last unequally long two such
    counts overlap.  A decoding time is the presentation time so many pictures back as pictures are reordered by, which
    is what encoders count by themselves; only the first ones, for which there is none, are the first encoder's own.
    """
    number, delay, counting, first = 0, 0, True, None
    shown: deque[int] = deque()  # presentation times, from the one `delay` pictures back on
    for path in paths:
        shown.extend(times([path]))
        first = shown[0] if first is None else first
        for picture in read_packets(path):
            counting = counting and picture.dts < first
            delay += counting
            dts = picture.dts if number < delay else shown.popleft()
            number += 1
            yield EncodedPicture(picture.data, picture.pts, dts, picture.duration, picture.key)
