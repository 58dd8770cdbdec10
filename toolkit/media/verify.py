"""Checks a written file against what every output keeps: times, aspect, colour and the place of the sound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.clip import Clip, PictureFormat
from toolkit.errors import InputUnreadable
from toolkit.media.pixels import tagged
from toolkit.media.read import Reader
from toolkit.media.sound import read_sound
from toolkit.media.times import shown_times

SOUND_LIMIT = 0.001  # seconds
_WINDOW, _REACH = 2.0, 0.1  # seconds of sound that are compared, and how far they may be apart to be found
_SHORT = 0.25  # the same where drift was put right: were it not, a longer piece would not be recognised at all


@dataclass(frozen=True)
class Check:
    """One promise, and whether the file keeps it."""

    name: str
    expected: str
    found: str
    ok: bool

    def __str__(self) -> str:
        return f"{'ok ' if self.ok else 'NO '} {self.name}: {self.found} (expected {self.expected})"


def verify(
    path: Path | str,
    *,
    expected_pts: Iterable[Fraction],
    expected_format: PictureFormat,
    source: Clip | None = None,
    origin: Fraction | None = None,
    until: Fraction | None = None,
    sound: int | None = None,
    delay: float = 0.0,
    syncs: Sequence[Any] = (),
) -> list[Check]:
    """Compares a written file with what it was to hold, and returns one `Check` per promise.

    expected_pts    : presentation time of each frame in seconds on the file's clock; gone through once.
    expected_format : the format of the frames; open colour tags mean those `pixels.tagged` fills in.
    source          : the clip whose sound the file should carry; None leaves the sound out.
    origin, until   : seconds on the source's clock that became zero and where its sound was cut.  Without `origin`
                      it is taken that the file begins with the source's first frame.
    sound           : how many tracks the file should have; None for as many as the source.
    delay           : seconds by which the sound was moved on purpose.
    syncs           : for each track the `Sync` by which its drift was put right, or None.

    Times are read from the packets, and the first and last frame are decoded.  The sound is compared by ear, so to
    say: pieces from the beginning, middle and end are cross-correlated with the source's; where they are silent or
    too unlike, the tracks' own times count.
    """
    clip = Clip.open(path)
    expected = iter(expected_pts)
    first = next(expected, None)
    due = expected if first is None else chain((first,), expected)
    checks = list(_picture(clip, due, expected_format))
    if source is not None and first is not None:
        if origin is None:
            origin = Fraction(source.start).limit_denominator(10**6) - first
        tracks = sum(bool(track.sample_rate) for track in source.sound) if sound is None else sound
        checks.append(_same("sound tracks", tracks, len(clip.sound)))
        known = [j for j, track in enumerate(source.sound) if track.sample_rate]  # others could not be brought over
        for i, was in zip(range(min(tracks, len(clip.sound))), known, strict=False):
            sync = syncs[i] if i < len(syncs) else None
            checks.append(_sound(clip, i, source, was, float(origin), until, delay, sync))
    return checks


def _same(name: str, expected: object, found: object) -> Check:
    return Check(name, str(expected), str(found), expected == found)


def _picture(clip: Clip, expected: Iterator[Fraction], form: PictureFormat) -> Iterator[Check]:
    due = found = 0
    worst, last = Fraction(0), None
    for time, ticks in zip_longest(expected, shown_times(clip)):  # side by side: a long tape has many
        due, found = due + (time is not None), found + (ticks is not None)
        if ticks is not None:
            last = ticks * clip.time_base
            if time is not None and time != last:
                worst = max(worst, abs(time - last))
    yield _same("frames", due, found)
    # Matroska counts milliseconds, so half a tick is as near as its times can be.
    limit = clip.time_base / 2 if "matroska" in clip.container else Fraction(0)
    yield Check(
        "presentation times",
        "exact" if not limit else f"within {float(limit) * 1000:g} ms",
        "exact" if not worst else f"up to {float(worst) * 1000:.3f} ms off",
        worst <= limit and found > 0,
    )
    yield _decodes(clip, last)
    here, there = form.dar, clip.format.dar
    near = abs(here / there - 1) * form.width * form.sar < Fraction(1, 2)  # within half a pixel of the shown width
    yield Check("display aspect", _ratio(here), _ratio(there), bool(near))
    want = tagged(form)
    for name in ("matrix", "range"):
        yield _same(f"colour {name}", getattr(want, name), getattr(clip.format, name))
    yield _same(
        "colour primaries / transfer",
        f"{want.primaries} / {want.transfer}",
        f"{clip.format.primaries} / {clip.format.transfer}",
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator} ({float(value):.4f})"


def _decodes(clip: Clip, last: Fraction | None) -> Check:
    """Whether one frame, and no more, is shown from the time `last` on."""
    if last is None:
        return Check("last frame", "decodes", "there is none", False)
    try:
        with Reader(clip, size=1, since=float(last)) as reader:
            read = sum(map(len, reader))
    except InputUnreadable as error:
        return Check("last frame", "decodes", str(error), False)
    return Check("last frame", "decodes", "decodes" if read == 1 else f"{read} frames from there on", read == 1)


# -- sound -------------------------------------------------------------------------------------------------------


def _sound(
    clip: Clip, i: int, source: Clip, was: int, origin: float, until: Fraction | None, delay: float, sync: Any
) -> Check:
    """The largest offset between a track and the source's, measured at three places.

    With a `sync` the source's piece is moved and stretched in the same way first.
    """
    name, limit = f"sound {i} offset", f"below {SOUND_LIMIT * 1000:g} ms"
    window = _WINDOW if sync is None else _SHORT
    length = (clip.duration or window) - window
    if until is not None:
        length = min(length, float(until) - origin - window)
    measured = []
    for at in (0.0, length / 2, length) if length > 0 else (0.0,):
        mine = _piece(clip, i, at + delay, window)
        there = (source, was, at + origin, window)
        theirs = _stretched(*there, sync) if sync else _piece(*there)
        if mine is None or theirs is None or mine[1] != theirs[1]:
            continue
        offset = offset_between(theirs[0], mine[0], mine[1])
        if offset is not None:
            measured.append(offset)
    if measured:
        worst = max(measured, key=abs)
        found = f"{worst * 1000:+.3f} ms, measured at {len(measured)} place{'s' * (len(measured) > 1)}"
        return Check(name, limit, found, abs(worst) < SOUND_LIMIT)
    mine, theirs = _first_time(clip, i), _first_time(source, was)
    if mine is None or theirs is None:
        return Check(name, limit, "no samples", mine is theirs)
    worst = mine - delay - max(0.0, theirs - (sync.offset if sync else 0.0) - origin)
    return Check(name, limit, f"{worst * 1000:+.3f} ms, by its times", abs(worst) < SOUND_LIMIT)


def _piece(clip: Clip, track: int, start: float, window: float) -> tuple[np.ndarray, int] | None:
    """Mono samples from `start` on, silence where the track has none."""
    rate = clip.sound[track].sample_rate
    out, heard = np.zeros(round(window * rate), np.float32), False
    for block in read_sound(clip, track, span=(start, start + window)):
        at = round((block.start - start) * rate)
        mono = block.samples.mean(axis=0)[max(0, -at) :]
        at = max(0, at)
        mono = mono[: len(out) - at]
        out[at : at + len(mono)] = mono
        heard = True
    return (out, rate) if heard else None


def _stretched(source: Clip, track: int, start: float, window: float, sync: Any) -> tuple[np.ndarray, int] | None:
    """The piece that should be heard at `start` once the source's track is moved and stretched as `sync` says."""
    from toolkit.audio.resample import Stretcher

    first = source.sound[track].start
    piece = _piece(source, track, first + (start + sync.offset - first) / sync.ratio, window)
    if piece is None:
        return None
    stretcher = Stretcher(1, sync.ratio)
    samples = np.concatenate([stretcher.process(piece[0][None]), stretcher.flush()], axis=1)[0]
    return np.resize(np.pad(samples, (0, max(0, len(piece[0]) - len(samples)))), len(piece[0])), piece[1]


