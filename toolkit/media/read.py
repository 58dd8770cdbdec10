"""Reads tapes: planar frames with their exact times, in presentation order, never through RGB.

`open_clip` reads headers and one frame; `Reader` decodes.  Every way a file can be bad becomes one `ToolkitError`;
what could be mended or had to be left out becomes a `ToolkitWarning` and is counted on the `Reader`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat, SoundTrack
from toolkit.errors import InputMissing, InputUnreadable, ToolkitWarning
from toolkit.media import pixels

SMALLEST = 16  # luma samples; below that no stage has anything to work on
_UNTOUCHED = "the file was not touched"
#: AVFieldOrder.  TB and BT are what FFmpeg, QuickTime and Matroska write for line-interleaved top / bottom first.
_FIELD_ORDER = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}
_SITING = {"left": "left", "center": "center", "topleft": "topleft", "top": "center"}


def open_container(path: Path) -> Any:
    """An open PyAV input container of a file that exists; every failure is a `ToolkitError` with cause and cure."""
    if not path.exists():
        raise InputMissing(f"there is no file {path}", expected="the path of a video file", hint="check the spelling")
    if path.is_dir():
        raise InputMissing(f"{path} is a folder", expected="the path of a video file")
    try:
        if path.stat().st_size == 0:
            raise InputUnreadable(f"{path} is empty (0 bytes)", expected="a video file", hint="copy the file again")
        return av.open(str(path.absolute()), metadata_errors="replace")
    except PermissionError as error:
        raise InputUnreadable(f"{path} may not be read: {error.strerror}", hint="check the file's permissions") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _not_a_video(path, error) from None


def _not_a_video(path: Path, error: Exception) -> InputUnreadable:
    with path.open("rb") as f:
        head = f.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return InputUnreadable(
            f"{path} begins like an MP4 or MOV file but has no index (moov): it was cut off while being written or "
            "copied",
            expected="a complete file",
            files=_UNTOUCHED,
            hint="copy the file again, or rebuild its index with a repair tool",
        )
    return InputUnreadable(
        f"{path} is not a video FFmpeg can read ({getattr(error, 'strerror', None) or error})",
        expected="AVI, MKV, MP4, MOV, MPEG, DV or another container with a picture in it",
        files=_UNTOUCHED,
        hint="play the file in a player to see what it is",
    )


def picture_stream(container: Any, path: Path) -> Any:
    """The first picture stream that is not a cover image."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams if s.type})) or "nothing"
        raise InputUnreadable(
            f"{path} has no picture (it holds {kinds})", expected="a file with a video stream", files=_UNTOUCHED
        )
    if streams[0].codec_context is None:
        raise InputUnreadable(f"{path} has a picture in a codec FFmpeg does not know", files=_UNTOUCHED)
    return streams[0]


def open_clip(path: Path | str) -> Clip:
    """Opens a video file and reads its headers and first frame."""
    path = Path(path)
    with open_container(path) as container:
        stream = picture_stream(container, path)
        frame = _first_frame(container, stream, path)
        tb = stream.time_base
        rate = stream.average_rate or stream.guessed_rate
        duration = stream.duration * tb if stream.duration else _tag_duration(stream)
        if duration is None and container.duration:
            duration = Fraction(container.duration, av.time_base)
        start = frame.pts if frame.pts is not None else (stream.start_time or 0)
        return Clip(
            path=path,
            container=container.format.name,
            codec=stream.codec_context.name,
            format=_format(frame, stream),
            time_base=tb,
            rate=Fraction(rate) if rate else None,
            frames=stream.frames or None,
            start=float(start * tb),
            duration=float(duration) if duration else None,
            sound=tuple(_sound_track(s) for s in container.streams.audio),
            metadata=dict(container.metadata),
        )


