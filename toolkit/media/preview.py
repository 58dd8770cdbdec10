"""Single frames as RGB, quickly and in any order, for looking at.  Nothing here is used to restore.

decord seeks fast and reads progressive files well; it converts to RGB before anyone can stop it, which mixes the
chroma of the two fields of interlaced 4:2:0.  So it stands behind this one adapter, and whatever is not known to be
safe with it is read by PyAV; `Preview.backend` and `Preview.reason` say which and why.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import InputUnreadable
from toolkit.media import pixels
from toolkit.media.read import Reader, copy_planes
from toolkit.media.source import open_container, picture_stream
from toolkit.media.times import frame_times, only

_DECORD_READS = {"h264", "hevc", "mpeg4", "vp8", "vp9"}
_ALIKE = 6.0  # mean difference in levels up to which decord's first frame is taken for the same picture


class Preview:
    """Frames of a clip as RGB uint8 `(H, W, 3)`, by number or by time.

    backend : "decord" or "pyav"; `reason` says why the other one was not taken ("" for decord).
    size    : `(height, width)` of the frames, None for the clip's own; the aspect is not corrected.
    fields  : what an interlaced frame shows: "first" only its first field, lines doubled, or "weave" both, combed.

    May be used from several threads.  Close it, or use it as a context manager, to let go of the file.
    """

    def __init__(self, clip: Clip | Path | str, size: tuple[int, int] | None = None, fields: str = "first") -> None:
        if fields not in ("first", "weave"):
            raise ValueError(f"{fields = }; expected first or weave")
        self.clip = clip if isinstance(clip, Clip) else Clip.open(clip)
        self.size, self.fields = size, fields
        self._lock = threading.Lock()
        self._decord: Any = None
        self.reason = self._open_decord()
        self.backend = "pyav" if self.reason else "decord"

    def _open_decord(self) -> str:
        """Opens the clip in decord; the reason why not, or "" when that went well."""
        clip = self.clip
        if clip.format.interlaced:
            return "the picture is interlaced"
        if clip.codec not in _DECORD_READS:
            return f"decord is not trusted with {clip.codec}"
        if clip.format.matrix == "unknown" and pixels.tagged(clip.format).matrix != "bt601":
            return "the file does not name its colour matrix and decord would take the wrong one"
        if clip.format.range == "full" or clip.format.bits != 8:
            return "decord is not trusted with full range or more than 8 bits"
        try:
            import decord
        except (ImportError, OSError) as error:
            return f"decord cannot be loaded ({error})"
        decord.logging.set_level(decord.logging.QUIET)
        height, width = self.size or (-1, -1)
        try:
            reader = decord.VideoReader(str(clip.path.absolute()), width=width, height=height, num_threads=1)
            first = _plain(reader[0])
        except Exception as error:  # decord raises its own types, and bare ones
            return f"decord cannot read it ({str(error).strip().splitlines()[-1]})"
        if clip.frames is not None and len(reader) != clip.frames:
            return f"decord finds {len(reader)} frames where the file says {clip.frames}"
        apart = float(np.abs(first.astype(np.int16) - self._by_pyav(frames=(0, 1)).astype(np.int16)).mean())
        if apart > _ALIKE:
            return f"decord's first frame differs from PyAV's by {apart:.1f} levels"
        # decord's readers are not made for two threads at once, not even for asking the time.
        self.times = [float(t) for t in reader.get_frame_timestamp(range(len(reader)))[:, 0]]
        self._decord = reader
        return ""

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def times(self) -> list[float]:
        """When each frame is shown, in seconds."""
        ticks = frame_times(self.clip)
        if ticks is not None:
            return [float(int(t) * self.clip.time_base) for t in ticks]
        with Reader(self.clip) as reader:  # no other way than to decode it all
            return [float(t) for batch in reader for t in batch.times]

    def frame(self, number: int) -> np.ndarray:
        """Frame `number`, counted from 0; IndexError when there is none."""
        with self._lock:
            if self._decord is not None:
                if not 0 <= number < len(self._decord):
                    raise IndexError(f"{self.clip.path.name} has no frame {number}, it has {len(self._decord)}")
                return _plain(self._decord[number])
        return self._by_pyav(frames=(number, number + 1))

    def frames(self, numbers: Sequence[int]) -> np.ndarray:
        """Several frames, `(N, H, W, 3)`."""
        return np.stack([self.frame(n) for n in numbers])

    def at(self, seconds: float) -> np.ndarray:
        """The frame on show at `seconds` on the clip's clock; the nearest one outside the clip."""
        if self.backend == "decord":
            return self.frame(max(0, bisect.bisect_right(self.times, seconds + 1e-6) - 1))
        return to_rgb(frame_at(self.clip, seconds), self.size, self.fields)[0]

    def _by_pyav(self, frames: tuple[int, int]) -> np.ndarray:
        with Reader(self.clip, size=1, frames=frames) as reader:
            for batch in reader:
                return to_rgb(batch, self.size, self.fields)[0]
        raise IndexError(f"{self.clip.path.name} has no frame {frames[0]}")

    def close(self) -> None:
        with self._lock:
            self._decord = None
        if self.backend == "decord":
            self.backend, self.reason = "pyav", "it was closed"

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Preview({self.clip.path.name}, {self.backend}{f', {self.reason}' if self.reason else ''})"


