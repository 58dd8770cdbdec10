"""Runs a pipeline over a tape: picture, sound, checks.  `restore` is the whole of it in one call."""

from __future__ import annotations

import importlib.metadata
import math
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.decisions import count_frames, decide_field_order, merged
from toolkit.delivery import check_encoder, encoder_settings
from toolkit.errors import InputUnreadable, KnobError, OutputCheckFailed, UnknownName
from toolkit.notes import warnings_noted
from toolkit.pipeline import GIB, Pipeline, Plan, Run, counted, peak_memory
from toolkit.presets import Preset
from toolkit.presets import preset as find_preset
from toolkit.progress import Progress
from toolkit.segments import clear_up, is_joined, parts_of
from toolkit.soundtrack import SoundPlan, plan_sound, with_track
from toolkit.stages import Context
from toolkit.stages.upscale import choose_device
from toolkit.stream import Drain, ahead

#: Stages and about their share of a run's time; joining is copying, checking reads packets and some sound.
_WEIGHTS = {"restore": 0.96, "join": 0.02, "check": 0.02}
_VERSIONS = ("vhs-toolkit", "av", "numba", "numpy")


def restore(
    source: str | Path | Clip,
    output: str | Path,
    *,
    preset: str | Preset = "vhs",
    pipeline: Pipeline | None = None,
    field_order: str = "auto",
    audio: str | None = None,
    sound_track: int | str | None = None,
    fix_drift: float | str | None = None,
    device: str = "auto",
    frames: tuple[int, int | None] = (0, None),
    max_memory: int = 2 * GIB,
    overwrite: bool = False,
    write: dict[str, Any] | None = None,
    resume: bool = False,
    segment: float = 20.0,
    scheduler: Any = None,
    done: Callable[[Run], None] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Restores the tape `source` into the file `output` and checks what was written.

    preset      : name of a preset, which gives steps, sound mode and encoder; `pipeline`, `audio` and `write`
                  (codec, crf, preset, threads, options, sound_codec) take the place of its parts.
    field_order : "auto" measures it; "tff", "bff" or "progressive" sets it.
    audio       : "keep" (as it is), "none", or a mode or chain of `toolkit.audio`.
    sound_track : one of several tracks, by number (from 0) or language; None for all of them.
    fix_drift   : None leaves the sound's times alone; "auto", "events" or a ratio: see `soundtrack.plan_sound`.
    frames      : `(first, stop)`: only the tape's frames `first <= n < stop`, counted from 0; stop None to its end.
    max_memory  : bytes of frames and working memory the run may hold at once.
    resume      : write in segments of `segment` seconds of tape, kept in `OUTPUT.parts` until the file is whole.  After
                  an interruption of any kind the same call goes on where it stopped, and the file is byte for byte
                  that of an uninterrupted run with `resume`.  (Without, the file is written in one go, which spends no
                  key frame and no disk space on segments; an interruption then loses the work.)
    scheduler   : address of a Dask scheduler, or its `Client`, over whose workers the segments are spread; `resume` is
                  meant with it.  All of them must see the tape and the output's folder (see `toolkit.cluster`).
    done        : is called with the result; only when it returns is taken away what a resumed run would need.

    Raises `RequestError` before anything is written, `WorkError` in the work; a failed run leaves no `output`.
    """
    from toolkit.media.write import PICTURE_CODECS, check_output

    if frames[0] < 0 or (frames[1] is not None and frames[1] <= frames[0]):
        raise KnobError(f"frames is {tuple(frames)}", expected="(first, stop) with 0 <= first < stop, or stop None")
    if not segment > 0:
        raise KnobError(f"segments of {segment:g} s were asked for", expected="more than 0 s")
    clip = with_track(source if isinstance(source, Clip) else Clip.open(source), sound_track)
    output = Path(output)
    chosen = preset if isinstance(preset, Preset) else find_preset(preset)
    resume = resume or scheduler is not None
    if resume:
        clear_up(output)
        overwrite = overwrite or is_joined(output)
    container = check_output(output, source=clip, overwrite=overwrite)
    notes: list[str] = []
    if not resume and parts_of(output).is_dir():
        notes.append(f"{parts_of(output)} holds an unfinished run, which --resume would have gone on with")
    fmt = clip.format.replace(field_order=decide_field_order(clip, field_order, notes))
    pipeline = (chosen.pipeline if pipeline is None else pipeline).settled(clip, fmt, notes.append)
    plan = pipeline.plan(fmt, frames=count_frames(clip, frames), max_memory=max_memory, device=choose_device(device))
    if not fmt.interlaced and any(s.stage.group == "deinterlace" for s in pipeline):
        notes.append("the picture is progressive, so the deinterlacer passes it unchanged")
    audio = chosen.audio if audio is None else audio
    settings = merged(chosen.write, write or {})
    if settings["codec"] not in PICTURE_CODECS:
        raise UnknownName("picture codec", settings["codec"], PICTURE_CODECS)
    check_encoder(clip, plan, settings, container)
    # A run in segments keeps the picture on disk until its end; the sound is not to lie there as well.
    codec = settings.get("sound_codec")
    sound = plan_sound(clip, audio, output, codec=codec, fix_drift=fix_drift, spool=not resume)
    progress = progress or Progress()
    progress.weigh(_WEIGHTS)
    run: tuple[Any, ...] = (clip, output, plan, sound, frames, overwrite, settings, progress, notes)
    try:
        if not resume:
            result = Runner(*run).run()
            if done is not None:
                done(result)
            return result
        from toolkit.resumable import ResumableRunner

        wish = {"mode": audio, "track": sound_track, "drift": fix_drift, "codec": codec}
        how = {"segment": segment, "wish": wish, "done": done}
        if scheduler is None:
            return ResumableRunner(*run, **how).run()
        from toolkit.cluster import ClusterRunner, connected

        with connected(scheduler) as client:
            return ClusterRunner(*run, client=client, max_memory=max_memory, **how).run()
    finally:
        progress.close()


def versions() -> dict[str, str]:
    """Of what the result depends on."""
    return {n: importlib.metadata.version(n) for n in _VERSIONS}


class Runner:
    """One run: opens reader, writer and sound, drives the stream, closes everything, checks the result."""

    def __init__(
        self,
        clip: Clip,
        output: Path,
        plan: Plan,
        sound: SoundPlan,
        frames: tuple[int, int | None],
        overwrite: bool,
        settings: dict[str, Any],
        progress: Progress,
        notes: list[str],
    ) -> None:
        self.clip, self.output, self.plan, self.sound, self.frames = clip, output, plan, sound, frames
        self.overwrite, self.settings, self.progress, self.notes = overwrite, dict(settings), progress, notes
        self.context = Context(plan.device)
        self.time_base, self.frames_out = Fraction(0), 0
        self._pts: Any = None
        self.origin, self.until = Fraction(0), None
        self.written = plan.output

    def run(self) -> Run:
        began = time.perf_counter()
        with warnings_noted(self.notes):
            frames_in = self._picture_and_sound()
        self.notes += self.sound.notes
        elapsed = time.perf_counter() - began
        self.progress.stage("check")
        checks = self._verify()
        self.progress.finish()
        bad = [c for c in checks if not c.ok]
        if bad:
            raise OutputCheckFailed(
                f"{self.output} was written and breaks what was promised: "
                + "; ".join(f"{c.name} is {c.found}" for c in bad),
                expected=", ".join(f"{c.name} {c.expected}" for c in bad),
                files=f"{self.output} was left for you to look at",
                hint="another container or codec (--codec), and please report this",
            )
        return Run(
            source=self.clip.path,
            output=self.output,
            pipeline=self.plan.pipeline,
            plan=self.plan,
            frames_in=frames_in,
            frames_out=self.frames_out,
            elapsed=elapsed,
            seconds=self.context.seconds,
            peak=peak_memory(),
            checks=tuple(checks),
            notes=tuple(self.notes),
            sound=self.sound.label,
            versions=versions(),
        )

    def _picture_and_sound(self) -> int:
        from toolkit.media.read import Reader
        from toolkit.media.timeline import Timeline

        fmt, rate, self._pts = self.plan.formats[0], self.plan.rate, Timeline()
        total = int(self.plan.frames * rate) if self.plan.frames else None
        with Reader(self.clip, size=self.plan.batch, frames=self.frames) as reader:
            # The first batch tells where the range begins, which the sound needs to know.
            decoded = ahead(reader)
            try:
                first = next(decoded, None)
                if first is None:
                    raise self._no_frames()
                self._begin(first)
                self.progress.stage("restore", total)
                with (
                    self._writer() as writer,
                    Drain(lambda b: self._write(writer, b)) as drain,
                ):
                    stream = counted(with_format(first, decoded, fmt), self.context, "read")
                    self.written = writer.written_format
                    for batch in self.plan.pipeline.stream(stream, fmt, self.context):
                        self._pts.extend(batch.pts)
                        self.frames_out += len(batch)
                        drain.put(batch)
            finally:
                decoded.close()
            return reader.frames_read

    def _no_frames(self) -> InputUnreadable:
        count = self.clip.frames
        return InputUnreadable(
            f"{self.clip.path} has no frames from {self.frames[0]} on",
            expected=f"a range within its {count} frames" if count else "a range that begins sooner",
        )

    def _begin(self, first: Batch) -> None:
        """Settles the output's clock by the first frames."""
        self.time_base = first.time_base / Fraction(self.plan.rate).numerator
        self.origin = self._origin(first, Fraction(1, self.time_base.denominator))
        self.until = self._until(first)

    def _writer(self) -> Any:
        from toolkit.media.write import Writer

        return Writer(
            self.output,
            self.plan.output,
            self.time_base,
            until=self.until,
            source=self.clip,
            overwrite=self.overwrite,
            sound=self.sound.tracks,
            **self._encoder(),
        )

    def _encoder(self) -> dict[str, Any]:
        """What `Writer` and `Encoding` are told alike, beside format and time base."""
        return {**encoder_settings(self.clip, self.plan, self.settings), "origin": self.origin}

    def _write(self, writer: Any, batch: Batch) -> None:
        self.context.timed("write", lambda: writer.write(batch))
        self.progress.step(len(batch))  # a frame counts when it is in the file

    def _origin(self, first: Batch, tick: Fraction) -> Fraction:
        """The time that becomes zero: the earliest of picture and sound, or the first frame asked for."""
        start = int(first.pts[0]) * first.time_base
        if self.frames[0] == 0 and self.sound.tracks:
            start = min([start, *(Fraction(t.start) for t in self.clip.sound)])
        return math.floor(start / tick) * tick

    def _until(self, first: Batch) -> Fraction | None:
        """Where the sound is cut, on the tape's clock: at the end of the frames asked for, None at the tape's end."""
        stop, rate = self.frames[1], self.clip.rate
        if stop is None or rate is None or (self.clip.frames is not None and stop >= self.clip.frames):
            return None
        return int(first.pts[0]) * first.time_base + (stop - self.frames[0]) / rate

    def _shown(self) -> Iterator[Fraction]:
        """Presentation time of each frame in seconds on the output's clock."""
        return (t * self.time_base - self.origin for t in self._pts)

    def _verify(self) -> list[Any]:
        from toolkit.media.verify import verify

        return verify(
            self.output,
            expected_pts=self._shown(),
            expected_format=self.written,
            source=self.clip if self.sound.tracks else None,
            origin=self.origin,
            until=self.until,
            syncs=self.sound.syncs,
        )


def with_format(first: Batch, rest: Iterable[Batch], fmt: PictureFormat) -> Iterator[Batch]:
    """All batches with the format decided on (the file's claim about field order replaced)."""
    yield first.replace(format=fmt)
    for batch in rest:
        yield batch.replace(format=fmt)
