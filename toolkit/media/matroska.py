"""Writes the display aspect ratio into a finished Matroska file.

FFmpeg's Matroska muxer takes the aspect from a field that PyAV cannot set, so files written through PyAV carry none
and players show 720x480 tapes too wide.  `reserve` is a track name of the right length; `set_display` takes its place:
it drops the name, adds DisplayWidth, DisplayHeight and DisplayUnit to the track's Video element and fills what is left
with a Void element, so that no byte after the track moves.  (RFC 8794 for EBML, RFC 9559 for the elements.)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

_SEGMENT, _TRACKS, _ENTRY = 0x18538067, 0x1654AE6B, 0xAE
_NAME, _VIDEO, _VOID, _CRC = 0x536E, 0xE0, 0xEC, 0xBF
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_UNIT_RATIO = 3  # DisplayWidth : DisplayHeight is the display aspect ratio

#: A track name that leaves room for the three elements.
reserve = "picture".ljust(40, ".")


class MalformedMatroska(ValueError):
    """The file is not laid out as FFmpeg's muxer lays it out."""


def _number(data: bytes, at: int, keep_marker: bool) -> tuple[int, int]:
    """An EBML variable-length number at `at` and its length in bytes; ids keep the length marker, sizes lose it."""
    first = data[at]
    length = 9 - first.bit_length()
    if first == 0 or at + length > len(data):
        raise MalformedMatroska(f"no EBML number at byte {at}")
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ~(1 << (7 * length))), length


def children(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """`(id, first byte, first byte of the content, end)` of each element in `data[start:end]`."""
    at, end = start, len(data) if end is None else end
    while at < end:
        ident, a = _number(data, at, True)
        size, b = _number(data, at + a, False)
        if size == (1 << 7 * b) - 1:  # size unknown: up to the end of what we have
            size = end - at - a - b
        yield ident, at, at + a + b, min(end, at + a + b + size)
        at += a + b + size


def _element(ident: int, content: bytes, size_bytes: int | None = None) -> bytes:
    name = ident.to_bytes((ident.bit_length() + 7) // 8, "big")
    length = size_bytes or next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    return name + (len(content) | 1 << 7 * length).to_bytes(length, "big") + content


def _unsigned(ident: int, value: int) -> bytes:
    return _element(ident, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _void(room: int) -> bytes:
    """A Void element of exactly `room` bytes (0, or at least 2)."""
    if room == 0:
        return b""
    if room < 2:
        raise MalformedMatroska("one byte cannot be filled")
    return _element(_VOID, bytes(room - 2)) if room < 129 else _element(_VOID, bytes(room - 9), 8)


def set_display(path: Path, dar: Fraction, head: int = 1 << 20) -> None:
    """Sets the display aspect ratio of the track named `reserve`.  Raises `MalformedMatroska` when it is not there."""
    with path.open("r+b") as file:
        data = file.read(head)
        segment = next((c for i, _, c, _ in children(data) if i == _SEGMENT), None)
        if segment is None:
            raise MalformedMatroska("no Segment")
        found = next((one for one in children(data, segment) if one[0] == _TRACKS), None)
        if found is None:
            raise MalformedMatroska("no Tracks in the first megabyte")
        tracks, tracks_end = found[2:]
        for ident, _, entry, entry_end in children(data, tracks, tracks_end):
            if ident == _ENTRY:
                new = _with_display(data[entry:entry_end], dar)
                if new is not None:
                    data = data[:entry] + new + data[entry_end:]
                    break
        else:
            raise MalformedMatroska("no track holds the reserved name")
        for ident, _, crc, crc_end in children(data, tracks, tracks_end):
            if ident == _CRC:  # over all that follows it in its parent
                data = data[:crc] + zlib.crc32(data[crc_end:tracks_end]).to_bytes(4, "little") + data[crc_end:]
        file.seek(tracks)
        file.write(data[tracks:tracks_end])


def _with_display(entry: bytes, dar: Fraction) -> bytes | None:
    """A TrackEntry's content, equally long, with the display elements in place of the reserved name."""
    parts, found = [], False
    for ident, start, content, end in children(entry):
        if ident == _NAME and entry[content:end] == reserve.encode():
            found = True
        elif ident == _VIDEO:
            display = (
                _unsigned(_DISPLAY_WIDTH, dar.numerator)
                + _unsigned(_DISPLAY_HEIGHT, dar.denominator)
                + _unsigned(_DISPLAY_UNIT, _UNIT_RATIO)
            )
            parts.append(_element(_VIDEO, entry[content:end] + display))
        else:
            parts.append(entry[start:end])
    if not found:
        return None
    new = b"".join(parts)
    return new + _void(len(entry) - len(new))