def _first_frame(container: Any, stream: Any, path: Path) -> Any:
    encrypted = stream.codec_context.codec_tag in ("encv", "drmi")
    packets = 0
    try:
        for packet in container.demux(stream):
            packets += packet.size > 0
            encrypted = encrypted or packet.has_sidedata("encryption_info")
            if encrypted or packets > 300:
                break
            try:
                for frame in packet.decode():
                    if min(frame.width, frame.height) < SMALLEST:
                        raise InputUnreadable(
                            f"{path} has a picture of {frame.width}x{frame.height} samples",
                            expected=f"at least {SMALLEST}x{SMALLEST}",
                            files=_UNTOUCHED,
                        )
                    return frame
            except av.error.InvalidDataError:
                continue
    except (av.error.FFmpegError, OSError):
        pass
    if encrypted:
        raise InputUnreadable(
            f"{path} is encrypted", expected="a file without copy protection", files=_UNTOUCHED,
            hint="decrypt it with the tool it came from",
        )  # fmt: skip
    what = "its picture stream is there but no frame could be decoded" if packets else "it has no frames"
    raise InputUnreadable(
        f"{path} cannot be restored: {what}", expected="at least one frame", files=_UNTOUCHED,
        hint="copy the file again, it may have been cut off",
    )  # fmt: skip


def _tag_duration(stream: Any) -> Fraction | None:
    """Matroska keeps the length of each track in a tag, h:mm:ss.fraction."""
    text = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), None)
    try:
        hours, minutes, seconds = (Fraction(part) for part in text.split(":"))
    except (AttributeError, ValueError):
        return None
    return hours * 3600 + minutes * 60 + seconds


def _sound_track(stream: Any) -> SoundTrack:
    context = stream.codec_context
    if context is None:
        return SoundTrack(stream.index, "unknown", 0, 0, "unknown", 0.0, None, stream.language)
    bits = context.format.bits if context.name.startswith(("pcm", "flac", "alac")) else None
    if context.name.startswith("pcm_") and "24" in context.name:
        bits = 24
    return SoundTrack(
        index=stream.index,
        codec=context.name,
        sample_rate=context.sample_rate,
        channels=context.channels,
        layout=context.layout.name,
        start=float((stream.start_time or 0) * stream.time_base),
        duration=float(stream.duration * stream.time_base) if stream.duration else None,
        language=stream.language,
        bits=bits,
    )


_log_lock = threading.Lock()


def _frame_flags(frame: Any) -> tuple[str, str]:
    """`(field flag, chroma location)` of a frame, "T" / "B" / "P" and FFmpeg's name.

    PyAV does not expose either, but the filter `showinfo` prints both; its one line is caught here.
    """
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base="1/25",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    graph.link_nodes(source, graph.add("showinfo", checksum="0"), graph.add("buffersink")).configure()
    with _log_lock:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture(local=False) as logs:
                graph.push(frame)
                graph.pull()
        finally:
            av.logging.set_level(level)
    words = " ".join(text for _, _, text in logs).split()
    found = {w[: w.index(":")]: w[w.index(":") + 1 :] for w in words if w.startswith(("i:", "cl:"))}
    return found.get("i", "P"), found.get("cl", "unspecified")


def _format(frame: Any, stream: Any) -> PictureFormat:
    context, name = stream.codec_context, frame.format.name
    how = pixels.layout(name)
    rgb = frame.format.is_rgb or name.startswith(("gbr", "pal", "bgr", "rgb", "bayer"))
    if how is None:
        bits = max((c.bits for c in frame.format.components), default=8)
        how = pixels.layout(pixels.stand_in(name, bits, rgb))
    flag, siting = _frame_flags(frame)
    order = {"T": "tff", "B": "bff"}.get(flag) or _FIELD_ORDER.get(context.field_order, "unknown")
    matrix = pixels.MATRIX.get(int(frame.colorspace), "unknown")
    if rgb:
        matrix = "bt601" if frame.height <= 576 else "bt709"  # what `Reader` converts RGB to
    elif matrix == "rgb":
        matrix = "unknown"
    full = int(frame.color_range) == 2 or how.full_range or (how.subsampling is None and int(frame.color_range) == 0)
    return PictureFormat(
        width=frame.width,
        height=frame.height,
        subsampling=how.subsampling,
        bits=how.bits,
        sar=Fraction(stream.sample_aspect_ratio or 0) or Fraction(1),
        field_order=order,
        matrix=matrix,
        primaries=pixels.PRIMARIES.get(int(frame.color_primaries), "unknown"),
        transfer=pixels.TRANSFER.get(int(frame.color_trc), "unknown"),
        range="full" if full and not rgb else "limited",
        siting=_siting(context.name, how.subsampling, siting),
    )


