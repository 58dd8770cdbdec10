"""Writes the result: exact presentation times, display aspect and colour tags, with sound beside the picture.

The file grows under `<name>.part` beside the target and takes its final name only when everything was written.
"""

from __future__ import annotations

import errno
import math
import os
import warnings
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import OutputFailed, OutputRefused, PictureError, ToolkitWarning
from toolkit.media import matroska, pixels
from toolkit.media.tracks import EncodedTrack, KeptTracks, SoundSpec, keep

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: Our names and FFmpeg's.
PICTURE_CODECS = {"h264": "libx264", "h265": "libx265", "ffv1": "ffv1", "prores": "prores_ks"}
#: Encoders that are done with a frame's memory when `encode` returns and read it at any alignment; they get the
#: batch's own memory, the others a copy.
_SHARES_MEMORY = ("h264", "ffv1")
_DEFAULTS = {
    "h264": {"crf": "18", "preset": "medium"},
    "h265": {"crf": "20", "preset": "medium"},
    # Version 3 with slices and checksums: damage stays local and every core helps (RFC 9043).
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "16", "g": "1", "coder": "1", "context": "0"},
    "prores": {"profile": "3", "vendor": "apl0"},
}
_DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


class Writer:
    """Writes Batches, and sound in step with them, to an MP4, MOV or MKV file.

    path      : the final name; `.mp4`, `.m4v`, `.mov` or `.mkv` decides the container.
    format    : the `PictureFormat` of the batches.  Open colour tags are filled in (`pixels.tagged`).
    time_base : unit of the batches' times in seconds.  MP4 and MOV keep these times exactly; Matroska counts
                milliseconds, so there each time is the nearest one.
    rate      : frames per second for the encoder's rate control, None when variable.
    codec     : "h264", "h265", "ffv1" or "prores"; `crf`, `preset` and `options` go to its encoder, `threads` too.
    layout    : `(subsampling, bits)` in the file; None takes the batches' own, or the nearest the codec has.
    sound     : "keep" for all tracks of `source`, or `SoundSpec`s, one per track.
    origin    : seconds on the batches' clock that become zero in the file; a multiple of `1 / time_base.denominator`.
    until     : seconds on that clock where the sound is cut, None for never.

    `written_format` is the format in the file, `notes` what happened to the sound (also given as `ToolkitWarning`).
    Use it as a context manager: leaving it normally finishes the file, leaving it by an exception removes it.
    Raises `OutputRefused` before anything is written, `OutputFailed` in the work.
    """

    def __init__(
        self,
        path: Path | str,
        format: PictureFormat,
        time_base: Fraction,
        *,
        rate: Fraction | None = None,
        codec: str = "h264",
        crf: float | None = None,
        preset: str | None = None,
        threads: int | None = None,
        options: dict[str, Any] | None = None,
        layout: tuple[tuple[int, int] | None, int] | None = None,
        sound: str | Iterable[SoundSpec] = (),
        source: Clip | None = None,
        origin: Fraction = Fraction(0),
        until: Fraction | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path, self._part = Path(path), Path(path).with_name(Path(path).name + ".part")
        self.frames_written, self.notes = 0, []
        self._container: Any = None
        self._tracks: list[EncodedTrack | KeptTracks] = []
        self._overwrite = overwrite
        self._kind = check_output(self.path, source=source, overwrite=overwrite)
        if codec not in PICTURE_CODECS:
            raise OutputRefused(f"there is no picture codec {codec!r}", expected=f"one of {', '.join(PICTURE_CODECS)}")
        if isinstance(sound, str) and (sound != "keep" or source is None):
            raise ValueError(f'{sound = }; expected "keep" together with source=, or SoundSpecs')
        self.codec = codec
        self.format = pixels.tagged(format)
        self.written_format = _fitting(codec, self.format, layout)
        self._clock, self._step = Fraction(1, Fraction(time_base).denominator), Fraction(time_base).numerator
        self.origin, self._until = Fraction(origin), until
        if self.origin % self._clock:
            raise ValueError(f"origin {origin} s is not a multiple of the picture's clock, {self._clock} s")
        self._shift = int(self.origin / self._clock)
        wished = {k: str(v) for k, v in (options or {}).items()}
        wished |= {k: str(v) for k, v in (("crf", crf), ("preset", preset)) if v is not None}
        try:
            self._open(wished, rate, threads, sound if sound == "keep" else tuple(sound), source)
        except BaseException as error:
            self.abort()
            if not isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
                raise
            form = self.written_format
            raise OutputRefused(
                f"the encoder {PICTURE_CODECS[codec]} or the container {self._kind} refused {form.width}x{form.height} "
                f"{pixels.pix_fmt(form)}: {_reason(error)}",
                hint="another codec or container",
            ) from error
        for note in self.notes:
            warnings.warn(note, ToolkitWarning, stacklevel=2)

    def _open(self, wished, rate, threads, sound, source) -> None:
        form, muxing = self.written_format, {}
        rates = [t.sample_rate for t in (source.sound if sound == "keep" else sound) if t.sample_rate]
        if self._kind in ("mp4", "mov"):
            # The clock of edit lists; FFmpeg's default of 1 ms would round where each track begins.
            muxing["movie_timescale"] = str(_common_clock(self._clock.denominator, *rates))
            if self.codec in ("h264", "h265"):
                muxing["movflags"] = "+faststart"
        self._container = av.open(str(self._part.absolute()), "w", format=self._kind, container_options=muxing)
        asked = _DEFAULTS[self.codec] | wished | {"chroma_sample_location": form.siting}
        # "tb" and "bt" are line-interleaved top and bottom first, in Matroska's and QuickTime's sense.
        order = {"tff": "tb", "bff": "bt", "progressive": "progressive"}.get(form.field_order)
        if order:
            asked["field_order"] = order
        if self.codec == "h264" and form.interlaced:  # x264 asks at its start and not again
            asked["x264-params"] = ":".join(filter(None, (f"{form.field_order}=1", wished.get("x264-params"))))
        if self.codec == "h265":  # x265 prints to stderr by itself
            asked["x265-params"] = ":".join(filter(None, ("log-level=error", wished.get("x265-params"))))
        stream = self._container.add_stream(PICTURE_CODECS[self.codec], rate=rate or 25, options=asked)
        context, flags = stream.codec_context, av.codec.context.Flags
        context.width, context.height, context.pix_fmt = form.width, form.height, pixels.pix_fmt(form)
        context.time_base = stream.time_base = self._clock
        context.sample_aspect_ratio = form.sar.limit_denominator(65535)
        context.thread_count = threads or 0
        context.flags |= flags.frame_duration  # the last frame keeps its length
        if form.interlaced and self.codec != "ffv1":
            context.flags |= flags.interlaced_dct | flags.interlaced_me
        colours = pixels.colour_numbers(form)
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = colours
        if self.codec == "h265" and self._kind in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what Apple's players ask for
        if self._kind == "matroska" and form.sar != 1:
            stream.metadata["title"] = matroska.reserve
        self._stream = stream
        if sound == "keep":
            self._tracks, self.notes = keep(self._container, self._kind, source, self.origin, self._until)
        else:
            self._tracks = [EncodedTrack(self._container, spec, self.origin, self._until) for spec in sound]
        self._marker = _FieldMarker(form, self._clock) if form.interlaced else None
        self._container.start_encoding()
        unknown = sorted(set(context.options) & set(asked))
        if unknown:
            raise OutputRefused(f"the encoder {PICTURE_CODECS[self.codec]} has no option {', '.join(unknown)}")

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Encodes a batch, and the sound up to its end."""
        form = self.format
        if batch.format.plane_shapes != form.plane_shapes or batch.planes[0].dtype != form.dtype:
            raise PictureError(
                f"a batch of {batch.format}, {batch.planes[0].dtype}, came to a file opened for {form}, {form.dtype}",
                files=f"{self.path.name} was not written",
            )
        if self._container is None:
            raise ValueError(f"{self.path.name} is closed already")
        try:
            for i in range(len(batch)):
                self._container.mux(self._stream.encode(self._frame(batch, i)))
                self.frames_written += 1
                end = Fraction(int(batch.pts[i] + batch.durations[i])) * batch.time_base - self.origin
                for track in self._tracks:
                    track.pull(float(end), self._container)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

    def write_sound(self, samples: np.ndarray, start: float, track: int = 0) -> None:
        """Encodes float32 samples `(channels, n)` whose first is played at `start` seconds on the batches' clock."""
        try:
            self._tracks[track].push(samples, start, self._container)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

    def _frame(self, batch: Batch, i: int) -> Any:
        form, planes = self.format, [p[i] for p in batch.planes]
        converts = pixels.pix_fmt(form) != pixels.pix_fmt(self.written_format)
        sx, sy = form.subsampling or (0, 0)
        if (
            self.codec in _SHARES_MEMORY
            and not converts
            and not (form.width % (1 << sx) or form.height % (1 << sy))
            and all(p.flags.writeable and p.strides[1] == p.itemsize and p.strides[0] > 0 for p in planes)
        ):
            frame = av.VideoFrame.from_dlpack(planes, format=pixels.pix_fmt(form))
        else:
            if form.subsampling is None and self.written_format.subsampling is not None:
                form = form.replace(subsampling=(0, 0))  # grey gets neutral chroma; swscale would also stretch it
                planes += [np.full_like(planes[0], 1 << (form.bits - 1))] * 2
            frame = av.VideoFrame(form.width, form.height, pixels.pix_fmt(form))
            for target, samples in zip(frame.planes, planes, strict=True):
                lines = np.frombuffer(target, np.uint8).reshape(-1, target.line_size).view(form.dtype)
                lines[: samples.shape[0], : samples.shape[1]] = samples
        if converts:
            frame = frame.reformat(format=pixels.pix_fmt(self.written_format), interpolation="BICUBIC")
        frame.pts = int(batch.pts[i]) * self._step - self._shift
        frame.duration = int(batch.durations[i]) * self._step
        frame.time_base = self._clock
        colours = pixels.colour_numbers(self.written_format)
        frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = colours
        return self._marker(frame) if self._marker else frame

    # -- finishing -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Finishes the file and gives it its final name."""
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            for track in self._tracks:
                track.finish(self._container)
            container, self._container = self._container, None
            container.close()
            self._release()
            if self._kind == "matroska" and self.written_format.sar != 1:
                matroska.set_display(self._part, self.written_format.dar)
            if self.path.exists() and not self._overwrite:
                self.abort()
                raise OutputFailed(f"{self.path} appeared while it was being written", files="it was left as it is")
            os.replace(self._part, self.path)
        except (av.error.FFmpegError, OSError, matroska.MalformedMatroska) as error:
            self._fail(error)

    def abort(self) -> None:
        """Gives up and removes what was written so far."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except Exception:  # the disk may be full or gone; the file is removed all the same
            pass
        finally:
            self._release()
            self._part.unlink(missing_ok=True)

    def _release(self) -> None:
        for track in self._tracks:
            if isinstance(track, KeptTracks):
                track.close()
        self._tracks, self._stream, self._marker = [], None, None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _fail(self, error: Exception) -> None:
        self.abort()
        full = getattr(error, "errno", None) in _DISK_FULL
        raise OutputFailed(
            f"writing {self.path} failed after {self.frames_written} frames: {_reason(error)}",
            files="the unfinished file was removed, nothing else was touched",
            hint="free some space or write to another disk" if full else "another folder or codec",
        ) from error


def check_output(path: Path, *, source: Clip | Path | None = None, overwrite: bool = False) -> str:
    """The container ("mp4", "mov" or "matroska") for `path`.

    Raises `OutputRefused` when it cannot or must not be written: unknown ending, missing or read-only folder, the
    input itself, or an existing file without `overwrite`.
    """
    path = Path(path)
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise OutputRefused(
            f"{path.name} does not say which container to write", expected=f"a name ending in {', '.join(CONTAINERS)}"
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputRefused(f"the folder {folder} does not exist", hint="create it first, or write elsewhere")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputRefused(f"the folder {folder} may not be written to", hint="another folder")
    source = source.path if isinstance(source, Clip) else source
    if source is not None and path.exists() and Path(source).exists() and os.path.samefile(source, path):
        raise OutputRefused(f"{path} is the input itself", expected="another name for the output")
    if path.is_dir():
        raise OutputRefused(f"{path} is a folder", expected="the name of a file")
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} exists already", hint="another name, or --overwrite")
    return container


def zero_of(clip: Clip) -> Fraction:
    """Seconds on a clip's clock that should become zero in a file made from it: where its first picture or sound is.

    A multiple of the picture's clock, so that the picture's times stay exact.  (Program streams start anywhere.)
    """
    tick = Fraction(1, clip.time_base.denominator)
    first = min([clip.start, *(track.start for track in clip.sound)])
    return round(first / tick - Fraction(1, 4)) * tick  # a quarter tick of slack for the float it comes as


def _fitting(
    codec: str, form: PictureFormat, layout: tuple[tuple[int, int] | None, int] | None
) -> PictureFormat:
    """The format in the file: as asked, else the nearest to the batches' that the codec has, losing least."""
    if codec == "h265" and form.interlaced:
        raise OutputRefused(
            "h265 is written progressive only", expected="deinterlaced frames, or a codec that has fields",
            hint="h264 or ffv1 for an interlaced file",
        )  # fmt: skip
    known = {
        (how.subsampling, how.bits)
        for name in (f.name for f in av.codec.Codec(PICTURE_CODECS[codec], "w").video_formats)
        if (how := pixels.layout(name)) and not how.full_range and how.parts[-1][2] == 1
    }
    wanted = layout or (form.subsampling, form.bits)
    if layout is not None and layout not in known:
        raise OutputRefused(f"{codec} has no layout {form.replace(subsampling=layout[0], bits=layout[1])}")
    if layout is None and wanted not in known:
        wanted = min(known, key=lambda one: _loss(wanted, one))
    target = form.replace(subsampling=wanted[0], bits=wanted[1])
    if form.interlaced and form.subsampling and (wanted[0] or (0, 0))[1] != form.subsampling[1]:
        raise OutputRefused(
            f"{codec} would need the chroma of interlaced {form} resampled across its fields",
            hint="deinterlace first, or write ffv1",
        )
    return target


def _loss(have: tuple, one: tuple) -> tuple:
    """Sorts layouts: first those that lose no depth, then no chroma, then the smallest."""
    colour_lost = one[0] is None and have[0] is not None
    ours, theirs = have[0] or (1, 1), one[0] or (1, 1)
    coarser = sum(max(0, t - o) for o, t in zip(ours, theirs, strict=True))
    return max(0, have[1] - one[1]), colour_lost, coarser, one[1], -sum(theirs), one[0] is not None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _common_clock(*rates: int) -> int:
    """Ticks per second that all `rates` divide, as long as 32 bits can hold it."""
    common = math.lcm(*rates)
    return common if common < 1 << 31 else max(rates)


class _FieldMarker:
    """Marks frames as top or bottom field first: PyAV cannot set the flag, the filter `setfield` can."""

    def __init__(self, format: PictureFormat, clock: Fraction) -> None:
        self._graph = av.filter.Graph()
        space, _, _, range_ = pixels.colour_numbers(format)
        source = self._graph.add(
            "buffer",
            video_size=f"{format.width}x{format.height}",
            pix_fmt=pixels.pix_fmt(format),
            time_base=str(clock),
            pixel_aspect=f"{format.sar.numerator}/{format.sar.denominator}",
            colorspace=str(space),
            range=str(range_),
        )
        mark = self._graph.add("setfield", mode=format.field_order)
        self._graph.link_nodes(source, mark, self._graph.add("buffersink")).configure()

    def __call__(self, frame: Any) -> Any:
        self._graph.push(frame)
        return self._graph.pull()
