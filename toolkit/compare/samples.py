"""Samples: short runs of frames, in memory, at chosen or evenly spread moments of a tape.

A burst keeps the frames around it that a pipeline looks at, so that its results are those of the whole tape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.compare.by_time import FramesByTime
from toolkit.errors import InputUnreadable, RequestError
from toolkit.stages.memory import rates_of, reach, whole_rate

if TYPE_CHECKING:
    from toolkit.pipeline import Pipeline
    from toolkit.stages import Context, Step

#: Frames a recursive step is let run in before a burst.  What it still remembers of earlier ones is then below a level.
SETTLE = 16
#: Enough for every step and most pairs of them; `sample(pipeline=...)` takes what a pipeline needs.
USUAL_HALO = (10, 4)
MOST_BYTES = 2 << 30
_PIECE = 8  # frames worked on at a time


@dataclass(frozen=True, eq=False)
class Burst:
    """Consecutive frames; those from `first` on and before `stop` are its own, the others their neighbours."""

    frames: Batch
    first: int
    stop: int

    @property
    def own(self) -> Batch:
        return self.frames[self.first : self.stop]


@dataclass(frozen=True, eq=False)
class Sample:
    """Bursts of one tape.  `compare` and `contact_sheet` take it like a clip; they see the bursts' own frames.

    name   : of the file it comes from.
    halo   : frames kept before and after each burst (fewer where the tape begins or ends).
    start  : the tape's first presentation time, seconds.
    origin : how to take it again (`sample(**origin)`), None when it did not come from a file.
    notes  : what was decided on the way.
    """

    bursts: tuple[Burst, ...]
    name: str
    halo: tuple[int, int]
    start: float
    origin: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def format(self) -> PictureFormat:
        return self.bursts[0].frames.format

    def __len__(self) -> int:
        return sum(b.stop - b.first for b in self.bursts)

    def __repr__(self) -> str:
        spans = ", ".join(f"{b.own.times[0]:.3f}..{b.own.times[-1]:.3f}" for b in self.bursts)
        return f"Sample({self.name}, {len(self)} frames at {spans} s, {self.nbytes / 2**20:.0f} MiB, {self.format})"

    @property
    def nbytes(self) -> int:
        return sum(p.nbytes for b in self.bursts for p in b.frames.planes)

    def batches(self, size: int = 8) -> Iterator[Batch]:
        """Yields the bursts' own frames; no Batch reaches over the end of a burst."""
        for burst in self.bursts:
            yield from _pieces(burst.own, size)

    @cached_property
    def key(self) -> str:
        """Tells this sample from every other: a hash of its own frames, times and format.

        Not of the frames around them: how many of those are kept changes no result.
        """
        found = hashlib.blake2b(f"{self.format!r} {self.format.siting}".encode(), digest_size=10)
        for burst in self.bursts:
            own = burst.own
            found.update(f"{len(own)} {own.time_base}".encode())
            for array in (own.pts, own.durations, *own.planes):
                found.update(np.ascontiguousarray(array))
        return found.hexdigest()

    def through(self, pipeline: Pipeline, device: str = "cpu") -> Sample:
        """The bursts after a pipeline, equal to the same frames of the whole tape.

        Recursive steps (hqdn3d) run in on the frames before, so for them equal means to within a level.  Raises
        `RequestError` when the sample has fewer frames around its bursts than the pipeline looks at.
        """
        from toolkit.stages import Context

        flow, context = self.prepared(pipeline, device), Context(device)
        for step in pipeline:
            flow = flow.stepped(step, context)
        return flow.cut()

    def prepared(self, pipeline: Pipeline, device: str = "cpu") -> Sample:
        """This sample with no more frames around its bursts than `pipeline` looks at, everything costly built."""
        pipeline.plan(self.format, max_memory=1 << 62, device=device)
        needed = neighbours(pipeline, self.format)
        if needed[0] > self.halo[0] or needed[1] > self.halo[1]:
            raise RequestError(
                "the sample has {} frames before and {} after each burst".format(*self.halo),
                expected="at least {} and {} for this pipeline".format(*needed),
                hint="sample(clip, ..., pipeline=pipeline)",
            )
        return self.trimmed(needed)

    def trimmed(self, halo: tuple[int, int]) -> Sample:
        """The same bursts with at most so many frames before and after each.  Views."""
        bursts = []
        for b in self.bursts:
            first = max(0, b.first - halo[0])
            bursts.append(Burst(b.frames[first : b.stop + halo[1]], b.first - first, b.stop - first))
        return replace(self, bursts=tuple(bursts), halo=halo)

    def cut(self) -> Sample:
        """The same bursts without the frames around them.  Views."""
        return self.trimmed((0, 0))

    def stepped(self, step: Step, context: Context) -> Sample:
        """The bursts, with the frames around them, after one step; those at the rim lack neighbours of their own."""
        fmt, knobs, done = self.format, step.knobs, []
        rate = whole_rate(step, fmt)
        for b in self.bursts:
            batch = Batch.join(list(step.stage.apply(_pieces(b.frames, _PIECE), fmt, knobs, context)))
            done.append(Burst(batch, b.first * rate, b.stop * rate))
        halo = self.halo[0] * rate, self.halo[1] * rate
        return replace(self, bursts=tuple(done), halo=halo, origin=None)

    def beside(self, source: Any) -> Sample:
        """The same moments of another source (the truth), each burst by its own; both on this sample's clock or on
        clocks that start together.  Raises `RequestError` when it has no frame at one of them."""
        other = FramesByTime(source)
        apart = other.start - self.start
        shift = apart if abs(apart) > 0.5 else 0.0  # as `compare` does where clocks start far apart
        bursts = []
        for burst in self.bursts:
            own = burst.own
            tick = float(own.durations[0] * own.time_base)
            since, until = float(own.times[0]), float(own.times[-1]) + float(own.durations[-1] * own.time_base)
            batch = other.between(since + shift - 0.1 * tick, until + shift - 0.1 * tick, len(own) * 2)
            if batch is None:
                raise RequestError(
                    f"{other.name} has no frames from {since + shift:.3f} to {until + shift:.3f} s",
                    expected="a truth as long as what it is held against",
                )
            bursts.append(Burst(batch, 0, len(batch)))
        return Sample(tuple(bursts), other.name, (0, 0), other.start)


