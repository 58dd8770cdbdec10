"""Writes the result: exact presentation times, display aspect and colour tags, with sound beside the picture.

The file grows under `<name>.part` beside the target and takes its final name only when everything was written.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import OutputFailed, OutputRefused, PictureError, SoundError
from toolkit.media import pixels
from toolkit.media.sound import SoundBlock

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: Our name -> (encoder, may keep a reference to the frame after encode() returned).
PICTURE_CODECS = {
    "h264": ("libx264", False),
    "h265": ("libx265", False),
    "ffv1": ("ffv1", False),
    "prores": ("prores_ks", True),
}
SOUND_CODECS = ("aac", "flac", "pcm_s16le", "pcm_s24le")
_DEFAULTS = {
    "h264": {"crf": "18", "preset": "medium"},
    "h265": {"crf": "20", "preset": "medium"},
    # Version 3 with slices and checksums: damage stays local and every core helps (RFC 9043).
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "16", "g": "1", "coder": "1", "context": "0"},
    "prores": {"profile": "3", "vendor": "apl0"},
}


@dataclass(frozen=True)
class SoundSpec:
    """One sound track to be written.

    blocks : where its samples come from; the `Writer` takes them in step with the picture.  None when the caller
             hands them over with `write_sound`.
    """

    sample_rate: int
    layout: str = "stereo"
    codec: str = "aac"
    bit_rate: int | None = None
    language: str | None = None
    blocks: Iterable[SoundBlock] | None = field(default=None, compare=False, hash=False)


class Writer:
    """Writes Batches, and sound in step with them, to an MP4, MOV or MKV file.

    path      : the final name; `.mp4`, `.m4v`, `.mov` or `.mkv` decides the container.
    format    : the `PictureFormat` every batch will have; open colour tags are filled in by `pixels.tagged`.
    time_base : unit of the batches' times.  MP4 and MOV keep these times exactly; Matroska counts milliseconds, so
                there each time is the nearest one.
    rate      : frames per second for the encoder's rate control, None when variable.
    codec     : "h264", "h265", "ffv1" or "prores"; `crf`, `preset` and `options` go to its encoder.
    origin    : seconds on the batches' clock that become zero in the file.
    sound     : `SoundSpec`s, one per track.

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
        options: dict[str, str] | None = None,
        sound: Iterable[SoundSpec] = (),
        origin: Fraction = Fraction(0),
        source: Clip | Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.format = pixels.tagged(format)
        self.codec, self.origin = codec, Fraction(origin)
        self.frames_written = 0
        self._container: Any = None
        self._part = self.path.with_name(self.path.name + ".part")
        container = check_output(self.path, source=source, overwrite=overwrite)
        if codec not in PICTURE_CODECS:
            raise OutputRefused(f"there is no picture codec {codec!r}", expected=f"one of {', '.join(PICTURE_CODECS)}")
        self._overwrite = overwrite
        self._clock = Fraction(1, Fraction(time_base).denominator)
        if self.origin % self._clock:
            raise ValueError(f"origin {origin} is not a multiple of {self._clock} s, the picture's clock")
        self._step = Fraction(time_base).numerator
        self._shift = int(self.origin / self._clock)
        try:
            self._open(container, time_base, rate, crf, preset, threads, options or {}, tuple(sound))
        except OutputRefused:
            self.abort()
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise OutputRefused(
                f"the {codec} encoder or the {container} container refused {pixels.pix_fmt(self.format)} "
                f"{self.format.width}x{self.format.height}: {_reason(error)}",
                hint="another codec, container or chroma layout",
            ) from error

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, container, time_base, rate, crf, preset, threads, options, sound) -> None:
        muxing = {}
        if container in ("mp4", "mov"):
            # The clock of edit lists; the default of 1 ms would round the start of each track.
            rates = [s.sample_rate for s in sound]
            muxing["movie_timescale"] = str(_common_clock(self._clock.denominator, *rates))
            if self.codec in ("h264", "h265"):
                muxing["movflags"] = "+faststart"
        self._container = av.open(str(self._part.absolute()), "w", format=container, container_options=muxing)
        encoder, self._keeps_frames = PICTURE_CODECS[self.codec]
        asked = dict(_DEFAULTS[self.codec]) | {k: str(v) for k, v in options.items()}
        if crf is not None:
            asked["crf"] = str(crf)
        if preset is not None:
            asked["preset"] = preset
        if self.codec == "h265":
            # x265 prints to stderr by itself.
            asked["x265-params"] = ":".join(filter(None, ("log-level=error", asked.get("x265-params"))))
        asked.update(self._tags())
        stream = self._container.add_stream(encoder, rate=rate or 25, options=asked)
        context = stream.codec_context
        context.width, context.height = self.format.width, self.format.height
        context.pix_fmt = pixels.pix_fmt(self.format)
        context.time_base = self._clock
        stream.time_base = self._clock
        context.sample_aspect_ratio = self.format.sar
        context.thread_count = threads or 0
        flags = av.codec.context.Flags
        context.flags |= flags.frame_duration
        if self.format.interlaced and self.codec != "ffv1":
            context.flags |= flags.interlaced_dct | flags.interlaced_me
        space, primaries, transfer, range_ = pixels.colour_numbers(self.format)
        context.colorspace, context.color_primaries = space, primaries
        context.color_trc, context.color_range = transfer, range_
        if self.codec == "h265" and container in ("mp4", "mov"):
            context.codec_tag = "hvc1"
        self._stream = stream
        self._tracks = [_SoundTrack(self._container, spec, self.origin) for spec in sound]
        self._marker = _FieldMarker(self.format, self._clock) if self.format.interlaced else None
        self._container.start_encoding()
        left = sorted(set(context.options) & set(asked))
        if left:
            raise OutputRefused(f"the {encoder} encoder has no option {', '.join(left)}")

    def _tags(self) -> dict[str, str]:
        order = {"tff": "tb", "bff": "bt", "progressive": "progressive"}.get(self.format.field_order)
        tags = {"chroma_sample_location": self.format.siting}
        if order:
            tags["field_order"] = order
        return tags

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Encodes a batch, and the sound up to its end."""
        if batch.planes[0].shape[1:] != (self.format.height, self.format.width):
            raise PictureError(
                f"a batch of {batch.format.width}x{batch.format.height} came to a file of "
                f"{self.format.width}x{self.format.height}",
                files=f"{self.path.name} was not written",
            )
        try:
            for i in range(len(batch)):
                frame = self._frame(batch, i)
                self._container.mux(self._stream.encode(frame))
                self.frames_written += 1
            end = Fraction(int(batch.pts[-1] + batch.durations[-1])) * batch.time_base - self.origin
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
        name, form = pixels.pix_fmt(self.format), self.format
        planes = [p[i] for p in batch.planes]
        if planes[0].dtype != form.dtype:
            raise PictureError(f"a batch of {planes[0].dtype} came to a file of {form.bits} bits")
        even = form.subsampling is None or not (
            form.width % (1 << form.subsampling[0]) or form.height % (1 << form.subsampling[1])
        )
        if even and not self._keeps_frames and all(p.flags.writeable and p.strides[1] == p.itemsize for p in planes):
            frame = av.VideoFrame.from_dlpack(planes, format=name)  # shares the batch's memory
        else:
            frame = av.VideoFrame(form.width, form.height, name)
            for target, samples in zip(frame.planes, planes, strict=True):
                lines = np.frombuffer(target, np.uint8).reshape(-1, target.line_size).view(form.dtype)
                lines[: samples.shape[0], : samples.shape[1]] = samples
        frame.pts = int(batch.pts[i]) * self._step - self._shift
        frame.duration = int(batch.durations[i]) * self._step
        frame.time_base = self._clock
        space, primaries, transfer, range_ = pixels.colour_numbers(form)
        frame.colorspace, frame.color_primaries = space, primaries
        frame.color_trc, frame.color_range = transfer, range_
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
            if self.path.exists() and not self._overwrite:
                self._part.unlink(missing_ok=True)
                raise OutputFailed(f"{self.path} appeared while it was being written", files="it was left as it is")
            os.replace(self._part, self.path)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

    def abort(self) -> None:
        """Gives up: removes what was written so far."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except Exception:  # the disk may be full or gone; the file is removed all the same
            pass
        finally:
            self._stream = None
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _fail(self, error: Exception) -> None:
        self.abort()
        full = getattr(error, "errno", None) in (28, 122, 27)  # ENOSPC, EDQUOT, EFBIG
        raise OutputFailed(
            f"writing {self.path} failed after {self.frames_written} frames: {_reason(error)}",
            files="the unfinished file was removed, nothing else was touched",
            hint="free some space or write to another disk" if full else "another folder or codec",
        ) from error


