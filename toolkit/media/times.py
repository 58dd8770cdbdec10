"""Presentation times without decoding: where frame N is, how many frames a file promises."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
from cachetools import LRUCache

from toolkit.clip import Clip
from toolkit.media.source import open_container, picture_stream, tag_duration

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
                times = np.array([e.timestamp for e in entries if e.size and not e.is_discard], np.int64)
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
    found = [(e.timestamp, e.is_keyframe) for e in entries if e.size > 0]
    if len(entries) < stream.frames or not all(key for _, key in found):
        return None
    return np.array([t for t, _ in found], np.int64)


def _from_packets(container: Any, stream: Any) -> np.ndarray | None:
    only(container, stream)
    times: list[int] = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                if packet.pts is None:
                    return None
                times.append(packet.pts)
    except (av.error.FFmpegError, OSError):
        pass  # the file breaks off; these are the times there are
    return np.array(times, np.int64)


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