def neighbours(pipeline: Pipeline, fmt: PictureFormat) -> tuple[int, int]:
    """How many frames of the tape before and after a frame its result depends on (for recursive steps: noticeably)."""
    return reach(pipeline, rates_of(pipeline, fmt), SETTLE)[0]


def sample(
    source: Any,
    times: Sequence[float] | None = None,
    *,
    bursts: int = 3,
    length: int = 12,
    every: int | None = None,
    pipeline: Pipeline | None = None,
    halo: tuple[int, int] | None = None,
    field_order: str = "auto",
) -> Sample:
    """Takes short runs of consecutive frames out of a tape, straight into memory.

    source  : a path, a `Clip`, a demo or a list of Batches.
    times   : seconds on the tape's clock, each in the middle of a burst; evenly spread when left out.
    bursts  : how many, and `length` frames in each; a tape with fewer frames than that is taken whole.
    every   : in place of both, a burst around every so many-th frame (with `length=1`: the frames of a contact sheet).
    halo    : frames to keep before and after each burst; those `pipeline` needs, or enough for most pipelines.
    field_order : "auto" measures it, once for all bursts; "tff", "bff" or "progressive" sets it.

    Nothing else is decoded and nothing is written.  Raises `RequestError` for times outside of the tape and for more
    than 2 GiB of frames.
    """
    for name, value in (("bursts", bursts), ("length", length), ("every", every if every is not None else 1)):
        if value < 1:
            raise RequestError(f"{name} is {value}", expected="at least 1")
    frames = FramesByTime(source)
    fmt, notes = frames.decided_format(field_order)
    if halo is None:
        halo = USUAL_HALO if pipeline is None else neighbours(pipeline, fmt)
    if times is None:
        times, length = _spread(frames, bursts, length, every)
    each = sum(h * w for h, w in fmt.plane_shapes) * fmt.dtype.itemsize
    need = each * (length + sum(halo)) * len(times)
    if need > MOST_BYTES:
        raise RequestError(
            f"{len(times)} bursts of {length} frames (and {sum(halo)} around each) take {need / 2**20:.0f} MiB",
            expected=f"at most {MOST_BYTES >> 20} MiB",
            hint="fewer or shorter bursts",
        )
    taken = tuple(_burst(frames, t, length, halo, fmt) for t in times)
    origin = None
    if frames.clip is not None:
        origin = {
            "source": str(frames.clip.path.absolute()), "times": [float(t) for t in times], "length": length,
            "halo": tuple(halo), "field_order": fmt.field_order if fmt.field_order != "unknown" else "auto",
        }  # fmt: skip
    return Sample(taken, frames.name, tuple(halo), frames.start, origin, tuple(notes))


def _spread(frames: FramesByTime, bursts: int, length: int, every: int | None) -> tuple[list[float], int]:
    """Middle times of evenly spread bursts, and their length."""
    whole = frames.duration
    count = max(1, round(whole / frames.tick))
    if every is not None:
        return [frames.start + (n + 0.5) * frames.tick for n in range(every // 2, count, every)] or [
            frames.start + whole / 2
        ], length
    if bursts * length >= count:
        return [frames.start + whole / 2], count
    return [frames.start + whole * (i + 0.5) / bursts for i in range(bursts)], length


def _burst(frames: FramesByTime, middle: float, length: int, halo: tuple[int, int], fmt: PictureFormat) -> Burst:
    tick, end = frames.tick, frames.start + frames.duration
    if not frames.start - tick / 2 <= middle <= end + tick / 2:
        raise RequestError(
            f"there is no frame at {middle:.3f} s", expected=f"times from {frames.start:.3f} to {end:.3f} s"
        )
    since = max(frames.start, min(middle - length * tick / 2, end - length * tick)) - tick / 2
    lead = halo[0] * tick
    while True:
        batch = frames.between(since - lead, None, length + halo[1], since)
        if batch is None:
            raise InputUnreadable(f"{frames.name} has no frame at {middle:.3f} s that can be decoded")
        first = int(np.searchsorted(batch.times, since))
        if first >= halo[0] or since - lead <= frames.start:
            break
        lead = 2 * lead + tick  # frames of uneven length
    first = min(first, len(batch) - 1)
    begin = max(0, first - halo[0])
    kept = batch[begin : first + length + halo[1]].replace(format=fmt)
    return Burst(kept, first - begin, min(first - begin + length, len(kept)))


def _pieces(batch: Batch, size: int) -> Iterator[Batch]:
    for i in range(0, len(batch), size):
        yield batch[i : i + size]