def check_output(path: Path, *, source: Clip | Path | None = None, overwrite: bool = False) -> str:
    """The container name for `path`, or `OutputRefused` when it cannot or must not be written."""
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise OutputRefused(
            f"{path.name} does not say which container to write", expected=f"a name ending in {', '.join(CONTAINERS)}"
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputRefused(f"the folder {folder} does not exist", hint="create it first")
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


class _SoundTrack:
    """Encodes one track; fills gaps with silence and drops what overlaps, so sample counts and times stay equal."""

    def __init__(self, container: Any, spec: SoundSpec, origin: Fraction) -> None:
        if spec.codec not in SOUND_CODECS:
            raise OutputRefused(f"there is no sound codec {spec.codec!r}", expected=f"one of {', '.join(SOUND_CODECS)}")
        self.spec, self._origin = spec, float(origin)
        self.stream = container.add_stream(spec.codec, rate=spec.sample_rate)
        context = self.stream.codec_context
        context.layout = spec.layout
        self.channels = context.layout.nb_channels
        context.time_base = Fraction(1, spec.sample_rate)
        self.stream.time_base = Fraction(1, spec.sample_rate)
        if spec.codec == "aac":
            context.bit_rate = spec.bit_rate or 96000 * self.channels
        if spec.codec == "flac":
            context.format = "s32"  # 24 bits of it are kept
        if spec.language:
            self.stream.metadata["language"] = spec.language
        self._at: int | None = None  # the next sample's number on the output clock
        self._fifo: list[np.ndarray] = []
        self._held = 0
        self._blocks: Iterator[SoundBlock] | None = iter(spec.blocks) if spec.blocks is not None else None
        self._ahead: SoundBlock | None = None

    def pull(self, until: float, container: Any) -> None:
        """Takes blocks from the source until they reach `until` seconds on the output clock."""
        while self._blocks is not None:
            if self._ahead is None:
                self._ahead = next(self._blocks, None)
            if self._ahead is None or self._ahead.start - self._origin > until:
                return
            block, self._ahead = self._ahead, None
            self.push(block.samples, block.start, container)

    def push(self, samples: np.ndarray, start: float, container: Any) -> None:
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise SoundError(f"sound of shape {samples.shape} came to a track of {self.channels} channels")
        first = round((start - self._origin) * self.spec.sample_rate)
        if self._at is None:
            if first < 0:  # before the picture's zero
                samples, first = samples[:, -first:], 0
            self._at = self._sent = first
        gap = first - self._at
        if gap < 0:
            samples = samples[:, -gap:]
        while gap > 0:
            quiet = min(gap, self.spec.sample_rate)
            self._take(np.zeros((self.channels, quiet), np.float32), container)
            gap -= quiet
        if samples.shape[1]:
            self._take(np.asarray(samples, np.float32), container)

    def _take(self, samples: np.ndarray, container: Any) -> None:
        self._fifo.append(samples)
        self._held += samples.shape[1]
        self._at += samples.shape[1]
        size = self.stream.codec_context.frame_size or 4096
        if self._held < size:
            return
        whole = np.concatenate(self._fifo, axis=1) if len(self._fifo) > 1 else self._fifo[0]
        cut = self._held - self._held % size
        for i in range(0, cut, size):
            self._encode(whole[:, i : i + size], container)
        self._fifo, self._held = [whole[:, cut:]], self._held - cut

    def _encode(self, samples: np.ndarray, container: Any) -> None:
        context = self.stream.codec_context
        frame = av.AudioFrame(format=context.format.name, layout=context.layout.name, samples=samples.shape[1])
        data = _quantise(samples, context.format.name, 24 if self.spec.codec in ("flac", "pcm_s24le") else 16)
        if context.format.is_planar:
            for plane, channel in zip(frame.planes, data, strict=True):
                np.frombuffer(plane, data.dtype)[: channel.size] = channel
        else:
            np.frombuffer(frame.planes[0], data.dtype)[: data.size] = data.T.ravel()
        frame.sample_rate = self.spec.sample_rate
        frame.time_base = Fraction(1, self.spec.sample_rate)
        frame.pts = self._sent
        self._sent += samples.shape[1]
        container.mux(self.stream.encode(frame))

    def finish(self, container: Any) -> None:
        self.pull(math.inf, container)
        if self._held:
            self._encode(np.concatenate(self._fifo, axis=1), container)
            self._fifo, self._held = [], 0
        if self._at is not None:
            container.mux(self.stream.encode(None))


def _quantise(samples: np.ndarray, format: str, bits: int) -> np.ndarray:
    """Float samples in the encoder's sample format; `bits` is how many of an int32's are used."""
    if format.startswith("flt"):
        return np.ascontiguousarray(samples, np.float32)
    top = 1 << (bits - 1)
    whole = np.clip(np.rint(samples.astype(np.float64) * top), -top, top - 1)
    if format.startswith("s16"):
        return whole.astype(np.int16)
    return (whole * (1 << (32 - bits))).astype(np.int32)
