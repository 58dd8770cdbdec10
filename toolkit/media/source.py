"""Opens video files and says what they hold.  Every way a file can be bad becomes one `ToolkitError`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Clip, PictureFormat, SoundTrack
from toolkit.errors import InputMissing, InputUnreadable
from toolkit.media import pixels

SMALLEST = 16  # luma samples; below that no stage has anything to work on
UNTOUCHED = "the file was not touched"
#: AVFieldOrder.  TB and BT are what FFmpeg, QuickTime and Matroska write for line-interleaved top / bottom first.
_FIELD_ORDER = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}
#: The layout meant when only the number of channels is known.
STANDARD_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


def open_container(path: Path, options: dict[str, str] | None = None) -> Any:
    """An open PyAV input container of a file that exists; every failure is a `ToolkitError` with cause and cure.

    options : FFmpeg's own, for the container.
    """
    if not path.exists():
        raise InputMissing(f"there is no file {path}", expected="the path of a video file", hint="check the spelling")
    if path.is_dir():
        raise InputMissing(f"{path} is a folder", expected="the path of a video file")
    try:
        if path.stat().st_size == 0:
            raise InputUnreadable(f"{path} is empty (0 bytes)", expected="a video file", hint="copy the file again")
        return av.open(str(path.absolute()), metadata_errors="replace", container_options=options)
    except PermissionError as error:
        raise InputUnreadable(
            f"{path} may not be read: {error.strerror}", files=UNTOUCHED, hint="check the file's permissions"
        ) from None
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
            files=UNTOUCHED,
            hint="copy the file again, or rebuild its index with a repair tool",
        )
    return InputUnreadable(
        f"{path} is not a video FFmpeg can read ({getattr(error, 'strerror', None) or error})",
        expected="AVI, MKV, MP4, MOV, MPEG, DV or another container with a picture in it",
        files=UNTOUCHED,
        hint="play the file in a player to see what it is",
    )


def picture_stream(container: Any, path: Path) -> Any:
    """The first picture stream that is not a cover image."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams if s.type})) or "nothing"
        raise InputUnreadable(
            f"{path} has no picture (it holds {kinds})", expected="a file with a video stream", files=UNTOUCHED
        )
    if streams[0].codec_context is None:
        raise InputUnreadable(
            f"{path} has a picture in a codec FFmpeg does not know",
            expected="a codec such as DV, HuffYUV, FFV1, MPEG-2 or H.264",
            files=UNTOUCHED,
            hint="convert it with the program that made it",
        )
    return streams[0]


def open_clip(path: Path | str) -> Clip:
    """Opens a video file and reads its headers and first frame."""
    path = Path(path)
    with open_container(path) as container:
        stream = picture_stream(container, path)
        frame = _first_frame(container, stream, path)
        tb = stream.time_base
        own = 1 / (frame.duration * tb) if frame.duration else None
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate, own)
        rate = next((r for r in rates if r and r <= 300), None)  # raw DV claims its clock as its rate
        duration = stream.duration * tb if stream.duration else tag_duration(stream)
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
                            files=UNTOUCHED,
                        )
                    return frame
            except av.error.InvalidDataError:
                continue
    except (av.error.FFmpegError, OSError):
        pass
    if encrypted:
        raise InputUnreadable(
            f"{path} is encrypted", expected="a file without copy protection", files=UNTOUCHED,
            hint="decrypt it with the tool it came from",
        )  # fmt: skip
    what = "its picture stream is there but no frame could be decoded" if packets else "it has no frames"
    raise InputUnreadable(
        f"{path} cannot be restored: {what}", expected="at least one frame", files=UNTOUCHED,
        hint="copy the file again, it may have been cut off",
    )  # fmt: skip


def tag_duration(stream: Any) -> Fraction | None:
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
    name = context.layout.name
    bits = context.format.bits if context.name.startswith("pcm") else None
    if context.name.startswith("pcm_") and "24" in context.name:
        bits = 24
    return SoundTrack(
        index=stream.index,
        codec=context.name,
        sample_rate=context.sample_rate,
        channels=context.channels,
        # A container may give the number of channels only; read as players do.
        layout=STANDARD_LAYOUTS.get(context.channels, name) if "channels" in name else name,
        start=float((stream.start_time or 0) * stream.time_base),
        duration=float(stream.duration * stream.time_base) if stream.duration else None,
        language=stream.language,
        bits=bits,
    )


def _first_field(frame: Any) -> str | None:
    """ "tff" or "bff" as the frame is flagged, None when it is flagged progressive.

    PyAV shows only that a frame is interlaced; the filter `select` knows which field comes first.
    """
    if not frame.interlaced_frame:
        return None
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base="1/25",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    passes = graph.add("select", "eq(interlace_type,TOPFIRST)")
    graph.link_nodes(source, passes, graph.add("buffersink")).configure()
    graph.push(frame)
    try:
        graph.pull()
    except (BlockingIOError, EOFError):  # PyAV's own are subclasses of these
        return "bff"
    return "tff"


def _told_siting(frame: Any, how: pixels.Layout) -> str | None:
    """Where the frame says its chroma sits, None for the centre, which is also what an untagged frame looks like.

    PyAV does not show the tag, but swscale follows it: a ramp is drawn into the frame's chroma and looked at after
    the conversion to 4:4:4.  The frame's picture is lost.
    """
    if how.subsampling in (None, (0, 0)) or how.parts[1][2] != 1 or how.shift:
        return None
    frame.make_writable()
    slope, (sx, sy), (_, u, v) = 6, how.subsampling, frame.planes[:3]

    def ramp(size: int, step: int) -> np.ndarray:  # `slope` levels a luma sample, 128 in the middle
        return np.clip(128 + slope * (np.arange(size) - size // 2) * (1 << step), 16, 240) << (how.bits - 8)

    def lines(plane: Any) -> np.ndarray:
        return np.frombuffer(plane, np.uint8).reshape(plane.height, -1)

    lines(u).view(how.dtype)[:, : u.width] = ramp(u.width, sx)
    lines(v).view(how.dtype)[:] = ramp(v.height, sy)[:, None]
    wide = frame.reformat(format="yuv444p", interpolation="BILINEAR")
    across = int(lines(wide.planes[1])[frame.height // 2, u.width // 2 << sx])
    down = int(lines(wide.planes[2])[v.height // 2 << sy, frame.width // 2])
    aligned = sx > 0 and across >= 127, sy > 0 and down >= 127
    return {(True, True): "topleft", (True, False): "left", (False, True): "center"}.get(aligned)


def _format(frame: Any, stream: Any) -> PictureFormat:
    context, name = stream.codec_context, frame.format.name
    how = pixels.layout(name)
    rgb = pixels.is_rgb(frame.format)
    if how is None:
        how = pixels.layout(pixels.stand_in(frame.format))
    order = _first_field(frame) or _FIELD_ORDER.get(context.field_order, "unknown")
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
        siting=_siting(context.name, how, frame),
    )


def _siting(codec: str, how: pixels.Layout, frame: Any) -> str:
    if codec == "dvvideo" and how.subsampling == (1, 1):
        return "topleft"  # IEC 61834: DV 625/50 puts Cr and Cb on the luma grid, on alternate lines
    if codec in ("mpeg1video", "mjpeg"):
        return "center"
    return (_told_siting(frame, how) if pixels.layout(frame.format.name) is how else None) or "left"
