"""`clean`: a track in, the cleaned track out, in memory or as a stream."""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from toolkit import scratch
from toolkit.audio.chain import Cleaner
from toolkit.audio.modes import chain_of
from toolkit.audio.signal import as_samples, layout_of
from toolkit.audio.spool import Spool, room_for
from toolkit.clip import Clip, SoundTrack
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
    cleaner = Cleaner(mode, rate, layout or layout_of(samples.shape[0]), Spool())
    step = rate
    firsts = range(0, samples.shape[1], step)
    while cleaner.passes:
        for i in firsts:
            cleaner.measure(samples[:, i : i + step])
        cleaner.end_pass()
    if cleaner.can_replay:
        parts = list(cleaner.replay())
    else:
        parts = [cleaner.process(samples[:, i : i + step]) for i in firsts]
        parts.append(cleaner.flush())
    return np.concatenate(parts, axis=1), cleaner.report()


def clean_clip(
    clip: Clip, mode: Any = "moderate", track: int | str | None = None, report: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Yields the cleaned track as `SoundBlock`s, and never holds it.

    The file is read once for each pass.  Between the two passes of the loudness the sound waits in a scratch file,
    which is gone when the generator ends or is closed; where the disk has no room it is worked out twice instead.

    track  : number (from 0) or language; the first by default, which is said aloud when there are several.
    report : a dictionary that is filled when the last block is out.
    """
    number = choose_track(clip, track)
    told = clip.sound[number]
    size = 4.0 * told.sample_rate * told.channels * (told.duration or clip.duration or 0)
    with contextlib.ExitStack() as stack:
        spool = None
        if any(step.name == "loudness" for step in chain_of(mode)):
            folder = stack.enter_context(scratch.folder())
            if room_for(size, folder):
                spool = Spool(folder)
                stack.callback(spool.close)
            else:
                log.warning("the scratch disk has no room for the sound between its two passes; it is worked out twice")
        cleaner = Cleaner(mode, told.sample_rate, told.layout, spool)
        yield from _run(cleaner, clip, number, told)
        if report is not None:
            report.update(cleaner.report())


def _run(cleaner: Cleaner, clip: Clip, number: int, told: SoundTrack) -> Iterator[Any]:
    from toolkit.media.sound import SoundBlock, read_sound

    rate, start = told.sample_rate, None
    warned = False
    while cleaner.passes:
        for block in in_time(read_sound(clip, number, rate), told.channels, quiet=warned):
            start = block.start if start is None else start
            cleaner.measure(block.samples)
        cleaner.end_pass()
        warned = True  # holes are the same in every pass
    given = 0

    def timed(out: np.ndarray) -> Any:
        nonlocal given
        at = (start or 0.0) + given / rate
        given += out.shape[1]
        return SoundBlock(out, at, rate)

    if cleaner.can_replay:
        yield from (timed(out) for out in cleaner.replay() if out.shape[1])
        return
    for block in in_time(read_sound(clip, number, rate), told.channels, quiet=warned):
        start = block.start if start is None else start
        out = cleaner.process(block.samples)
        if out.shape[1]:
            yield timed(out)
    out = cleaner.flush()
    if out.shape[1]:
        yield timed(out)


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


def in_time(blocks: Iterable[Any], channels: int, quiet: bool = False) -> Iterator[Any]:
    """The same blocks without holes: what is missing becomes silence, what comes twice is dropped, with a warning.

    A hole of more than an hour is taken for a false time and refused.
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
        if miss > 3600 * rate:
            raise SoundError(f"the sound jumps by {block.start - due:.0f} s at {due:.3f} s", hint="--audio keep")
        if miss and not quiet:
            told = f"{abs(miss) / rate * 1000:.1f} ms of sound"
            told += f" are missing at {due:.3f} s; silence keeps the time" if miss > 0 else (
                f" come twice at {block.start:.3f} s; the second time is dropped"
            )
            warnings.warn(told, ToolkitWarning, stacklevel=2)
        for done in range(0, miss, rate):
            n = min(rate, miss - done)
            yield Block(np.zeros((channels, n), np.float32), due, rate)
            due += n / rate
        samples = samples[:, max(0, -miss) :]
        if samples.shape[1]:
            yield Block(samples, due, rate)
            due += samples.shape[1] / rate