def _siting(codec: str, subsampling: tuple[int, int] | None, told: str) -> str:
    if codec == "dvvideo" and subsampling == (1, 1):
        return "topleft"  # IEC 61834: DV 625/50 puts Cr and Cb on the luma grid, on alternate lines
    default = "center" if codec in ("mpeg1video", "mjpeg") else "left"
    return _SITING.get(told, default)


def read_batches(
    clip: Clip, size: int = 16, frames: tuple[int, int | None] = (0, None), threads: int = 0
) -> Iterator[Batch]:
    """Yields the frames `frames[0] <= i < frames[1]` in presentation order, at most `size` at a time."""
    with Reader(clip, size=size, frames=frames, threads=threads) as reader:
        yield from reader


class Reader:
    """Decodes a clip into Batches and keeps count of what it met.

    frames_read  : frames handed out so far.
    truncated_at : seconds on the clip's clock where the file broke off, else None.
    expected     : frames the file promised for the range asked for, None when it does not say.
    broken       : packets that could not be decoded.
    mended       : frames whose time was missing or ran backwards and was reconstructed from the frame rate.

    `threads` is the decoder's thread count, 0 for one per core.  Raises `InputUnreadable` when nothing can be decoded.
    """

    def __init__(
        self, clip: Clip, size: int = 16, frames: tuple[int, int | None] = (0, None), threads: int = 0
    ) -> None:
        first, stop = frames
        if size < 1 or first < 0 or (stop is not None and stop < first):
            raise ValueError(f"{size = }, {frames = }; expected size >= 1 and 0 <= first <= stop")
        self.clip, self.size, self.first, self.stop, self.threads = clip, size, first, stop, threads
        self.frames_read = self.broken = self.mended = 0
        self.truncated_at: float | None = None
        self.expected: int | None = None
        if clip.frames is not None:
            self.expected = max(0, min(clip.frames, clip.frames if stop is None else stop) - first)
        self._batches = self._run()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self._batches

    def close(self) -> None:
        """Closes the decoder and the file; harmless when done already."""
        self._batches.close()

    def _run(self) -> Iterator[Batch]:
        if self.stop == self.first:
            return
        with open_container(self.clip.path) as container:
            stream = picture_stream(container, self.clip.path)
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = av.stream.Discard.all
            stream.codec_context.thread_count = self.threads
            stream.codec_context.thread_type = "AUTO"
            yield from self._batched(self._timed(self._decoded(container, stream), stream))
        self._say_what_happened()

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self.broken += 1
                packet = None
                yield from self._flush(stream)
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.broken += 1

    def _flush(self, stream: Any) -> list[Any]:
        try:
            return stream.decode(None)
        except av.error.FFmpegError:
            return []

    def _timed(self, frames: Iterator[Any], stream: Any) -> Iterator[tuple[Any, int, int]]:
        """`(frame, pts, nominal duration)` of the frames asked for, times strictly rising."""
        tb, rate = stream.time_base, self.clip.rate
        nominal = max(1, round(1 / (rate * tb))) if rate else 1
        end = None
        for index, frame in enumerate(frames):
            pts, length = frame.pts, frame.duration or nominal
            if pts is None or (end is not None and pts <= last):  # noqa: F821 - `last` is set with `end`
                self.mended += index >= self.first
                pts = end if end is not None else round(self.clip.start / tb)
            last, end = pts, pts + length
            if index >= self.first:
                yield frame, pts, length
            if self.stop is not None and index >= self.stop:
                return

    def _batched(self, timed: Iterator[tuple[Any, int, int]]) -> Iterator[Batch]:
        """Batches whose durations reach to the next frame's time, so one frame is always read ahead."""
        form, tb = self.clip.format, self.clip.time_base
        limit = None if self.stop is None else self.stop - self.first
        planes, pts, lengths = self._blank(), [], []
        taken = 0
        for frame, time, length in timed:
            if pts:
                lengths[-1] = time - pts[-1]
            if len(pts) == self.size:
                yield self._batch(planes, pts, lengths, form, tb)
                planes, pts, lengths = self._blank(), [], []
            if limit is not None and taken == limit:
                break
            if (frame.width, frame.height) != (form.width, form.height):
                self.truncated_at = float(time * tb)
                break
            copy_planes(frame, form, planes, len(pts))
            pts.append(time)
            lengths.append(length)
            taken += 1
        if pts:
            yield self._batch(tuple(p[: len(pts)] for p in planes), pts, lengths, form, tb)

    def _batch(self, planes: tuple, pts: list, lengths: list, form: PictureFormat, tb: Fraction) -> Batch:
        self.frames_read += len(pts)
        self._end = (pts[-1] + lengths[-1]) * tb
        return Batch(planes, np.array(pts, np.int64), np.array(lengths, np.int64), tb, form)

    def _blank(self) -> tuple[np.ndarray, ...]:
        form = self.clip.format
        return tuple(np.empty((self.size, *shape), form.dtype) for shape in form.plane_shapes)

    def _say_what_happened(self) -> None:
        name, read = self.clip.path.name, self.frames_read
        if read == 0 and self.first == 0:
            raise InputUnreadable(f"no frame of {self.clip.path} could be decoded", files=_UNTOUCHED)
        if self.mended:
            warnings.warn(
                f"{name}: {self.mended} frames had no usable time; it was reconstructed from the frame rate",
                ToolkitWarning, stacklevel=4,
            )  # fmt: skip
        if self.broken:
            warnings.warn(f"{name}: {self.broken} broken packets were skipped", ToolkitWarning, stacklevel=4)
        if self.expected is not None and read < self.expected and self.truncated_at is None:
            self.truncated_at = float(self._end) if read else self.clip.start
        if self.truncated_at is not None:
            warnings.warn(
                f"{name} breaks off at {self.truncated_at:.3f} s: {read} of {self.expected or 'unknown'} frames were "
                "read, the rest is lost",
                ToolkitWarning, stacklevel=4,
            )  # fmt: skip


