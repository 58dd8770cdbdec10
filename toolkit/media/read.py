"""Reads tapes: planar frames with their exact times, in presentation order, never through RGB.

What could be mended or had to be left out becomes a `ToolkitWarning` and is counted on the `Reader`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain, islice
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import InputUnreadable, ToolkitWarning
from toolkit.media import pixels
from toolkit.media.source import UNTOUCHED, open_clip, open_container, picture_stream
from toolkit.media.times import frame_times, only, promised

__all__ = ["Reader", "copy_planes", "open_clip", "read_batches"]

_NEAR, _NEXT = 48, 2  # so many frames are decoded rather than sought past; and where every frame stands alone
#: Matroska's demuxer notes every key frame it passes, up to a megabyte; with fewer a seek lands a little earlier.
_SMALL_INDEX = {"indexmem": "24576"}
_SIZED = ("avi", "mov", "matroska", "dv")  # demuxers that call a packet corrupt only when the file ends inside it


def read_batches(
    clip: Clip, size: int = 16, frames: tuple[int, int | None] = (0, None), threads: int = 0
) -> Iterator[Batch]:
    """Yields the frames `frames[0] <= i < frames[1]` in presentation order, at most `size` at a time."""
    with Reader(clip, size=size, frames=frames, threads=threads) as reader:
        yield from reader


class Reader:
    """Decodes a clip into Batches and keeps count of what it met.

    frames_read  : frames handed out so far.
    truncated_at : seconds on the clip's clock where the file broke off before what was asked for, else None.
    expected     : frames the file promised for the range asked for (estimated from length and rate where the file
                   only gives those), None when it does not say.
    broken       : packets that could not be decoded.
    mended       : frames whose time was missing or ran backwards and was reconstructed from the frame rate.

    The last four are known when all was read.  Each Batch has arrays of its own, which nothing else writes to.
    `threads` is the decoder's thread count, 0 for one per core.  With `since`, seconds on the clip's clock, frames
    are counted from the first one shown at or after that time, which is sought without looking at the rest of the
    file.  What is to be said goes to `say` instead of the warnings, which belong to the main thread.
    Raises `InputUnreadable` when nothing can be decoded.
    """

    def __init__(
        self,
        clip: Clip,
        size: int = 16,
        frames: tuple[int, int | None] = (0, None),
        threads: int = 0,
        since: float | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        first, stop = frames
        if size < 1 or first < 0 or (stop is not None and stop < first):
            raise ValueError(f"{size = }, {frames = }; expected size >= 1 and 0 <= first <= stop")
        self.clip, self.size, self.first, self.stop = clip, size, first, stop
        self._say = say or _warn
        self.threads, self.since = threads, since if since is not None and since > clip.start else None
        self.frames_read = self.broken = self.mended = 0
        self.truncated_at: float | None = None
        self.expected: int | None = None
        self._reached = clip.start  # seconds up to which the file could be decoded
        self._failed = False
        self._nominal = max(1, round(1 / (clip.rate * clip.time_base))) if clip.rate else 1
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

    # -- from the file to timed frames ---------------------------------------------------------------------------

    def _run(self) -> Iterator[Batch]:
        if self.stop == self.first:
            return
        with ExitStack() as stack:
            frames = self._sought(stack) if self.since is None else self._since(stack)
            if frames is None:
                container, stream = self._open(stack)
                frames = islice(self._decoded(container, stream), self.first, None)
            yield from self._batched(self._timed(frames))
        if self.since is None:
            self._judge()

    def _open(self, stack: ExitStack) -> tuple[Any, Any]:
        container = stack.enter_context(open_container(self.clip.path, _SMALL_INDEX))
        stream = picture_stream(container, self.clip.path)
        self._promise = promised(container, stream)
        only(container, stream)
        stream.codec_context.thread_count = self.threads
        stream.codec_context.thread_type = "AUTO"
        return container, stream

    def _sought(self, stack: ExitStack) -> Iterator[Any] | None:
        """The decoded frames from number `first` on by way of a key frame before it.

        None when there is no sure way: every frame decoded on the way must bear the time it should have.
        """
        if self.first <= _NEXT:
            return None
        with open_container(self.clip.path) as container:
            alone = _alone(picture_stream(container, self.clip.path))
        times = frame_times(self.clip) if self.first > (_NEXT if alone else _NEAR) else None
        if times is None or self.first >= len(times):
            return None
        # Pictures right after a key frame may lean on those before it, so start well ahead of the target.
        for ahead in (0, 16, 300) if alone else (16, 300):
            container, stream = self._open(stack)
            try:
                container.seek(int(times[max(0, self.first - ahead)]), stream=stream)
            except av.error.FFmpegError:
                break
            frames, number = self._decoded(container, stream), None
            for frame in frames:
                if number is None and frame.pts is not None:
                    number = int(np.searchsorted(times, frame.pts))
                    if not frame.key_frame or number > self.first:
                        break
                if frame.pts is None or frame.pts != times[number]:
                    break
                if number == self.first:
                    return chain((frame,), frames)
                number += 1
            frames.close()
            container.close()
        return None

    def _since(self, stack: ExitStack) -> Iterator[Any]:
        """The decoded frames from number `first` after the time `since` on."""
        container, stream = self._open(stack)
        target = math.ceil(self.since / stream.time_base - Fraction(1, 100))
        # Half a second early: pictures right after a key frame may lean on those before it.
        early = 0 if _alone(stream) else round(Fraction(1, 2) / stream.time_base)
        if early == 0 and self.size == 1:
            stream.codec_context.thread_type = "SLICE"  # frame threads want more packets before they give one out
        try:
            container.seek(target - early, stream=stream)
        except av.error.FFmpegError:
            container, stream = self._open(stack)
        late = (f for f in self._decoded(container, stream) if f.pts is None or f.pts >= target)
        return islice(late, self.first, None)

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        cut_off = container.format.name.startswith(_SIZED)
        tick = float(stream.time_base)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self._failed = True
                packet = av.Packet()  # an empty packet makes the decoder give out what it holds
                packet.stream = stream
            if packet is None:
                return
            try:
                if packet.size and cut_off and packet.is_corrupt:
                    self._failed = True
                    continue
                for frame in packet.decode():
                    if frame.pts is not None:
                        self._reached = (frame.pts + (frame.duration or self._nominal)) * tick
                    yield frame
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.broken += 1
            if self._failed and not packet.size:
                return

    def _timed(self, frames: Iterator[Any]) -> Iterator[tuple[Any, int, int]]:
        """`(frame, pts, own duration)`, times strictly rising."""
        last, end, offset = None, round(self.clip.start / self.clip.time_base), 0
        second = round(1 / self.clip.time_base)
        for frame in frames:
            length = frame.duration or self._nominal
            pts = None if frame.pts is None else frame.pts + offset
            if pts is not None and last is not None and pts < last - second:
                offset += end - pts  # the clock was set back, as where a DVD's parts were joined: go on from here
                pts, self.mended = end, self.mended + 1
            elif pts is None or (last is not None and pts <= last):
                pts, self.mended = end, self.mended + 1
            last, end = pts, pts + length
            yield frame, pts, length

    # -- from timed frames to batches ----------------------------------------------------------------------------

    def _batched(self, timed: Iterator[tuple[Any, int, int]]) -> Iterator[Batch]:
        """Durations reach to the next frame's time, so one frame is always read ahead of what is handed out."""
        form = self.clip.format
        planes, pts, lengths = self._blank(), [], []
        wanted = None if self.stop is None else self.stop - self.first
        for number, (frame, time, length) in enumerate(timed):
            if pts:
                lengths[-1] = time - pts[-1]
            if len(pts) == self.size:
                yield self._batch(planes, pts, lengths)
                planes, pts, lengths = None, [], []
            if number == wanted:
                break
            if (frame.width, frame.height) != (form.width, form.height):
                self._reached, self._failed = float(time * self.clip.time_base), True
                break
            if planes is None:
                planes = self._blank()
            copy_planes(frame, form, planes, len(pts))
            pts.append(time)
            lengths.append(length)
        if pts:
            yield self._batch(planes, pts, lengths)

    def _batch(self, planes: tuple, pts: list, lengths: list) -> Batch:
        self.frames_read += len(pts)
        planes = tuple(p[: len(pts)] for p in planes)
        times, durations = np.array(pts, np.int64), np.array(lengths, np.int64)
        return Batch(planes, times, durations, self.clip.time_base, self.clip.format)

    def _blank(self) -> tuple[np.ndarray, ...]:
        form = self.clip.format
        return tuple(np.empty((self.size, *shape), form.dtype) for shape in form.plane_shapes)

    # -- what is said in the end ---------------------------------------------------------------------------------

    def _judge(self) -> None:
        clip, read = self.clip, self.frames_read
        if read == 0 and self.first == 0:
            raise InputUnreadable(f"no frame of {clip.path} could be decoded", files=UNTOUCHED)
        count, end = self._promise
        estimated = count is None and end is not None and clip.rate
        if estimated:
            count = round((float(end) - clip.start) * clip.rate)
        if count is not None:
            self.expected = max(0, (count if self.stop is None else min(count, self.stop)) - self.first)
        short = self._failed
        if end is not None:
            short |= self._reached < float(end) - 1.5 * self._nominal * float(clip.time_base)
        elif count is not None:
            short |= read < (self.expected or 0)
        if short and (self.stop is None or read < self.stop - self.first):
            self.truncated_at = self._reached
            of = f"{read} of {self.expected}" if self.expected else f"{read}"
            self._say(f"{clip.path.name} breaks off at {self._reached:.3f} s: {of} frames were read, the rest is lost")
        elif estimated:
            self.expected = read
        if self.mended:
            self._say(f"{clip.path.name}: {self.mended} frames had no usable time; it was set from the frame rate")
        if self.broken:
            self._say(f"{clip.path.name}: {self.broken} broken packets were skipped")


