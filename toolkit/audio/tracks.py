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
from toolkit.audio.chain import Cleaner, prepare
from toolkit.audio.signal import as_samples, layout_of
from toolkit.audio.spool import Spool, room_for
from toolkit.clip import Clip, SoundTrack
from toolkit.errors import SoundError, ToolkitWarning, TrackMissing

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
    while cleaner.passes and not cleaner.can_replay:
        for i in firsts:
            cleaner.measure(samples[:, i : i + step])
        cleaner.end_pass()

    def worked() -> Iterator[np.ndarray]:
        for i in firsts:
            yield cleaner.process(samples[:, i : i + step])
        yield cleaner.flush()

    out, done = np.empty((cleaner.output.channels, samples.shape[1]), np.float32), 0
    # Each part is copied while it is in the cache, and its memory serves the next.
    for part in cleaner.replay() if cleaner.can_replay else worked():
        out[:, done : done + part.shape[1]] = part
        done += part.shape[1]
    return out, cleaner.report()


def clean_clip(
    clip: Clip,
    mode: Any = "moderate",
    track: int | str | None = None,
    fix_drift: bool | float | Any = False,
    report: dict[str, Any] | None = None,
    spool: bool = True,
) -> Iterator[Any]:
    """Yields the cleaned track as `SoundBlock`s, and never holds it.

    The file is read twice: once to survey it, once to work.  Before a stage that must meter the whole track first
    (denoise, loudness) the sound waits in a scratch file, which is gone when the generator ends or is closed; where
    the disk has no room for two of these, the file is read again and worked on again for each pass.

    track     : number (from 0) or language; the first by default, which is said aloud when there are several.
    fix_drift : True measures (`drift.measure_drift`) and resamples by what was found; a number is the ratio itself,
                a `drift.Sync` gives ratio and, when it comes from events, offset.  Without it sound keeps the times
                that the container gives it, which takes resampling too where packets are stamped by a clock.
    report    : a dictionary that is filled when the last block is out.
    spool     : False works everything out again for each pass instead, half as much again for `light` and nearly twice
                as much for `moderate`, and needs no disk (1.4 GB for each hour of stereo).
    """
    number = choose_track(clip, track)
    told = clip.sound[number]
    ratio, shift = _asked(clip, number, fix_drift)
    size = 4.0 * told.sample_rate * told.channels * (told.duration or clip.duration or 0)
    with contextlib.ExitStack() as stack:
        place = None
        if spool and any(stage.meters for stage in prepare(mode, told.sample_rate, told.layout).stages):
            folder = stack.enter_context(scratch.folder())
            if room_for(2 * size, folder):
                place = Spool(folder)
            else:
                log.warning("the scratch disk has no room for the sound between its passes; it is worked out again")
        cleaner = Cleaner(mode, told.sample_rate, told.layout, place)
        track_blocks = _Blocks(clip, number, told, ratio, shift)
        yield from _run(cleaner, track_blocks)
        if report is not None:
            report.update(cleaner.report())
            report.update({"stretched_by": track_blocks.ratio, "holes_ms": track_blocks.holes * 1000})


def _asked(clip: Clip, number: int, fix_drift: Any) -> tuple[float | None, float]:
    """Ratio (None: what the container's times say) and shift in seconds."""
    from toolkit.audio.drift import Sync, measure_drift

    if fix_drift is True:
        sync = measure_drift(clip, number)
        log.warning("%s: %s", clip.path.name, sync)
        return (sync.ratio if sync.certain else 1.0), 0.0
    if isinstance(fix_drift, Sync):
        return fix_drift.ratio, -fix_drift.offset if fix_drift.method == "events" else 0.0
    return (float(fix_drift) if fix_drift else None), 0.0


class _Blocks:
    """The track without holes and at the right speed, as often as it is asked for."""

    def __init__(self, clip: Clip, number: int, told: SoundTrack, ratio: float | None, shift: float):
        self.clip, self.number, self.told, self.shift = clip, number, told, shift
        self.ratio = 1.0 if ratio is None else ratio
        self.settled = ratio is not None
        self.told_once = False
        self.holes = 0.0

    def __iter__(self) -> Iterator[Any]:
        from toolkit.audio.resample import stretched
        from toolkit.media.sound import read_sound

        lag = Lag()
        blocks = in_time(read_sound(self.clip, self.number, self.told.sample_rate), self.told.channels, lag)
        lag.quiet = self.told_once
        yield from blocks if self.ratio == 1 and self.shift == 0 else stretched(blocks, self.ratio, self.shift)
        self.told_once, self.holes, self.drifts = True, lag.holes, lag.drifts

    def settle(self) -> bool:
        """After one reading: whether the container's times ask for another speed, which holds from now on."""
        if self.settled:
            return False
        self.settled = True
        if self.drifts:
            from toolkit.audio.drift import measure_drift

            self.ratio = measure_drift(self.clip, self.number).ratio
            log.warning(
                "%s: the sound's times run %+.0f ms per hour against its samples; it is resampled to keep them",
                self.clip.path.name,
                (self.ratio - 1) * 3.6e6,
            )
        return self.ratio != 1


