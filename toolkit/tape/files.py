"""simulate(): a tape file from a clean file, and the truth beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolkit.clip import Clip
from toolkit.errors import InputUnreadable, KnobError, OutputRefused, RequestError
from toolkit.progress import Progress
from toolkit.tape.recorder import Tape
from toolkit.tape.scene import Demo

Layout = Literal["4:2:2", "4:2:0", "4:1:1", "4:4:4"]
LAYOUTS = {"4:2:2": (1, 0), "4:2:0": (1, 1), "4:1:1": (2, 0), "4:4:4": (0, 0)}


@dataclass(frozen=True)
class Simulated:
    """What `simulate` wrote."""

    tape: Path
    truth: Path | None
    frames: int
    fields_hit: int  # fields with a dropout
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "tape": str(self.tape),
            "truth": str(self.truth) if self.truth else None,
            "frames": self.frames,
            "fields_hit": self.fields_hit,
            "settings": self.settings,
        }

    def __str__(self) -> str:
        s = self.settings
        lines = [f"{self.tape}: {self.frames} frames, {s['standard']}, {s['field_order']}, seed {s['seed']}"]
        if self.truth:
            lines.append(f"{self.truth}: {2 * self.frames} clean frames, one for each field")
        lines.append(", ".join(f"{k} {v:g}" for k, v in s.items() if isinstance(v, (int, float)) and k != "seed"))
        return "\n".join(lines)


def simulate(
    clean: str | Path | Clip | Demo,
    tape: str | Path,
    *,
    truth: str | Path | None = None,
    motion: Literal["hold", "retime"] = "hold",
    fit: Literal["crop", "letterbox", "stretch"] = "crop",
    layout: Layout = "4:2:2",
    ideal: bool = False,
    frames: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **knobs: Any,
) -> Simulated:
    """Writes the tape that a VHS recorder would have made of a clean clip, and on request the truth.

    clean  : a progressive video file, a `Clip`, or a `demo()`.
    tape   : `.mkv` (or `.mov`, `.mp4`): FFV1, interlaced and flagged so, 720x480 SAR 8:9 or 720x576 SAR 16:15,
             with 16-bit PCM sound (FLAC in `.mp4`) when the clean clip has sound.
    truth  : the clean frames at field rate in the tape's size and layout, with the clean sound; likewise FFV1.
    motion, fit : see `Tape.prepare`.
    layout : chroma layout of both files.
    ideal  : start from a recorder without faults instead of a worn one; `knobs` are then the only faults.
    frames : at most so many frames of tape.
    knobs  : those of `Tape`: standard, seed, field_order, luma_noise, ...

    Works on a few frames at a time, so memory does not grow with the clip.  Nothing is left under a final name when
    it fails.  Raises `UnknownName` or `KnobError` for a wrong knob, `OutputRefused` for outputs that cannot be written.
    """
    from toolkit.media.write import Writer

    recorder = Tape.ideal(**knobs) if ideal else Tape.of(**knobs)
    if frames is not None and frames < 1:
        raise KnobError(f"a tape of {frames} frames was asked for", expected="1 or more")
    if layout not in LAYOUTS:
        raise RequestError(f"layout is {layout!r}", expected=f"one of {', '.join(LAYOUTS)}")
    tape, truth = Path(tape), Path(truth) if truth else None
    if truth and truth.absolute() == tape.absolute():
        raise OutputRefused(f"tape and truth are both {tape}", expected="two names")
    source = clean if isinstance(clean, Demo) else FileSource(clean)
    picture = recorder.format(LAYOUTS[layout])
    speed = float(recorder.field_rate / source.rate) if motion == "retime" and source.rate else 1.0
    tick = 1 / recorder.field_rate
    progress = progress or Progress()
    wanted = None if frames is None else 2 * frames
    count = source.field_count(recorder.field_rate, motion)
    progress.stage("simulate", count // 2 if count is not None else None)
    with ExitStack() as open_files:
        open_files.callback(progress.close)
        writers = []
        for path, form, spoil in ((tape, picture, True), (truth, picture.replace(field_order="progressive"), False)):
            if path is None:
                continue
            sound = _track(source, recorder, speed, path, spoil)
            writer = Writer(
                path, form, tick, rate=recorder.field_rate / (2 if spoil else 1), codec="ffv1", sound=sound,
                source=getattr(source, "clip", None), overwrite=overwrite,
            )  # fmt: skip
            writers.append(open_files.enter_context(writer))
        made = hit = 0
        clean_batches = source.batches(size=8)
        open_files.callback(getattr(clean_batches, "close", lambda: None))
        for piece in recorder.stream(clean_batches, motion=motion, fit=fit, to=picture):
            if wanted is not None and 2 * made + len(piece.truth) > wanted:
                piece = recorder.record(piece.truth[: wanted - 2 * made])
            for writer, batch in zip(writers, (piece.tape, piece.truth), strict=False):
                writer.write(batch)
            made += len(piece.tape)
            hit += sum(bool(drops) for drops in recorder.dropouts_of(piece.truth.pts, picture.height))
            progress.step(len(piece.tape))
            if wanted is not None and 2 * made >= wanted:
                break
        if not made:
            raise InputUnreadable(
                "the clean clip is shorter than one frame of tape", expected="at least two fields of picture"
            )
    progress.finish()
    return Simulated(tape, truth, made, hit, recorder.to_dict())


class FileSource:
    """A clean file as `Tape.stream` and `simulate` want it."""

    def __init__(self, path: str | Path | Clip) -> None:
        self.clip = path if isinstance(path, Clip) else Clip.open(path)
        self.rate = self.clip.rate

    def batches(self, size: int = 8) -> Iterator[Any]:
        return self.clip.batches(size=size)

    def field_count(self, field_rate: Any, motion: str) -> int | None:
        if motion == "retime":
            return self.clip.frames
        return int(self.clip.duration * field_rate) if self.clip.duration else None

    @property
    def sound_rate(self) -> int | None:
        return self.clip.sound[0].sample_rate if self.clip.sound else None

    @property
    def channels(self) -> int:
        return self.clip.sound[0].channels

    def sound(self) -> Iterator[np.ndarray]:
        """The first track from the first frame on: gaps are silence, what comes before the picture is left out."""
        from toolkit.media.sound import read_sound

        rate, done = self.sound_rate, 0
        for block in read_sound(self.clip):
            begin = round((block.start - self.clip.start) * rate)
            samples = block.samples
            if begin > done:
                yield np.zeros((samples.shape[0], begin - done), np.float32)
                done = begin
            samples = samples[:, max(0, done - begin) :]
            if samples.shape[1]:
                yield samples
                done += samples.shape[1]


def _track(source: Any, recorder: Tape, speed: float, path: Path, spoil: bool) -> list[Any]:
    from toolkit.media.tracks import SoundSpec

    if not source.sound_rate:
        return []
    rate = source.sound_rate
    heard = recorder if spoil else Tape.ideal(recorder.standard)
    codec = "flac" if path.suffix.lower() in (".mp4", ".m4v") else "pcm_s16le"
    layout = {1: "mono", 2: "stereo"}.get(source.channels)
    blocks = heard.sound(source.sound() if layout else _two(source.sound()), rate, speed)
    return [SoundSpec(rate, layout or "stereo", codec, blocks=_timed(blocks, rate))]


def _two(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """A linear VHS track has at most two channels: of more, the first two are taken."""
    return (b[:2] for b in blocks)


def _timed(blocks: Iterable[np.ndarray], rate: int) -> Iterator[Any]:
    from toolkit.media.sound import SoundBlock

    done = 0
    for block in blocks:
        yield SoundBlock(np.clip(block, -1, 1), done / rate, rate)
        done += block.shape[1]
