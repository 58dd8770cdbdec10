"""Encodes pictures: batches become frames of the file's own layout and time, and those become packets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import KnobError, OutputRefused, PictureError
from toolkit.media import pixels

#: Our names and FFmpeg's.
PICTURE_CODECS = {"h264": "libx264", "h265": "libx265", "ffv1": "ffv1", "prores": "prores_ks"}
#: Encoders that are done with a frame's memory when `encode` returns and read it at any alignment; they get the
#: batch's own memory, the others a copy.
_SHARES_MEMORY = ("h264", "ffv1")
#: Names of speeds that x264 and x265 share.
_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_LARGEST_CRF = {"h264": 51.0, "h265": 51.0}
_DEFAULTS = {
    "h264": {"crf": "18", "preset": "medium"},
    "h265": {"crf": "20", "preset": "medium"},
    # Version 3 with slices and checksums: damage stays local and every core helps (RFC 9043).
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "16", "g": "1", "coder": "1", "context": "0"},
    "prores": {"profile": "3", "vendor": "apl0"},
}


@dataclass(frozen=True)
class EncodedPicture:
    """One picture as the encoder gave it.  Times are in units of its encoding's `clock`, on the file's clock."""

    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool


class Encoding:
    """How the batches of one file become encoded frames: the encoder's settings, the format in the file, exact times.

    format    : the `PictureFormat` of the batches.  Open colour tags are filled in (`pixels.tagged`).
    time_base : unit of the batches' times in seconds.
    kind      : the container, "mp4", "mov" or "matroska".
    rate      : frames per second for the encoder's rate control, None when variable.
    codec     : "h264", "h265", "ffv1" or "prores"; `crf`, `preset` and `options` go to its encoder, `threads` too.
    layout    : `(subsampling, bits)` in the file; None takes the batches' own, or the nearest the codec has.
    origin    : seconds on the batches' clock that become zero in the file; a multiple of `1 / time_base.denominator`.

    `set_up(context)` readies an encoder's context, `frames(batch)` gives what it is to encode, in the unit `clock`.
    Raises `OutputRefused` for a codec or layout that cannot be had, `KnobError` for a number out of range.
    """

    def __init__(
        self,
        format: PictureFormat,
        time_base: Fraction,
        *,
        kind: str,
        rate: Fraction | None = None,
        codec: str = "h264",
        crf: float | None = None,
        preset: str | None = None,
        threads: int | None = None,
        options: dict[str, Any] | None = None,
        layout: tuple[tuple[int, int] | None, int] | None = None,
        origin: Fraction = Fraction(0),
    ) -> None:
        if codec not in PICTURE_CODECS:
            raise OutputRefused(f"there is no picture codec {codec!r}", expected=f"one of {', '.join(PICTURE_CODECS)}")
        _check("crf", crf, _LARGEST_CRF.get(codec, math.inf))
        _check("threads", threads, math.inf)
        if preset is not None and codec in _LARGEST_CRF and preset not in _PRESETS:
            known = ", ".join(_PRESETS)
            raise OutputRefused(f"{PICTURE_CODECS[codec]} refused the preset {preset!r}", expected=f"one of {known}")
        self.codec, self.kind, self.rate, self.threads = codec, kind, rate, threads
        self.format = pixels.tagged(format)
        self.written_format = _fitting(codec, self.format, layout)
        self.clock, self._step = Fraction(1, Fraction(time_base).denominator), Fraction(time_base).numerator
        self.origin = Fraction(origin)
        if self.origin % self.clock:
            raise ValueError(f"origin {origin} s is not a multiple of the picture's clock, {self.clock} s")
        self._shift = int(self.origin / self.clock)
        wished = {k: str(v) for k, v in (options or {}).items()}
        wished |= {k: str(v) for k, v in (("crf", crf), ("preset", preset)) if v is not None}
        self.options = self._options(wished)
        self._marker: _FieldMarker | None = None

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return PICTURE_CODECS[self.codec]

    def __str__(self) -> str:
        form = self.written_format
        how = "".join(f", {name} {self.options[name]}" for name in ("crf", "preset") if name in self.options)
        return f"{form.width}x{form.height} {pixels.pix_fmt(form)}{how}"

    def _options(self, wished: dict[str, str]) -> dict[str, str]:
        form = self.written_format
        asked = _DEFAULTS[self.codec] | wished | {"chroma_sample_location": form.siting}
        # "tb" and "bt" are line-interleaved top and bottom first, in Matroska's and QuickTime's sense.
        order = {"tff": "tb", "bff": "bt", "progressive": "progressive"}.get(form.field_order)
        if order:
            asked["field_order"] = order
        if self.codec == "h264" and form.interlaced:  # x264 asks at its start and not again
            asked["x264-params"] = ":".join(filter(None, (f"{form.field_order}=1", wished.get("x264-params"))))
        if self.codec == "h265":  # x265 prints to stderr by itself
            asked["x265-params"] = ":".join(filter(None, ("log-level=error", wished.get("x265-params"))))
        return asked

    def set_up(self, context: Any) -> None:
        """Sets size, colours, clock and flags of an encoder that is not yet open."""
        form, flags = self.written_format, av.codec.context.Flags
        context.width, context.height, context.pix_fmt = form.width, form.height, pixels.pix_fmt(form)
        context.time_base = self.clock
        context.sample_aspect_ratio = form.sar.limit_denominator(65535)
        context.thread_count = self.threads or 0
        if self.codec == "h264":  # FFmpeg's own choice, frames; PyAV asks for slices, which cost bytes and waits
            context.thread_type = "AUTO"
        context.flags |= flags.frame_duration  # the last frame keeps its length
        if form.interlaced and self.codec != "ffv1":
            context.flags |= flags.interlaced_dct | flags.interlaced_me
        colours = pixels.colour_numbers(form)
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = colours
        if self.codec == "h265" and self.kind in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what Apple's players ask for
        self._marker = _FieldMarker(form, self.clock) if form.interlaced else None

    def check_options(self, context: Any) -> None:
        """Raises `OutputRefused` for options that the encoder, now open, did not know."""
        unknown = sorted(set(context.options) & set(self.options))
        if unknown:
            raise OutputRefused(f"the encoder {self.encoder} has no option {', '.join(unknown)}")

    def open(self) -> Any:
        """An open encoder that belongs to no file; its packets are those it would give inside one."""
        context = av.CodecContext.create(self.encoder, "w")
        context.framerate = self.rate or 25
        context.bit_rate, context.bit_rate_tolerance = 0, 128000  # as PyAV sets them for a stream
        context.flags |= av.codec.context.Flags.global_header
        self.set_up(context)
        context.options = dict(self.options)
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputRefused(
                f"the encoder {self.encoder} refused {self}: {getattr(error, 'strerror', None) or error}",
                hint="other settings of the encoder, or another codec",
            ) from error
        self.check_options(context)
        return context

    def check(self, batch: Batch, name: str) -> None:
        """Raises `PictureError` when `batch` is not in the format that was opened; `name` is the file's."""
        form = self.format
        if batch.format.plane_shapes != form.plane_shapes or batch.planes[0].dtype != form.dtype:
            raise PictureError(
                f"a batch of {batch.format}, {batch.planes[0].dtype}, came to a file opened for {form}, {form.dtype}",
                files=f"{name} was not written",
            )

    def frames(self, batch: Batch) -> Iterator[tuple[Any, Fraction]]:
        """`(frame, end)` for each picture of a batch; `end` in seconds on the file's clock."""
        for i in range(len(batch)):
            end = Fraction(int(batch.pts[i] + batch.durations[i])) * batch.time_base - self.origin
            yield self._frame(batch, i), end

    def time_of(self, pts: int) -> int:
        """A batch's time `pts` in units of `clock`, on the file's clock."""
        return pts * self._step - self._shift

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
        frame.pts = self.time_of(int(batch.pts[i]))
        frame.duration = int(batch.durations[i]) * self._step
        frame.time_base = self.clock
        colours = pixels.colour_numbers(self.written_format)
        frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = colours
        return self._marker(frame) if self._marker else frame


def _check(name: str, value: Any, high: float) -> None:
    """Raises `KnobError` for a number that an encoder would bend to what it takes, without a word."""
    if value is None:
        return
    try:
        fits = 0 <= float(value) <= high
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise KnobError(f"{name} is {value!r}", expected="0 or more" if high == math.inf else f"0 to {high:g}")


def repeatable(codec: str, options: dict[str, Any]) -> dict[str, Any]:
    """`options` with which an encoder gives the same bytes for the same frames, as often as it is asked.

    x264's code for AVX-512 does not (macroblock tree; 8 runs gave 8 results, with one thread as well as with three);
    its code for AVX2 does (20 of 20 alike) and was as fast.
    """
    if codec != "h264" or "asm" in str(options.get("x264-params", "")):
        return options
    from llvmlite.binding import get_host_cpu_features

    if not get_host_cpu_features().get("avx512f"):
        return options
    return {**options, "x264-params": ":".join(filter(None, (options.get("x264-params"), "asm=AVX2,FMA3,LZCNT,BMI2")))}


def _fitting(codec: str, form: PictureFormat, layout: tuple[tuple[int, int] | None, int] | None) -> PictureFormat:
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