def _first_time(clip: Clip, track: int) -> float | None:
    return next((b.start for b in read_sound(clip, track, block=1024)), None)


def offset_between(a: np.ndarray, b: np.ndarray, rate: int) -> float | None:
    """Seconds by which `b` lags `a`: the peak of their cross-correlation, to a fraction of a sample.

    None when either is silent, or when even at the peak they are not alike (correlation below 0.3) or alike over a
    wide stretch (a steady hum), so that the place of the peak means nothing.
    """
    size = 1 << math.ceil(math.log2(len(a) + len(b)))
    # The first difference stands for a high-pass: hum and rumble have no place in time.
    x, y = np.diff(a, prepend=a[:1]).astype(np.float64), np.diff(b, prepend=b[:1]).astype(np.float64)
    power = math.sqrt(float(x @ x) * float(y @ y))
    if power < 1e-9 * len(a):
        return None
    match = np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size), size) / power
    reach = round(_REACH * rate)
    near = np.concatenate([match[-reach:], match[: reach + 1]])
    at = int(near.argmax())
    far = np.abs(np.arange(len(near)) - at) > 0.005 * rate
    if near[at] < 0.3 or near[far].max() > 0.9 * near[at] or not 0 < at < len(near) - 1:
        return None
    left, top, right = near[at - 1 : at + 2]
    bend = left - 2 * top + right
    return float((at - reach + (0.5 * (left - right) / bend if bend else 0.0)) / rate)