def _alone(stream: Any) -> bool:
    """Whether a key frame and what follows it need nothing from before it."""
    codec = stream.codec_context.codec
    return codec.intra_only or codec.name == "ffv1"  # RFC 9043: a key frame resets all states


def _warn(text: str) -> None:
    warnings.warn(text, ToolkitWarning, stacklevel=2)


def copy_planes(frame: Any, form: PictureFormat, planes: tuple[np.ndarray, ...], at: int) -> None:
    """Copies a decoded frame into row `at` of `planes`, honouring line strides.

    One copy and nothing else where `pixels.layout` knows the pixel format; the rest is converted first.  Raises
    `InputUnreadable` when the frame is not of format `form`.
    """
    how = pixels.layout(frame.format.name)
    if how is None:
        colours = {}
        if pixels.is_rgb(frame.format):
            colours = {"dst_colorspace": "ITU601" if form.matrix == "bt601" else "ITU709", "dst_color_range": "MPEG"}
        frame = frame.reformat(format=pixels.stand_in(frame.format), interpolation="POINT", **colours)
        how = pixels.layout(frame.format.name)
    if how.bits != form.bits or how.subsampling != form.subsampling:
        raise InputUnreadable(f"the picture changes to {frame.format.name} in the middle of the file", files=UNTOUCHED)
    for target, (index, first, step) in zip(planes, how.parts, strict=True):
        plane = frame.planes[index]
        stride = abs(plane.line_size)
        lines = np.frombuffer(plane, np.uint8)[: stride * plane.height].reshape(plane.height, stride)
        if plane.line_size < 0:  # stored bottom line first, as some Windows codecs do
            lines = lines[::-1]
        height, width = target.shape[1:]
        samples = lines.view(how.dtype)[:height, first::step][:, :width]
        if how.shift:
            np.right_shift(samples, how.shift, out=target[at])
        else:
            target[at] = samples
