"""Reads sound tracks sample by sample, on the same clock as the picture."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import av
import numpy as np

from toolkit.clip import Clip
from toolkit.errors import SoundError
from toolkit.media.source import open_container
from toolkit.media.times import only


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """Consecutive samples.

    samples : float32 `(channels, n)`, full scale is 1.
    start   : presentation time of the first sample in seconds, on the picture's clock.
    rate    : samples per second.
    """

    samples: np.ndarray
    start: float
    rate: int

    @property
    def end(self) -> float:
        return self.start + self.samples.shape[1] / self.rate

    def __repr__(self) -> str:
        channels, n = self.samples.shape
        return f"SoundBlock({channels} x {n} samples at {self.rate} Hz, {self.start:.4f}..{self.end:.4f} s)"


def read_sound(
    clip: Clip, track: int = 0, block: int = 48000, span: tuple[float, float | None] = (-math.inf, None)
) -> Iterator[SoundBlock]:
    """Yields the samples of sound track `track` in order, at most `block` at a time.

    Blocks follow one another without a seam while the track does; where samples are missing (dropped or damaged
    packets) the next block's `start` jumps.  Encoder priming and edit lists are honoured: the first sample's time is
    the time a player plays it at.  `span` is a range of that time in seconds; it is sought, not read up to.

    Raises `SoundError` when there is no such track.
    """
    if not 0 <= track < len(clip.sound):
        raise SoundError(f"{clip.path.name} has no sound track {track}", expected=f"a number below {len(clip.sound)}")
    with open_container(clip.path) as container:
        stream = container.streams[clip.sound[track].index]
        if stream.codec_context is None:
            raise SoundError(f"sound track {track} of {clip.path.name} is in a codec FFmpeg does not know")
        only(container, stream)
        if span[0] - 0.5 > clip.sound[track].start:
            # Half a second early, so that codecs with overlapping blocks have what they need.
            container.seek(int((span[0] - 0.5) / stream.time_base), stream=stream)
        yield from _blocks(_within(_runs(_frames(container, stream), stream), span), block)


def _within(parts: Iterator[SoundBlock], span: tuple[float, float | None]) -> Iterator[SoundBlock]:
    first, last = span
    for part in parts:
        start = max(0, round((first - part.start) * part.rate)) if first > part.start else 0
        stop = part.samples.shape[1] if last is None else round((last - part.start) * part.rate)
        if stop <= 0:
            return
        if start < stop and start < part.samples.shape[1]:
            yield SoundBlock(part.samples[:, start:stop], part.start + start / part.rate, part.rate)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):
            return  # the file breaks off here
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue  # a damaged packet: a gap


def _runs(frames: Iterator[Any], stream: Any) -> Iterator[SoundBlock]:
    """Each frame with its exact time.

    Within a run time is counted in samples from the run's first, since container ticks (1 ms in Matroska) are too
    coarse.  A new run begins where the container's times leave the count: at once when by as much as a lost packet,
    after a few frames when by less, so that mere jitter does not cut the sound.
    """
    tick = float(stream.time_base)
    small = max(0.0005, 1.5 * tick)
    start, counted, rate, offset, off = None, 0, 0, 0.0, 0
    frames = iter(frames)
    ahead: deque = deque()
    while frame := ahead.popleft() if ahead else next(frames, None):
        if start is None or frame.sample_rate != rate:
            start = frame.pts * tick + offset if frame.pts is not None else (start or 0.0) + counted / (rate or 1)
            counted, rate = 0, frame.sample_rate
            if frame.pts is not None and not ahead:
                ahead.extend(islice(frames, 7))
                start += _between_ticks([frame, *ahead], stream.time_base)
        elif frame.pts is not None:
            now, due = frame.pts * tick + offset, start + counted / rate
            if now < due - 1:
                offset += due - now  # the clock was set back, as where a DVD's parts were joined: go on from here
                now = due
            off = off + 1 if abs(now - due) > small else 0
            if off >= 8 or abs(now - due) > 0.005 + tick:
                start, counted, off = now, 0, 0
        yield SoundBlock(to_float(frame), start + counted / rate, rate)
        counted += frame.samples


def _between_ticks(frames: list[Any], tick: Fraction) -> float:
    """Seconds from the first frame's rounded time to its true one, from how the next ones' times were rounded.

    Times were rounded by up to half a tick each; the middle of what fits all of them is taken, 0 when nothing does.
    """
    errors, counted = [], Fraction(0)
    for frame in frames:
        if frame.pts is None or frame.sample_rate != frames[0].sample_rate:
            break
        errors.append((frame.pts - frames[0].pts) * tick - counted)
        counted += Fraction(frame.samples, frame.sample_rate)
    low, high = min(errors), max(errors)
    return float((low + high) / 2) if high - low <= tick * Fraction(101, 100) else 0.0


def _blocks(parts: Iterator[SoundBlock], size: int) -> Iterator[SoundBlock]:
    """The same samples in blocks of `size`, shorter only before a gap and at the end."""
    held: list[SoundBlock] = []
    count = 0
    for part in parts:
        joins = (
            held
            and abs(part.start - (held[0].start + count / part.rate)) < 1e-6
            and (part.rate == held[0].rate and part.samples.shape[0] == held[0].samples.shape[0])
        )
        if held and not joins:
            yield _join(held)
            held, count = [], 0
        held.append(part)
        count += part.samples.shape[1]
        while count >= size:
            whole = _join(held)
            yield SoundBlock(whole.samples[:, :size], whole.start, whole.rate)
            rest = whole.samples[:, size:]
            count -= size
            held = [SoundBlock(rest, whole.start + size / whole.rate, whole.rate)] if count else []
    if held:
        yield _join(held)


def _join(parts: list[SoundBlock]) -> SoundBlock:
    if len(parts) == 1:
        return parts[0]
    return SoundBlock(np.concatenate([p.samples for p in parts], axis=1), parts[0].start, parts[0].rate)


def to_float(frame: Any) -> np.ndarray:
    """Samples of a decoded frame as float32 `(channels, n)`, full scale 1."""
    channels = frame.layout.nb_channels
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    scale = {"u1": 1 / 128, "i2": 1 / 32768, "i4": 1 / 2147483648}.get(samples.dtype.str[1:])
    if samples.dtype == np.uint8:
        samples = samples.astype(np.float32) - 128
    if scale is None:
        return np.ascontiguousarray(samples, dtype=np.float32)
    wide = np.float64 if samples.dtype == np.int32 else np.float32
    return np.multiply(samples, wide(scale), dtype=wide).astype(np.float32)