def frame_at(clip: Clip, seconds: float, within: float = 0.0) -> Batch:
    """The frame on show at `seconds` on the clip's clock, the nearest one outside the clip, as a Batch of one.

    It is sought, so a long tape costs no more than a short one.  With `within`, seconds, a key frame that is on show
    at most so long before will do; where key frames are rare that saves decoding what follows it.
    Raises `InputUnreadable` when nothing can be decoded.
    """
    if within > 0 and (near := _key_frame(clip, seconds, within)) is not None:
        return near
    step = float(1 / clip.rate) if clip.rate else 0.04
    for back in (1.0, 10.0, 100.0, 1000.0, np.inf):  # a frame may be on show for long, a file end before it says
        found = None
        with Reader(clip, size=1, since=seconds - back * step, say=_nothing) as reader:
            for batch in reader:
                if found is not None and batch.times[0] > seconds + 1e-6:
                    break
                found = batch
                if 0 <= seconds - found.times[0] < float(found.durations[0] * found.time_base) - 1e-6:
                    break
        if found is not None and (found.times[0] <= seconds + 1e-6 or back == np.inf):
            return found
        if seconds - back * step <= clip.start and found is not None:
            return found  # nothing is earlier
    raise InputUnreadable(f"no frame of {clip.path} could be decoded", files="the file was not touched")


def _nothing(_: str) -> None:
    """What was mended or left out is for those to say who read the whole."""


def _key_frame(clip: Clip, seconds: float, within: float) -> Batch | None:
    """The key frame at or before `seconds`, None when it is more than `within` earlier or cannot be had alone."""
    with open_container(clip.path) as container:
        stream = picture_stream(container, clip.path)
        only(container, stream)
        stream.codec_context.thread_count = 1
        try:
            container.seek(round(seconds / stream.time_base), stream=stream)
            packet = next(p for p in container.demux(stream) if p.is_keyframe)
            frame = next(iter([*packet.decode(), *stream.codec_context.decode(None)]), None)
        except (av.error.FFmpegError, StopIteration, OSError):
            return None
        if frame is None or frame.pts is None or (frame.width, frame.height) != (clip.format.width, clip.format.height):
            return None
        if not seconds - within <= float(frame.pts * stream.time_base) <= seconds + 1e-6:
            return None
        planes = tuple(np.empty((1, *shape), clip.format.dtype) for shape in clip.format.plane_shapes)
        copy_planes(frame, clip.format, planes, 0)
        length = frame.duration or (round(1 / (clip.rate * clip.time_base)) if clip.rate else 1)
        return Batch(planes, np.array([frame.pts]), np.array([length]), clip.time_base, clip.format)


def _plain(frame: Any) -> np.ndarray:
    return frame.asnumpy() if hasattr(frame, "asnumpy") else np.asarray(frame)


def to_rgb(batch: Batch, size: tuple[int, int] | None = None, fields: str = "first") -> np.ndarray:
    """Frames as RGB uint8 `(T, H, W, 3)`, by swscale in the calling thread; fields are never mixed.

    size   : `(height, width)` of the result, None for the frames' own.
    fields : for interlaced frames "first" shows the first field with its lines doubled, "weave" both fields, each
             with its own chroma.
    """
    form = batch.format
    height, width = size or (form.height, form.width)
    if not form.interlaced:
        return np.stack([_convert([p[i] for p in batch.planes], form, height, width) for i in range(len(batch))])
    out = []
    for i in range(len(batch)):
        planes = [np.asarray(p[i]) for p in batch.planes]
        if fields == "first":
            first = int(form.field_order == "bff")
            half = [p[first::2] for p in planes]
            out.append(_convert(half, form.replace(height=half[0].shape[0]), height, width))
            continue
        whole = np.empty((form.height, width, 3), np.uint8)
        for parity in (0, 1):
            half = [p[parity::2] for p in planes]
            lines = half[0].shape[0]
            whole[parity::2] = _convert(half, form.replace(height=lines), lines, width)
        if height != form.height:
            shown = av.VideoFrame.from_ndarray(whole, format="rgb24")
            whole = shown.reformat(width=width, height=height, interpolation="AREA").to_ndarray()
        out.append(whole)
    return np.stack(out)


def _convert(planes: list[np.ndarray], form: PictureFormat, height: int, width: int) -> np.ndarray:
    if planes[0].dtype.kind == "f":
        planes = [np.clip(np.rint(p), 0, form.peak).astype(form.dtype) for p in planes]
    frame = av.VideoFrame(form.width, form.height, pixels.pix_fmt(form))
    for target, samples in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(target, np.uint8).reshape(-1, target.line_size).view(form.dtype)
        lines[: samples.shape[0], : samples.shape[1]] = samples[: target.height]
    matrix = {"bt709": "ITU709", "bt2020": "BT2020"}.get(pixels.tagged(form).matrix, "ITU601")
    shown = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix,
        src_color_range="JPEG" if form.range == "full" else "MPEG",
        dst_color_range="JPEG",
        interpolation="BICUBIC" if height >= form.height else "AREA",
        threads=1,
    )
    return shown.to_ndarray()
