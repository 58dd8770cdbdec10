"""Sound tracks on their way into a file: encoded from samples, or kept packet by packet."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np

from toolkit.clip import Clip
from toolkit.errors import OutputRefused, SoundError
from toolkit.media.sound import SoundBlock, read_sound
from toolkit.media.source import STANDARD_LAYOUTS, open_container

SOUND_CODECS = ("aac", "flac", "pcm_s16le", "pcm_s24le")
#: Codecs that are kept as they are in MP4: those its players can be expected to know.  FFmpeg would also write PCM,
#: but most players stay silent on it.
_KEPT_IN_MP4 = ("aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3", "alac", "flac")
#: Bytes of one sample as it is stored; packets of these can be cut anywhere.
_PCM_BYTES = {
    "pcm_u8": 1, "pcm_s16le": 2, "pcm_s16be": 2, "pcm_s24le": 3, "pcm_s24be": 3, "pcm_s32le": 4, "pcm_f32le": 4,
}  # fmt: skip


@dataclass(frozen=True)
class SoundSpec:
    """One sound track to be written.

    codec    : "aac", "flac", "pcm_s16le" or "pcm_s24le".
    bit_rate : bits per second, AAC only; None takes 128 kb/s a channel.
    blocks   : where its samples come from; the `Writer` takes them in step with the picture.  None when the caller
               hands them over with `write_sound`.
    """

    sample_rate: int
    layout: str = "stereo"
    codec: str = "aac"
    bit_rate: int | None = None
    language: str | None = None
    blocks: Iterable[SoundBlock] | None = field(default=None, compare=False, hash=False)


class EncodedTrack:
    """Encodes one track; fills gaps with silence and drops what overlaps, so every sample keeps its time.

    origin, until : seconds on the source's clock that become zero, and where the sound is cut (None: never).
    """

    def __init__(self, container: Any, spec: SoundSpec, origin: Fraction, until: Fraction | None) -> None:
        if spec.codec not in SOUND_CODECS:
            raise OutputRefused(f"there is no sound codec {spec.codec!r}", expected=f"one of {', '.join(SOUND_CODECS)}")
        self.spec, self._origin = spec, float(origin)
        self._last = None if until is None else round(float(until - origin) * spec.sample_rate)
        self.stream = container.add_stream(spec.codec, rate=spec.sample_rate)
        context = self.stream.codec_context
        channels = av.AudioLayout(spec.layout).nb_channels
        # 5.1(side) and its like have no code in AAC and FLAC; they are written as the layout with as many channels.
        context.layout = spec.layout if spec.codec.startswith("pcm") else STANDARD_LAYOUTS.get(channels, spec.layout)
        self.channels = channels
        context.time_base = self.stream.time_base = Fraction(1, spec.sample_rate)
        if spec.codec == "aac":
            context.bit_rate = spec.bit_rate or 128000 * channels
        if spec.codec == "flac":
            context.format = "s32"  # FFmpeg keeps 24 bits of it
        if spec.language:
            self.stream.metadata["language"] = spec.language
        self._at: int | None = None  # number, on the output clock, of the next sample to come
        self._sent = 0  # and of the next one to be encoded
        self._waiting: list[np.ndarray] = []
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
        if self._last is not None:
            samples = samples[:, : max(0, self._last - first)]
        earliest = 0 if self._at is None else self._at
        if first < earliest:  # before the picture's zero, or over what is there already
            samples, first = samples[:, earliest - first :], earliest
        if not samples.shape[1]:
            return
        if self._at is None:
            self._at = self._sent = first
        gap = first - self._at
        if 0 < gap <= self.spec.sample_rate // 200:  # 5 ms: the clocks drifted apart; a ramp does not click
            self._take(np.linspace(self._edge, samples[:, 0], gap + 2, axis=1)[:, 1:-1], container)
        while (gap := first - self._at) > 0:
            self._take(np.zeros((self.channels, min(gap, self.spec.sample_rate)), np.float32), container)
        self._take(samples, container)
        self._edge = samples[:, -1]

    def _take(self, samples: np.ndarray, container: Any) -> None:
        self._waiting.append(np.asarray(samples, np.float32))
        self._held += samples.shape[1]
        self._at += samples.shape[1]
        size = self.stream.codec_context.frame_size or 4096
        if self._held < size:
            return
        whole = np.concatenate(self._waiting, axis=1)
        cut = self._held - self._held % size
        for i in range(0, cut, size):
            self._encode(whole[:, i : i + size], container)
        self._waiting, self._held = [whole[:, cut:]], self._held - cut

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
            self._encode(np.concatenate(self._waiting, axis=1), container)
            self._waiting, self._held = [], 0
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


class KeptTracks:
    """Copies the packets of a clip's sound tracks, all in one pass over the file.

    negative : whether the container can hide what is before zero (MP4 and MOV can, by an edit list).
    """

    def __init__(self, clip: Clip, origin: Fraction, until: Fraction | None, negative: bool) -> None:
        self._source = open_container(clip.path)
        self._origin, self._negative = origin, negative
        self._last = math.inf if until is None else float(until - origin)
        self._to: dict[int, Any] = {}
        self._packets: Iterator[Any] | None = None
        self._ahead: Any = None
        self._end: dict[int, int] = {}  # where the last packet of each stream ended, in its source's ticks
        self._offset: dict[int, int] = {}
        self._written: dict[int, int] = {}

    def add(self, container: Any, index: int) -> bool:
        """Takes on stream `index` of the source; False when the container does not take its codec."""
        stream = self._source.streams[index]
        try:
            copy = container.add_stream_from_template(stream)
        except ValueError:
            return False
        if stream.language:
            copy.metadata["language"] = stream.language
        self._to[index] = copy
        return True

    def _next(self) -> Any:
        if self._packets is None:
            for stream in self._source.streams:
                if stream.index not in self._to:
                    stream.discard = av.stream.Discard.all
            streams = [self._source.streams[i] for i in self._to]
            if self._origin > 2:
                with contextlib.suppress(av.error.FFmpegError):  # then it is read from its beginning
                    self._source.seek(int((self._origin - 1) * av.time_base))
            self._packets = self._source.demux(streams) if streams else iter(())  # no streams would mean all of them
        while True:
            try:
                packet = next(self._packets, None)
            except (av.error.FFmpegError, OSError):
                return None  # the file breaks off here
            if packet is None or packet.size:
                return packet

    def pull(self, until: float, container: Any) -> None:
        """Copies packets until they reach `until` seconds on the output clock."""
        while True:
            packet = self._ahead = self._ahead or self._next()
            if packet is None:
                return
            index, tick = packet.stream_index, packet.time_base
            pts = packet.pts if packet.pts is not None else packet.dts
            due = self._end.get(index, 0)
            pts = due if pts is None else pts + self._offset.get(index, 0)
            if pts < due - 1 / tick:  # the clock was set back, as where a DVD's parts were joined: go on from here
                self._offset[index] = self._offset.get(index, 0) + due - pts
                pts = due
            at = float(pts * tick - self._origin)
            if at > until:
                return
            self._ahead = None
            self._end[index] = pts + (packet.duration or 0)
            if self._write(packet, pts, at, container):
                self._written[index] = pts

    def _write(self, packet: Any, pts: int, at: float, container: Any) -> bool:
        index, tick = packet.stream_index, packet.time_base
        if pts < self._written.get(index, pts):
            return False  # time runs backwards in the source; no container can hold that
        length = (packet.duration or 0) * float(tick)
        early = at < -float(tick) / 2
        if at >= self._last or (early and at + length <= 0):
            return False
        source = self._source.streams[index].codec_context
        if source.name in _PCM_BYTES and (early or at + length > self._last):
            packet, pts = self._cut(packet, pts, source)
            if packet is None:
                return False
        elif early and not self._negative:  # a packet across zero stays only where an edit list can hide its first part
            return False
        packet.pts = packet.dts = pts - round(self._origin / packet.time_base)
        packet.stream = self._to[index]
        container.mux_one(packet)
        return True

    def _cut(self, packet: Any, pts: int, source: Any) -> tuple[Any, int]:
        """The samples of a PCM packet that lie in the range, and their time."""
        rate, size = source.sample_rate, _PCM_BYTES[source.name] * source.channels
        first = pts * packet.time_base - self._origin
        skip = max(0, math.ceil(-first * rate))
        stop = packet.size // size
        if self._last < math.inf:
            stop = min(stop, round((self._last - float(first)) * rate))
        if skip >= stop:
            return None, pts
        piece = av.Packet(bytes(packet)[skip * size : stop * size])
        piece.time_base, piece.duration = packet.time_base, round(Fraction(stop - skip, rate) / packet.time_base)
        return piece, pts + round(Fraction(skip, rate) / packet.time_base)

    def finish(self, container: Any) -> None:
        self.pull(math.inf, container)

    def close(self) -> None:
        self._packets = iter(())
        self._source.close()


def keep(
    container: Any, kind: str, clip: Clip, origin: Fraction, until: Fraction | None
) -> tuple[list[EncodedTrack | KeptTracks], list[str]]:
    """Tracks that bring all of a clip's sound into `container` in its order, and what has to be said about them.

    A codec the container takes is copied, what MP4's players do not know becomes AAC (FLAC in Matroska), and what
    FFmpeg does not know is left out.
    """
    copied = KeptTracks(clip, origin, until, negative=kind in ("mp4", "mov"))
    tracks: list[EncodedTrack | KeptTracks] = [copied]
    notes = []
    for i, track in enumerate(clip.sound):
        if not track.sample_rate:
            notes.append(f"sound track {i} is in a codec FFmpeg does not know and was left out")
            continue
        if (kind != "mp4" or track.codec in _KEPT_IN_MP4) and copied.add(container, track.index):
            continue
        codec = "flac" if kind == "matroska" else "aac"
        blocks = read_sound(clip, i, span=(float(origin), None if until is None else float(until)))
        spec = SoundSpec(track.sample_rate, track.layout, codec, language=track.language, blocks=blocks)
        tracks.append(EncodedTrack(container, spec, origin, until))
        notes.append(
            f"sound track {i} ({track.codec}) would not play from this {kind.upper()} file and became {codec.upper()}"
            + ("; an .mkv or .mov keeps it as it is" if kind == "mp4" else "")
        )
    return tracks, notes
