"""What becomes of a tape's sound in the restored file: left out, kept packet by packet, or cleaned and kept in time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.clip import Clip
from toolkit.errors import KnobError

#: Ways for `fix_drift` beside a number: what the file itself tells, or what is seen and heard at once.
DRIFT_WAYS = ("auto", "events")


@dataclass
class SoundPlan:
    """What the `Writer` takes as sound, and what is known about it.

    tracks  : "keep", or a `SoundSpec` for each track.
    label   : a line for the report.
    syncs   : for each track, how it was found to lie against the picture (`audio.drift.Sync`) where it is put right.
    reports : for each track, what its cleaning found and did; filled when its last sample is written.
    """

    tracks: Any
    label: str
    syncs: tuple[Any, ...] = ()
    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What was found on the tracks, for people."""
        told = []
        for n, report in enumerate(self.reports):
            told += [f"sound track {n}: {line}" for line in findings(report)]
        return told


def with_track(clip: Clip, track: int | str | None) -> Clip:
    """The clip with one of its sound tracks, chosen by number (from 0) or language; all of them for None."""
    if track is None:
        return clip
    from toolkit.audio import choose_track

    return replace(clip, sound=(clip.sound[choose_track(clip, track)],))


def plan_sound(
    clip: Clip, mode: str, output: Path, *, codec: str | None = None, fix_drift: Any = None, spool: bool = True
) -> SoundPlan:
    """Decides what is written as sound.  Reads the tape only where drift is to be measured.

    mode      : "keep", "none" or anything `toolkit.audio.chain_of` reads.
    fix_drift : None leaves times as they are; "auto" resamples by what the file's own times and lengths tell,
                "events" by cuts and flashes against onsets of sound (the file is decoded once for it), a number is
                the ratio itself: how many times as long the sound becomes.
    spool     : see `audio.tracks.clean_clip`.

    Raises `RequestError` for an unknown mode, stage, knob or way, `SoundError` where there is nothing to measure.
    """
    from toolkit.audio import chain_of

    chain = () if mode in ("keep", "none") else chain_of(mode)
    ratio = _drift_wish(fix_drift)
    if mode == "none" or not clip.sound:
        return SoundPlan((), "none" if clip.sound else "none (the tape has none)")
    listed = ", ".join(f"{t.codec} {t.sample_rate} Hz {t.layout}" for t in clip.sound)
    if mode == "keep" and fix_drift is None:
        return SoundPlan("keep", f"kept: {listed}")
    from toolkit.audio import prepare
    from toolkit.audio.tracks import clean_clip
    from toolkit.media.write import SoundSpec

    codec = codec or {".mkv": "flac"}.get(output.suffix.lower(), "aac")
    specs, syncs, reports = [], [], []
    for n, track in enumerate(clip.sound):
        if not track.sample_rate:
            continue
        sync = None if fix_drift is None else _sync(clip, n, ratio)
        sound, report = prepare(chain, track.sample_rate, track.layout).output, {}
        blocks = clean_clip(clip, chain, n, fix_drift=False if sync is None else sync, report=report, spool=spool)
        specs.append(SoundSpec(sound.rate, sound.layout, codec, language=track.language, blocks=blocks))
        syncs.append(sync)
        reports.append(report)
    label = f"{mode}: {listed} -> {codec}"
    if fix_drift is not None:
        label += "; " + "; ".join(_straightened(sync) for sync in syncs)
    return SoundPlan(specs, label, tuple(syncs), reports)


def _drift_wish(wish: Any) -> float | str | None:
    """None, a way, or a ratio; text that is a number counts as one."""
    if wish is None or wish in DRIFT_WAYS:
        return wish
    try:
        ratio = float(wish)
    except (TypeError, ValueError):
        ratio = 0.0
    if not 0.9 <= ratio <= 1.1:
        raise KnobError(
            f"fix_drift is {wish!r}",
            expected="auto, events, or a ratio between 0.9 and 1.1",
            hint="vhs-toolkit sync FILE measures it",
        )
    return ratio


def _sync(clip: Clip, track: int, wish: float | str) -> Any:
    from toolkit.audio.drift import Sync

    if isinstance(wish, float):
        return Sync(0.0, wish, 0.0, "given", 1)
    sync = measure_sync(clip, track, events=wish == "events")
    if wish == "auto":  # its offset is where the container puts the track, which is kept anyway
        sync = replace(sync, offset=0.0, ratio=sync.ratio if sync.certain else 1.0)
    return sync


def measure_sync(clip: Clip, track: int = 0, events: bool = False) -> Any:
    """How a sound track lies against its picture (`audio.drift.Sync`), from the file's own times or from events."""
    from toolkit.audio.drift import by_events, measure_drift

    return by_events(clip, track) if events else measure_drift(clip, track)


def _straightened(sync: Any) -> str:
    if sync.ratio == 1 and not sync.offset:
        return "no drift to put right"
    moved = f", moved by {-sync.offset * 1000:+.1f} ms" if sync.offset else ""
    return f"made {sync.ratio:.6f} times as long ({sync.drift:+.0f} ms per hour){moved}, by {sync.method}"


def findings(report: dict[str, Any]) -> list[str]:
    """What a cleaning found and did, one line each, the unremarkable left out."""
    lines = []
    if report.get("mended_samples"):
        lines.append(f"{report['mended_samples']} samples were not numbers and became silence")
    if report.get("clipped_samples"):
        lines.append(f"{report['clipped_samples']} samples are at full scale: the capture was too loud")
    if report.get("dead_channel"):
        lines.append(f"the channel {report['dead_channel']} was dead and was filled from the other")
    hum = report.get("hum")
    if hum:
        removed = f", {hum['removed_db']:.0f} dBFS of it removed" if "removed_db" in hum else ""
        lines.append(f"mains hum at {hum['hz']:.2f} Hz{removed}")
    if report.get("noise_dbfs") is not None:
        lines.append(f"hiss of {report['noise_dbfs']:.0f} dBFS")
    if report.get("clicks"):
        lines.append(f"{report['clicks']} clicks and dropouts repaired, {report['clicks_ms']:.0f} ms in all")
    before, after = report.get("loudness_before"), report.get("loudness_after")
    if before and after:
        lines.append(
            f"loudness {before['integrated']:.1f} -> {after['integrated']:.1f} LUFS, true peak "
            f"{after['true_peak']:.1f} dBTP"
        )
    return lines
