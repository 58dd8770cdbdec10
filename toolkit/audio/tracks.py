"""`clean`: a track in, the cleaned track out, in memory or as a stream."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from toolkit.audio.chain import Cleaner
from toolkit.audio.signal import as_samples, layout_of
from toolkit.clip import Clip
from toolkit.errors import SoundError, ToolkitWarning

log = logging.getLogger(__name__)


def clean(sound: np.ndarray | Clip, rate: int | None = None, mode: Any = "moderate", **options: Any) -> Any:
    """Cleans a sound track.

    Samples in memory, `clean(samples, rate, mode, layout=None)`, give samples: float32 `(channels, n)`, as many as
    went in.  A clip, `clean(clip, mode=mode, track=0)`, gives an iterator of `SoundBlock`s and never holds the track.
    """
    if isinstance(sound, Clip):
        if rate is not None and not isinstance(rate, int):
            mode, rate = rate, None
        return clean_clip(sound, mode, **options)
    if rate is None:
        raise SoundError("samples were given without their rate", expected="clean(samples, rate, mode)")
    return clean_samples(sound, rate, mode, **options)[0]


def clean_samples(
    samples: np.ndarray, rate: int, mode: Any = "moderate", layout: str | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """The cleaned samples and the report."""
    samples = as_samples(samples)
    cleaner = Cleaner(mode, rate, layout or layout_of(samples.shape[0]))
    step = rate
    firsts = range(0, samples.shape[1], step)
    while cleaner.passes:
        for i in firsts:
            cleaner.measure(samples[:, i : i + step])
        cleaner.end_pass()
    parts = [cleaner.process(samples[:, i : i + step]) for i in firsts]
    parts.append(cleaner.flush())
    return np.concatenate(parts, axis=1), cleaner.report()


def clean_clip(
    clip: Clip, mode: Any = "moderate", track: int | str | None = None, report: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Yields the cleaned track as `SoundBlock`s.  The file is read once for each pass; nothing is kept on disk.

    track  : number (from 0) or language; the first by default, which is said aloud when there are several.
    report : a dictionary that is filled when the last block is out.
    """
    from toolkit.media.sound import SoundBlock, read_sound

    number = choose_track(clip, track)
    told = clip.sound[number]
    again = lambda: in_time(read_sound(clip, number, told.sample_rate), told.channels)  # noqa: E731
    cleaner = Cleaner(mode, told.sample_rate, told.layout)
    while cleaner.passes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToolkitWarning)  # the last pass says it
            for block in again():
                cleaner.measure(block.samples)
        cleaner.end_pass()
    start, given = None, 0
    for block in again():
        start = block.start if start is None else start
        out = cleaner.process(block.samples)
        if out.shape[1]:
            yield SoundBlock(out, start + given / told.sample_rate, told.sample_rate)
            given += out.shape[1]
    out = cleaner.flush()
    if out.shape[1]:
        yield SoundBlock(out, (start or 0.0) + given / told.sample_rate, told.sample_rate)
    if report is not None:
        report.update(cleaner.report())


def choose_track(clip: Clip, track: int | str | None = None) -> int:
    """The number of the wanted sound track: by number from 0, by language, or the first."""
    if not clip.sound:
        raise SoundError(f"{clip.path.name} has no sound", hint="--audio none")
    listed = ", ".join(f"{i} ({t.language or 'no language'}, {t.codec} {t.layout})" for i, t in enumerate(clip.sound))
    if track is None:
        if len(clip.sound) > 1:
            log.warning("%s has %d sound tracks: %s; the first is taken", clip.path.name, len(clip.sound), listed)
        return 0
    if isinstance(track, str) and not track.isdigit():
        for i, told in enumerate(clip.sound):
            if told.language == track:
                return i
        raise SoundError(f"{clip.path.name} has no sound track in the language {track!r}", expected=f"one of {listed}")
    if not 0 <= int(track) < len(clip.sound):
        raise SoundError(f"{clip.path.name} has no sound track {track}", expected=f"one of {listed}")
    return int(track)


def in_time(blocks: Iterable[Any], channels: int, limit: float = 3600.0) -> Iterator[Any]:
    """The same blocks without holes: what is missing becomes silence, what comes twice is dropped, with a warning.

    Times are seconds.  A hole of more than `limit` seconds is taken for a false time and refused.
    """
    first = next(iterator := iter(blocks), None)
    if first is None:
        return
    Block: Callable[..., Any] = type(first)
    due, rate = first.start, first.rate
    for block in itertools.chain([first], iterator):
        samples = block.samples
        if block.rate != rate:
            raise SoundError(
                f"the sample rate changes from {rate} to {block.rate} Hz at {block.start:.3f} s", hint="--audio keep"
            )
        if samples.shape[0] != channels:  # a broadcast switches between mono and stereo
            samples = np.repeat(samples.mean(axis=0, keepdims=True), channels, axis=0)
        miss = round((block.start - due) * rate)
        if miss > limit * rate:
            raise SoundError(f"the sound jumps by {block.start - due:.0f} s at {due:.3f} s", hint="--audio keep")
        if miss > 0:
            warnings.warn(
                f"{miss / rate * 1000:.1f} ms of sound are missing at {due:.3f} s; silence keeps the time",
                ToolkitWarning,
                stacklevel=2,
            )
            for done in range(0, miss, rate):
                n = min(rate, miss - done)
                yield Block(np.zeros((channels, n), np.float32), due, rate)
                due += n / rate
        elif miss < 0:
            warnings.warn(
                f"{-miss / rate * 1000:.1f} ms of sound come twice at {block.start:.3f} s; the second is dropped",
                ToolkitWarning,
                stacklevel=2,
            )
            samples = samples[:, -miss:]
        if samples.shape[1]:
            yield Block(samples, due, rate)
            due += samples.shape[1] / rate