def copy_planes(frame: Any, form: PictureFormat, planes: tuple[np.ndarray, ...], at: int) -> None:
    """Copies a decoded frame into row `at` of `planes`, honouring line strides; one copy and no conversion if it can."""
    how = pixels.layout(frame.format.name)
    if how is None:
        name = frame.format.name
        rgb = frame.format.is_rgb or name.startswith(("gbr", "pal", "bgr", "rgb", "bayer"))
        bits = max((c.bits for c in frame.format.components), default=8)
        colours = {}
        if rgb:
            colours = {"dst_colorspace": "ITU601" if form.matrix == "bt601" else "ITU709", "dst_color_range": "MPEG"}
        frame = frame.reformat(format=pixels.stand_in(name, bits, rgb), interpolation="POINT", **colours)
        how = pixels.layout(frame.format.name)
    if how.bits != form.bits or how.subsampling != form.subsampling:
        raise InputUnreadable(f"the picture changes to {frame.format.name} in the middle of the file")
    for target, (index, first, step) in zip(planes, how.parts, strict=True):
        plane = frame.planes[index]
        stride = plane.line_size
        lines = np.frombuffer(plane, np.uint8)[: abs(stride) * plane.height].reshape(plane.height, abs(stride))
        if stride < 0:
            lines = lines[::-1]
        samples = lines.view(how.dtype)[:, first::step]
        height, width = target.shape[1:]
        if how.shift:
            np.right_shift(samples[:height, :width], how.shift, out=target[at])
        else:
            target[at] = samples[:height, :width]
