"""Pipeline: a tuple of steps; `plan()` says what it will cost, `run()` does it and gives back a `Run`.

The picture flows decode thread -> compute (the caller's thread) -> encode thread through bounded queues, so memory does
not grow with the length of a tape.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import RequestError
from toolkit.stages import Context, Step, stage
from toolkit.stages.memory import Memory

#: Batches that exist at once: read ahead, in work (with halo and result), waiting for the encoder.
_READ_AHEAD, _WRITE_BEHIND = 2, 2
#: Enough frames for every core; more only take memory (8 against 16 frames: no slower on two cores).
LARGEST_BATCH = max(8, os.cpu_count() or 1)
GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """What a run will do and need.  `str()` is for people.

    formats : the picture's format before the first step and after each one.
    rates   : output frames per input frame of the tape, after each step; a fraction where frames are dropped.
    batch   : frames of the tape in one batch.
    memory  : estimated bytes of frames and working memory at the peak.
    """

    pipeline: Pipeline
    formats: tuple[PictureFormat, ...]
    rates: tuple[int | Fraction, ...]
    batch: int
    memory: int
    device: str
    frames: int | None

    @property
    def output(self) -> PictureFormat:
        return self.formats[-1]

    @property
    def rate(self) -> int | Fraction:
        return self.rates[-1] if self.rates else 1  # no steps: only the sound is worked on

    def __str__(self) -> str:
        lines = [f"reads    {self.formats[0]}" + (f", {self.frames} frames" if self.frames else "")]
        for step, fmt, rate in zip(self.pipeline, self.formats[1:], self.rates, strict=True):
            each = "" if rate == 1 else f", {rate} frames for each"
            if rate != int(rate):
                each = f", {rate.numerator} frames for every {rate.denominator}"
            lines.append(f"{step!r}\n         {fmt}{each}")
        lines.append(f"batches of {self.batch} on {self.device}, about {self.memory / 2**20:.0f} MiB of frames")
        return "\n".join(lines)


class Pipeline(tuple[Step, ...]):
    """A tuple of steps, in order.

    `Pipeline([deinterlace.bwdif(), denoise.hqdn3d(), upscale.lanczos(scale=2)])`
    """

    def __new__(cls, steps: Iterable[Step] = ()) -> Pipeline:
        made = super().__new__(cls, steps)
        for step in made:
            if not isinstance(step, Step):
                raise TypeError(f"a Pipeline is made of steps such as denoise.hqdn3d(); got {step!r}")
        return made

    def __repr__(self) -> str:
        return f"Pipeline([{', '.join(map(repr, self))}])"

    def to_dict(self) -> dict[str, Any]:
        """The only serialised form: presets, manifests, the queue and the command line all use it."""
        return {"steps": [step.to_dict() for step in self]}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Pipeline:
        """The pipeline of `to_dict`.  Raises `RequestError` (unknown stage or knob, knob out of range)."""
        try:
            steps = [(item["stage"], item.get("knobs") or {}) for item in data["steps"]]
        except (TypeError, KeyError, AttributeError):
            raise RequestError(
                f"this is not a pipeline: {data!r}", expected='{"steps": [{"stage": "denoise.hqdn3d", "knobs": {...}}]}'
            ) from None
        return Pipeline(stage(name)(**knobs) for name, knobs in steps)

    def settled(self, clip: Clip, fmt: PictureFormat, say: Callable[[str], None]) -> Pipeline:
        """The pipeline with what its steps measure on the tape itself put in; `say` is told of it."""
        settled, now = [], fmt
        for step in self:
            settled.append(step.stage(**step.stage.settled(clip, now, step.knobs, say)))
            now = step.stage.format_after(now, settled[-1].knobs)
        return Pipeline(settled)

    def plan(
        self, fmt: PictureFormat, *, frames: int | None = None, max_memory: int = 2 * GIB, device: str = "cpu"
    ) -> Plan:
        """Prepares every step for pictures in `fmt` and chooses the batch so that frames stay below `max_memory`.

        Raises `RequestError` or `PictureError` before any frame is read when a step cannot do what is asked.
        """
        formats, rates, rate = [fmt], [], 1
        for step in self:
            step.stage.prepare(formats[-1], step.knobs, device)
            step.stage.check(formats[-1], step.knobs)
            rate *= step.stage.rate(formats[-1], step.knobs)
            formats.append(step.stage.format_after(formats[-1], step.knobs))
            rates.append(rate)
        counts = [1, *rates]
        sizes = [math.ceil(frame_bytes(f) * n) for f, n in zip(formats, counts, strict=True)]
        work = max([s.stage.bytes_per_frame(f, s.knobs) for s, f in zip(self, formats, strict=False)], default=0)
        # Each step may hold input, joined halo and result; the queues hold input and output.
        each = sizes[0] * _READ_AHEAD + sizes[-1] * (_WRITE_BEHIND + 1) + sum(2 * s for s in sizes)
        halo = sum(s.stage.halo(s.knobs) * 2 * n for s, n in zip(self, sizes, strict=False))
        batch = int(max(1, min(LARGEST_BATCH, (max_memory - halo - work) // max(each, 1))))
        if each + halo > max_memory:
            need = (each + halo) / 2**20
            raise RequestError(
                f"one frame of {fmt.width}x{fmt.height} through this pipeline needs about {need:.0f} MiB",
                expected=f"at most the {max_memory / 2**20:.0f} MiB allowed",
                hint="a larger --max-memory or a smaller scale",
            )
        return Plan(self, tuple(formats), tuple(rates), batch, each * batch + halo + work, device, frames)

    def stream(
        self, batches: Iterable[Batch], fmt: PictureFormat, context: Context, memories: Sequence[Memory] = ()
    ) -> Iterator[Batch]:
        """The batches after all steps, lazily.  `memories`, one for each step, let it begin in the middle of a tape."""
        flow = iter(batches)
        if context.device == "cuda":
            flow = map(to_device, flow)
        for n, step in enumerate(self):
            own = replace(context, memory=memories[n]) if memories else context
            flow = step.stage.apply(flow, fmt, step.knobs, own)
            if memories:
                flow = memories[n].counted(flow)
            fmt = step.stage.format_after(fmt, step.knobs)
        return map(to_host, flow) if context.device == "cuda" else flow

    def __call__(self, batch: Batch, device: str = "cpu") -> Batch:
        """All steps applied to one batch that stands alone."""
        for step in self:
            step.stage.prepare(batch.format, step.knobs, device)
            batch = step(batch, device)
        return batch


def frame_bytes(fmt: PictureFormat) -> int:
    """Bytes of one frame in planes."""
    return sum(h * w for h, w in fmt.plane_shapes) * fmt.dtype.itemsize


def to_device(batch: Batch) -> Batch:
    """The batch with its planes on the GPU."""
    import cupy

    return batch.replace(planes=tuple(cupy.asarray(p) for p in batch.planes))


def to_host(batch: Batch) -> Batch:
    """The batch with its planes in main memory."""
    import numpy as np

    return batch.replace(planes=tuple(p if isinstance(p, np.ndarray) else p.get() for p in batch.planes))


@dataclass(frozen=True)
class Run:
    """What a run did.  `str()` is the report for people, `to_dict()` the one for programs.

    seconds : wall time by stage ("read" and "write" run beside the others).
    peak    : the process's largest resident memory in bytes.
    checks  : rows name / expected / found / ok, measured on the written file.
    """

    source: Path
    output: Path
    pipeline: Pipeline
    plan: Plan
    frames_in: int
    frames_out: int
    elapsed: float
    seconds: dict[str, float]
    peak: int
    checks: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    sound: str = "none"
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames of the tape per second."""
        return self.frames_in / self.elapsed if self.elapsed else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "output": str(self.output),
            "pipeline": self.pipeline.to_dict(),
            "device": self.plan.device,
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "elapsed": round(self.elapsed, 3),
            "fps": round(self.fps, 2),
            "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
            "peak_bytes": self.peak,
            "sound": self.sound,
            "checks": [asdict(c) for c in self.checks],
            "notes": list(self.notes),
            "versions": self.versions,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.output}: {self.frames_out} frames from {self.frames_in} in {self.elapsed:.1f} s "
            f"({self.fps:.1f} frames of the tape per second), peak memory {self.peak / 2**20:.0f} MiB",
            f"picture  {self.plan.output}",
            f"sound    {self.sound}",
            "time     " + ", ".join(f"{k} {v:.1f} s" for k, v in self.seconds.items()),
        ]
        lines += [f"note     {n}" for n in self.notes]
        if self.checks:
            width = max(len(c.name) for c in self.checks)
            lines.append("checks")
            for c in self.checks:
                lines.append(f"  {'ok ' if c.ok else 'BAD'} {c.name:<{width}}  expected {c.expected}, found {c.found}")
        return "\n".join(lines)


def peak_memory() -> int:
    """The process's largest resident memory so far, in bytes."""
    try:  # Linux: what getrusage says there begins with the size of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    try:
        import resource

        scale = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset


def counted(batches: Iterable[Batch], context: Context, name: str) -> Iterator[Batch]:
    """The same batches; the time spent waiting for each is booked under `name`."""
    flow = iter(batches)
    try:
        while (batch := context.timed(name, lambda: next(flow, None))) is not None:
            yield batch
    finally:
        close = getattr(flow, "close", None)
        if close is not None:
            close()
