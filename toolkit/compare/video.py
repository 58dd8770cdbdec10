"""Clips side by side in one video, each with its name: to be watched, sent, or put on a page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.compare.grid import _GAP, _INK, _PAPER, _scaled, to_rgb
from toolkit.compare.played import played
from toolkit.compare.samples import Sample
from toolkit.compare.source import Frame, Source
from toolkit.errors import OutputFailed, OutputRefused, RequestError
from toolkit.progress import Progress

_CLOCK = Fraction(1, 90000)
#: Ending -> encoder and its options.
_CODECS = {
    ".mp4": ("libx264", {"crf": "18", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4", "deadline": "good"}),
}
_LARGEST = 8192


@dataclass(frozen=True)
class Stacked:
    """A video that was written: its path, frames and size, and why it ends where it does."""

    path: Path
    frames: int
    size: tuple[int, int]
    note: str

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} frames of {self.size[0]}x{self.size[1]}; {self.note}"


def stacked_video(
    sources: Mapping[str, Any],
    path: str | Path,
    *,
    start: float = 0.0,
    length: float | None = None,
    height: int = 480,
    columns: int | None = None,
    turns: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Stacked:
    """Writes all `sources` side by side, each under its name, as one video (.mp4: H.264, .webm: VP9).

    sources : name -> path, Clip, demo or list of Batches, of any size and rate; each is shown at its display aspect.
              Or samples of the same moments: their bursts are shown one after the other, each `turns` times.
    start   : seconds from the beginning, and `length` seconds from there; to the end when left out.
    height  : of each picture; `columns` of them in a row (up to three, then a square when left out).

    The fastest clip gives the times; of the others the frame on display then is shown.  Clocks that start more than
    half a second apart are counted from their first frames.  The video ends with the shortest clip.  Interlaced frames
    are shown as captured.  Raises `RequestError` or `OutputRefused` before anything is written, `OutputFailed` in the
    work; a failure leaves no file.
    """
    path = Path(path)
    if not sources:
        raise RequestError("a video needs sources", expected="at least one")
    if height < 16 or (columns is not None and columns < 1) or start < 0 or (length is not None and length <= 0):
        raise RequestError(
            f"height is {height}, columns {columns}, start {start} and length {length}",
            expected="a height of 16 or more, 1 column or more, a start of 0 or more and a length above 0",
        )
    if turns < 1:
        raise RequestError(f"turns is {turns}", expected="1 or more")
    check_output(path, overwrite)
    if any(isinstance(what, Sample) for what in sources.values()):
        sources = played(sources, turns)
    sides = {name: Source(what, name) for name, what in sources.items()}
    for side in sides.values():
        clip = getattr(side.what, "path", None)
        if clip is not None and path.exists() and os.path.samefile(clip, path):
            raise OutputRefused(f"{path} is one of the sources", expected="another name")
    sheet = _Sheet(sides, height, columns)
    progress = progress or Progress()
    progress.stage("video")
    film = _Film(path, sheet.size)
    try:
        together = _Together(sides, start, length)
        for time, duration, frames in together:
            film.add(sheet.drawn(frames), time, duration)
            progress.step()
        if not film.frames:
            raise RequestError(f"there is no frame from {start:g} s on that all clips have")
        film.finish()
    finally:
        film.discard()
    progress.finish()
    return Stacked(path, film.frames, sheet.size, together.note)


def check_output(path: str | Path, overwrite: bool) -> None:
    """Raises `OutputRefused` where no video can be written."""
    path = Path(path)
    if path.suffix.lower() not in _CODECS:
        raise OutputRefused(f"{path.name} is no video that can be made", expected=f"a name in {' or '.join(_CODECS)}")
    if not path.absolute().parent.is_dir():
        raise OutputRefused(f"the folder {path.absolute().parent} does not exist", hint="create it first")
    if path.exists() and not overwrite:
        raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite")


class _Together:
    """Yields `(time, duration, frames)`, the frames of all sides on display at one time; ends with the shortest."""

    def __init__(self, sides: Mapping[str, Source], start: float, length: float | None) -> None:
        self.sides, self.start, self.length = sides, start, length
        self.note = "to the end of what was asked for"

    def __iter__(self) -> Iterator[tuple[float, float, list[Frame]]]:
        flows = [side.frames() for side in self.sides.values()]
        names = list(self.sides)
        now = [next(flow, None) for flow in flows]
        if None in now:
            raise RequestError(f"{names[now.index(None)]} has no frames")
        zero = [frame.time for frame in now]
        if max(zero) - min(zero) <= 0.5:
            zero = [min(zero)] * len(zero)
        leader = min(range(len(now)), key=lambda n: now[n].length)
        coming = [next(flow, None) for flow in flows]
        while True:
            lead = now[leader]
            time = lead.time - zero[leader]
            for n, flow in enumerate(flows):
                # A quarter of a frame of slack, for times rounded to milliseconds.
                while coming[n] is not None and coming[n].time - zero[n] <= time + 0.25 * lead.length:
                    if n == leader:
                        break
                    now[n], coming[n] = coming[n], next(flow, None)
                ends = now[n].time - zero[n] + now[n].length
                if coming[n] is None and ends < time + 0.25 * lead.length:
                    self.note = f"it ends with {names[n]}, the shortest"
                    return
            if self.length is not None and time >= self.start + self.length - 0.25 * lead.length:
                return
            if time >= self.start - 0.25 * lead.length:
                yield max(0.0, time - self.start), lead.length, list(now)
            if coming[leader] is None:
                self.note = f"it ends with {names[leader]}"
                return
            now[leader], coming[leader] = coming[leader], next(flows[leader], None)


class _Sheet:
    """Where each picture goes, and its name above it."""

    def __init__(self, sides: Mapping[str, Source], height: int, columns: int | None) -> None:
        from PIL import Image, ImageDraw

        count = len(sides)
        across = min(count, columns or (count if count <= 3 else math.ceil(math.sqrt(count))))
        down = math.ceil(count / across)
        widths = [max(2, round(height * float(side.format.dar))) for side in sides.values()]
        text = max(16, height // 20)
        cell = max(widths), height + text + _GAP
        size = across * (cell[0] + _GAP) + _GAP, down * (cell[1] + _GAP) + _GAP
        self.size = size[0] + size[0] % 2, size[1] + size[1] % 2  # 4:2:0 wants even sizes
        if max(self.size) > _LARGEST:
            raise RequestError(
                f"the video would be {self.size[0]}x{self.size[1]}", expected=f"at most {_LARGEST} each way",
                hint="a smaller height or fewer clips",
            )  # fmt: skip
        self._paper = Image.new("RGB", self.size, _PAPER)
        draw, font = ImageDraw.Draw(self._paper), _font(text)
        self._boxes = []
        for n, (name, width) in enumerate(zip(sides, widths, strict=True)):
            left, top = _GAP + n % across * (cell[0] + _GAP), _GAP + n // across * (cell[1] + _GAP)
            draw.text((left, top), _shortened(name, font, cell[0]), _INK, font)
            self._boxes.append((left + (cell[0] - width) // 2, top + text + _GAP, width, height))

    def drawn(self, frames: list[Frame]) -> np.ndarray:
        sheet = self._paper.copy()
        for (left, top, width, height), frame in zip(self._boxes, frames, strict=True):
            sheet.paste(_scaled(to_rgb(frame.batch)[0], (width, height)), (left, top))
        return np.asarray(sheet)


def _font(size: int) -> Any:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size - 3)


def _shortened(name: str, font: Any, width: int) -> str:
    name = " ".join(name.split()) or " "
    if font.getlength(name) <= width:
        return name
    while name and font.getlength(name + "\u2026") > width:
        name = name[:-1]
    return name + "\u2026"


class _Film:
    """A video file under a name of its own until it is whole."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        import av

        self.path, self.frames = path, 0
        self._part = path.with_name(path.name + ".part")
        encoder, options = _CODECS[path.suffix.lower()]
        self._container: Any = None
        try:
            self._container = av.open(str(self._part.absolute()), "w", format=path.suffix.lower()[1:])
            self._stream = self._container.add_stream(encoder, rate=25, options=options)
            self._stream.time_base = _CLOCK
            context = self._stream.codec_context
            context.width, context.height, context.pix_fmt, context.time_base = *size, "yuv420p", _CLOCK
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
            context.color_range = 1  # limited
        except (av.error.FFmpegError, OSError) as error:
            self.discard()
            raise self._failed(error) from error

    def add(self, rgb: np.ndarray, time: float, duration: float) -> None:
        import av

        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        picture.pts, picture.time_base = round(time / _CLOCK), _CLOCK
        picture.duration = round(duration / _CLOCK)
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self.frames += 1

    def finish(self) -> None:
        import av

        try:
            self._container.mux(self._stream.encode(None))
            container, self._container = self._container, None
            container.close()
            os.replace(self._part, self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Removes what is unfinished; nothing after `finish`."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except Exception:  # the disk may be full; the file is removed all the same
            pass
        finally:
            self._part.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> OutputFailed:
        reason = getattr(error, "strerror", None) or error
        return OutputFailed(f"writing {self.path} failed: {reason}", files="the unfinished file was removed")