def _run(cleaner: Cleaner, blocks: _Blocks) -> Iterator[Any]:
    from toolkit.media.sound import SoundBlock

    rate, given, start = blocks.told.sample_rate, 0, None
    if not cleaner.passes:
        for _ in blocks:
            pass
        blocks.settle()
    while cleaner.passes and not cleaner.can_replay:
        for block in blocks:
            cleaner.measure(block.samples)
            start = block.start if start is None else start
        if blocks.settle():
            cleaner.begin_again()
            start = None
        else:
            cleaner.end_pass()

    def results() -> Iterator[np.ndarray]:
        nonlocal start
        if cleaner.can_replay:
            yield from cleaner.replay()
            return
        for block in blocks:
            start = block.start if start is None else start
            yield cleaner.process(block.samples)
        yield cleaner.flush()

    for out in results():
        if out.shape[1]:
            yield SoundBlock(out, (start or 0.0) + given / rate, rate)
            given += out.shape[1]


def choose_track(clip: Clip, track: int | str | None = None) -> int:
    """The number of the wanted sound track: by number from 0, by language, or the first.

    Raises `SoundError` for a clip without sound, `TrackMissing` where a track was asked for that is not there.
    """
    if not clip.sound:
        if track is not None:
            raise TrackMissing(f"{clip.path.name} has no sound, so no track {track}", hint="without naming a track")
        raise SoundError(f"{clip.path.name} has no sound", hint="--audio none, or another file")
    listed = ", ".join(f"{i} ({t.language or 'no language'}, {t.codec} {t.layout})" for i, t in enumerate(clip.sound))
    if track is None:
        if len(clip.sound) > 1:
            log.warning("%s has %d sound tracks: %s; the first is taken", clip.path.name, len(clip.sound), listed)
        return 0
    if isinstance(track, str) and not track.isdecimal():
        for i, told in enumerate(clip.sound):
            if told.language == track:
                return i
        raise TrackMissing(
            f"{clip.path.name} has no sound track in the language {track!r}", expected=f"one of {listed}"
        )
    if not 0 <= int(track) < len(clip.sound):
        raise TrackMissing(f"{clip.path.name} has no sound track {track}", expected=f"one of {listed}")
    return int(track)


class Lag:
    """What `in_time` found: holes, and how the container's times run away from the samples."""

    SMALL = 0.01  # s; a jump up to this is a clock's drift and not a lost packet

    def __init__(self) -> None:
        self.quiet = False
        self.holes = 0.0  # s of silence put in
        self.low = self.high = 0.0  # s by which the container's times ran ahead of the count, at most and at least

    @property
    def drifts(self) -> bool:
        """Whether the times run away by more than 5 ms in all."""
        return self.high - self.low > 0.005


def in_time(blocks: Iterable[Any], channels: int, lag: Lag | None = None) -> Iterator[Any]:
    """The same blocks without holes: what is missing becomes silence, what comes twice is dropped, with a warning.

    Blocks come with times counted in samples from the first one; where the container's own times drift away from
    that, `lag` keeps it.  A hole of more than an hour is taken for a false time and refused.
    """
    lag = lag or Lag()
    first = next(iterator := iter(blocks), None)
    if first is None:
        return
    Block: Callable[..., Any] = type(first)
    due, rate, ahead = first.start, first.rate, 0.0
    for block in itertools.chain([first], iterator):
        samples = block.samples
        if block.rate != rate:
            raise SoundError(
                f"the sample rate changes from {rate} to {block.rate} Hz at {block.start:.3f} s", hint="--audio keep"
            )
        if samples.shape[0] != channels:  # a broadcast switches between mono and stereo
            samples = np.repeat(samples.mean(axis=0, keepdims=True), channels, axis=0)
        jump = block.start - due - ahead
        miss = 0
        if abs(jump) > 3600:
            raise SoundError(f"the sound jumps by {jump:.0f} s at {due:.3f} s", hint="--audio keep")
        if abs(jump) > Lag.SMALL:
            miss = round(jump * rate)
            lag.holes += max(0.0, jump)
            if not lag.quiet:
                _say_hole(jump, due)
        else:
            ahead += jump
        lag.low, lag.high = min(lag.low, ahead), max(lag.high, ahead)
        for done in range(0, miss, rate):
            n = min(rate, miss - done)
            yield Block(np.zeros((channels, n), np.float32), due, rate)
            due += n / rate
        samples = samples[:, max(0, -miss) :]
        if samples.shape[1]:
            yield Block(samples, due, rate)
            due += samples.shape[1] / rate


def _say_hole(jump: float, at: float) -> None:
    if jump > 0:
        told = f"{jump * 1000:.1f} ms of sound are missing at {at:.3f} s; silence keeps the time"
    else:
        told = f"{-jump * 1000:.1f} ms of sound come twice at {at:.3f} s; the second time is dropped"
    warnings.warn(told, ToolkitWarning, stacklevel=3)
