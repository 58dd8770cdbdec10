"""Writes the result: exact presentation times, display aspect and colour tags, with sound beside the picture.

The file grows under `<name>.part` beside the target and takes its final name only when everything was written.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import OutputFailed, OutputRefused, ToolkitWarning, is_disk_full
from toolkit.media import matroska
from toolkit.media.encode import PICTURE_CODECS, EncodedPicture, Encoding
from toolkit.media.tracks import EncodedTrack, KeptTracks, SoundSpec, keep

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
__all__ = ["PICTURE_CODECS", "SoundSpec", "Writer", "check_output", "zero_of"]
_HEADER = 4096  # bytes; about what these containers begin with


class Writer:
    """Writes Batches, and sound in step with them, to an MP4, MOV or MKV file.

    path      : the final name; `.mp4`, `.m4v`, `.mov` or `.mkv` decides the container.
    format    : the `PictureFormat` of the batches.
    time_base : unit of the batches' times in seconds.  MP4 and MOV keep these times exactly; Matroska counts
                milliseconds, so there each time is the nearest one.
    sound     : "keep" for all tracks of `source`, or `SoundSpec`s, one per track.
    until     : seconds on the batches' clock where the sound is cut, None for never.
    how       : codec, crf, preset, threads, options, rate, layout, origin: see `encode.Encoding`.

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
        sound: str | Iterable[SoundSpec] = (),
        source: Clip | None = None,
        until: Fraction | None = None,
        overwrite: bool = False,
        **how: Any,
    ) -> None:
        self.path, self._part = Path(path), Path(path).with_name(Path(path).name + ".part")
        self.frames_written, self.notes = 0, []
        self._container: Any = None
        self._tracks: list[EncodedTrack | KeptTracks] = []
        self._overwrite = overwrite
        self.before_rename: Callable[[Path], None] = lambda part: None  # is shown the whole file under its first name
        self._kind = check_output(self.path, source=source, overwrite=overwrite)
        if isinstance(sound, str) and (sound != "keep" or source is None):
            raise ValueError(f'{sound = }; expected "keep" together with source=, or SoundSpecs')
        self.encoding = Encoding(format, time_base, kind=self._kind, **how)
        self.format, self.written_format = self.encoding.format, self.encoding.written_format
        self.origin, self._until = self.encoding.origin, until
        try:
            self._open(sound if sound == "keep" else tuple(sound), source)
        except BaseException as error:
            self.abort()
            if not isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
                raise
            if is_disk_full(error):
                raise OutputFailed(
                    f"{self.path} could not be begun: {_reason(error)}", hint="free some space or write to another disk"
                ) from error
            raise OutputRefused(
                f"the encoder {self.encoding.encoder} or the container {self._kind} refused {self.encoding}: "
                f"{_reason(error)}",
                hint="other settings of the encoder, another codec or container",
            ) from error
        for note in self.notes:
            warnings.warn(note, ToolkitWarning, stacklevel=2)

    def _open(self, sound, source) -> None:
        encoding, muxing = self.encoding, {}
        rates = [t.sample_rate for t in (source.sound if sound == "keep" else sound) if t.sample_rate]
        if self._kind in ("mp4", "mov"):
            # The clock of edit lists; FFmpeg's default of 1 ms would round where each track begins.
            muxing["movie_timescale"] = str(_common_clock(encoding.clock.denominator, *rates))
            if encoding.codec in ("h264", "h265"):
                muxing["movflags"] = "+faststart"
        if self._kind == "matroska":
            muxing["fflags"] = "+bitexact"  # no random number in the file: the same work gives the same bytes
        with self._part.open("wb", buffering=0) as file:
            _fill(file, _HEADER)  # PyAV never closes a container whose header found no room
        self._container = av.open(str(self._part.absolute()), "w", format=self._kind, container_options=muxing)
        stream = self._container.add_stream(encoding.encoder, rate=encoding.rate or 25, options=encoding.options)
        stream.time_base = encoding.clock
        encoding.set_up(stream.codec_context)
        if self._kind == "matroska" and self.written_format.sar != 1:
            stream.metadata["title"] = matroska.reserve
        self._stream = stream
        if sound == "keep":
            self._tracks, self.notes = keep(self._container, self._kind, source, self.origin, self._until)
        else:
            self._tracks = [EncodedTrack(self._container, spec, self.origin, self._until) for spec in sound]
        self._container.start_encoding()
        encoding.check_options(stream.codec_context)

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Encodes a batch, and the sound up to its end."""
        self.encoding.check(batch, self.path.name)
        self._check_open()
        try:
            for frame, end in self.encoding.frames(batch):
                self._container.mux(self._stream.encode(frame))
                self._wrote(end)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

    def copy(self, packets: Iterable[EncodedPicture]) -> None:
        """Takes over pictures that this file's encoder made elsewhere, in coding order, and the sound up to their end.

        Their times are in units of `encoding.clock`.
        """
        self._check_open()
        clock = self.encoding.clock
        try:
            for picture in packets:
                packet = av.Packet(picture.data)
                packet.time_base, packet.stream = clock, self._stream
                packet.pts, packet.dts, packet.duration = picture.pts, picture.dts, picture.duration
                packet.is_keyframe = picture.key
                self._container.mux_one(packet)
                self._wrote((picture.pts + picture.duration) * clock)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

    @property
    def setup_data(self) -> bytes:
        """What the encoder tells a decoder ahead of the first picture (parameter sets, configuration)."""
        return bytes(self._stream.codec_context.extradata or b"")

    def _check_open(self) -> None:
        if self._container is None:
            raise ValueError(f"{self.path.name} is closed already")

    def _wrote(self, end: Fraction) -> None:
        self.frames_written += 1
        for track in self._tracks:
            track.pull(float(end), self._container)

    def write_sound(self, samples: np.ndarray, start: float, track: int = 0) -> None:
        """Encodes float32 samples `(channels, n)` whose first is played at `start` seconds on the batches' clock."""
        try:
            self._tracks[track].push(samples, start, self._container)
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)

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
            self.before_rename(self._part)
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
        self._tracks, self._stream = [], None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _fail(self, error: Exception) -> None:
        self.abort()
        raise OutputFailed(
            f"writing {self.path} failed after {self.frames_written} frames: {_reason(error)}",
            files="the unfinished file was removed, nothing else was touched",
            hint="free some space or write to another disk" if is_disk_full(error) else "another folder or codec",
        ) from error


def check_output(path: Path, *, source: Clip | Path | None = None, overwrite: bool = False) -> str:
    """The container ("mp4", "mov" or "matroska") for `path`.

    Raises `OutputRefused` when it cannot or must not be written: unknown ending, missing or read-only folder, the
    input itself, or an existing file without `overwrite`.
    """
    path = Path(path)
    if path.is_dir():
        name = f"{Path(source.path if isinstance(source, Clip) else source).stem if source else 'restored'}.mp4"
        raise OutputRefused(f"{path} is a folder", expected="the name of a file", hint=f"{path / name}")
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


def _fill(file: Any, count: int) -> None:
    """Writes so many zeros.  Raises `OSError` where there is no room for them."""
    while count > 0:
        count -= file.write(bytes(count))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _common_clock(*rates: int) -> int:
    """Ticks per second that all `rates` divide, as long as 32 bits can hold it."""
    common = math.lcm(*rates)
    return common if common < 1 << 31 else max(rates)
