"""Presentation times without decoding: where frame N is, how many frames a file promises."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
from cachetools import LRUCache

from toolkit.clip import Clip
from toolkit.media.source import open_container, picture_stream, tag_duration

_REORDERED = 32  # pictures; twice what H.264 and HEVC allow
_known: LRUCache = LRUCache(maxsize=8)
_lock = Lock()


def identity(path: Path) -> tuple[str, int, int, int]:
    """What tells a file's content from another's without reading it: path, size, time of the last change, inode."""
    stat = path.stat()
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ino


def frame_times(clip: Clip) -> np.ndarray | None:
    """Presentation time of each frame in the clip's time base, rising; int64 `(frames,)`, read only.

    Read from the packets, or from the index alone where the file has one of whole frames, so nothing is decoded; the
    last eight clips are remembered.  None when the packets do not tell (no times, two packets of one time).
    """
    key = identity(clip.path)
    with _lock:
        if key in _known:
            return _known[key]
    with open_container(clip.path) as container:
        stream = picture_stream(container, clip.path)
        times = _from_index(container, stream)
        if times is None:
            times = _from_packets(container, stream)
    if times is not None:
        times = np.sort(times)
        times = times[np.searchsorted(times, round(clip.start / clip.time_base)) :]  # undecodable before the first
        times.flags.writeable = False
        if len(times) == 0 or (np.diff(times) <= 0).any():
            times = None
    with _lock:
        _known[key] = times
    return times


def spacing(clip: Clip) -> tuple[bool | None, int | None]:
    """`(unevenly spaced, frames)` as far as the index or, of files below 64 MB, the packets tell; else None."""
    if clip.path.stat().st_size < 64e6:
        times = frame_times(clip)
    else:
        with open_container(clip.path) as container:
            stream = picture_stream(container, clip.path)
            entries, whole = stream.index_entries, container.format.name == "avi" or "mp4" in container.format.name
            times = None
            if whole and stream.frames and len(entries) >= stream.frames:
                # Decoding order, which for spacing is as good.
                times = np.fromiter((e.timestamp for e in entries if e.size and not e.is_discard), np.int64)
    return (None, clip.frames) if times is None else (uneven(times), len(times))


def uneven(times: np.ndarray) -> bool | None:
    """Whether steps differ by more than the rounding of the container's clock; None for fewer than three frames."""
    if len(times) < 3:
        return None
    steps = np.diff(times)
    return bool(steps.max() - steps.min() > 1 + 0.02 * float(np.median(steps)))


def _from_index(container: Any, stream: Any) -> np.ndarray | None:
    """AVI's index of an intra-only codec names every frame; empty entries stand for dropped frames."""
    entries = stream.index_entries
    if container.format.name != "avi" or not stream.frames or not stream.codec_context.codec.intra_only:
        return None
    if len(entries) < stream.frames or not all(e.is_keyframe for e in entries if e.size > 0):
        return None
    return np.fromiter((e.timestamp for e in entries if e.size > 0), np.int64)


def _from_packets(container: Any, stream: Any) -> np.ndarray | None:
    times = array("q")
    for pts in _packet_times(container, stream):
        if pts is None:
            return None
        times.append(pts)
    return np.array(times, np.int64)


def _packet_times(container: Any, stream: Any) -> Iterator[int | None]:
    """What each packet of a picture bears, in the order of the file."""
    only(container, stream)
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                yield packet.pts
    except (av.error.FFmpegError, OSError):
        return  # the file breaks off; these are the times there are


def shown_times(clip: Clip) -> Iterator[int]:
    """The times of `frame_times` one after the other, read from the packets; no more than a handful are held.

    Ends at a packet that does not tell its time.  Packets of one time, or further from their place than a codec
    reorders pictures, come as they are.
    """
    waiting: list[int] = []
    with open_container(clip.path) as container:
        first = round(clip.start / clip.time_base)  # what stands before cannot be decoded
        for pts in _packet_times(container, picture_stream(container, clip.path)):
            if pts is None:
                break
            if pts < first:
                continue
            heapq.heappush(waiting, pts)
            if len(waiting) > _REORDERED:
                yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


def only(container: Any, stream: Any) -> None:
    """Lets the demuxer skip all other streams."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all


def promised(container: Any, stream: Any) -> tuple[int | None, Fraction | None]:
    """`(frames, end in seconds)` that the file's headers promise, each None where they do not say.

    Only containers whose headers are written at the end and can be trusted are asked: AVI, MP4 / MOV, Matroska.
    """
    name = container.format.name
    if "mp4" in name:
        entries = stream.index_entries
        if stream.frames and stream.frames == len(entries):  # not fragmented
            return sum(not e.is_discard for e in entries), None
    if name == "avi" and stream.duration:
        return stream.frames or None, ((stream.start_time or 0) + stream.duration) * stream.time_base
    if "matroska" in name:
        length = tag_duration(stream)
        if length is None and container.duration and not container.streams.audio:
            length = Fraction(container.duration, av.time_base)
        return None, length
    return None, None
