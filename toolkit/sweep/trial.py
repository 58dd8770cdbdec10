"""One trial: a pipeline over the bursts of a sample, and numbers of each.  Runs in any process.

What trials have in common is done once in each process: the sample is taken once, and the frames after steps that
several trials begin with are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from toolkit.clip import Batch
from toolkit.compare import blind
from toolkit.compare.samples import Sample, sample
from toolkit.errors import RequestError, ToolkitError
from toolkit.pipeline import Pipeline, to_device, to_host
from toolkit.stages import Context, Step
from toolkit.sweep.parts import Part, judged, row_of

#: Bytes of frames kept after shared first steps.
KEPT_BYTES = 1 << 30
#: Trials run one after the other in a process: two threads in parallel Numba code would end it.
_one_at_a_time = threading.Lock()
_samples: LRUCache = LRUCache(maxsize=2)
_prefixes: LRUCache = LRUCache(maxsize=KEPT_BYTES, getsizeof=lambda kept: kept[0].nbytes)


@dataclass(frozen=True)
class Material:
    """What a sweep looks at: a sample and, where there is one, the truth of it.

    Both travel as they are when they are in memory only, else as the way to take them again.
    """

    key: str
    halo: tuple[int, int]
    sample: Sample | dict[str, Any]
    truth: Sample | str | None = None

    @staticmethod
    def of(some: Sample, truth: Sample | None, truth_path: str | None) -> Material:
        if some.origin is None:
            return Material(material_key(some, truth), some.halo, some, truth)
        return Material(material_key(some, truth), some.halo, some.origin, truth_path or truth)

    def load(self) -> tuple[Sample, Sample | None]:
        """The sample and its truth, from the few that this process remembers.  Raises `RequestError` when the file has
        changed since."""
        place = self.key, self.halo
        if place not in _samples:
            some = sample(**self.sample) if isinstance(self.sample, dict) else self.sample
            truth = some.beside(self.truth) if isinstance(self.truth, str) else self.truth
            if material_key(some, truth) != self.key:
                raise RequestError(
                    f"{some.name} does not hold the frames that the sweep began with", hint="start the sweep anew"
                )
            _samples[place] = some, truth
        return _samples[place]


def material_key(some: Sample, truth: Sample | None) -> str:
    return some.key + (f"-{truth.key}" if truth is not None else "")


@dataclass(frozen=True)
class Task:
    """A trial to run, or some of its bursts.  `shared` are the numbers of first steps that other trials begin with."""

    key: str
    material: Material
    pipeline: dict[str, Any]
    shared: tuple[int, ...]
    metrics: tuple[str, ...]
    align: str
    blind: tuple[str, ...]
    device: str
    bursts: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What a task gave: a part for each burst that went well, and why there are no more."""

    parts: tuple[Part, ...]
    error: str | None = None


def run_bursts(task: Task) -> Outcome:
    """Runs a task here and now.

    A part's `seconds` are the pipeline's own, shared steps counted in full; its `peak` is the largest resident memory
    of the process meanwhile (NaN where the system does not tell).
    """
    with _one_at_a_time:
        parts: list[Part] = []
        try:
            pipeline = Pipeline.from_dict(task.pipeline)
            some, truth = task.material.load()
            some.prepared(pipeline, task.device)
            for number in task.bursts:
                parts.append(_burst(task, some, truth, pipeline, number))
        except (ToolkitError, MemoryError) as error:
            return Outcome(tuple(parts), str(error) or type(error).__name__)
        return Outcome(tuple(parts))


def finished(task: Task, parts: Sequence[Part], error: str | None = None) -> dict[str, Any]:
    """The row of a trial: key, pipeline, the numbers of its bursts, `error` (None when all went well)."""
    row: dict[str, Any] = {"key": task.key, "pipeline": json.dumps(task.pipeline, sort_keys=True), "error": error}
    if error is None:
        try:
            return row | row_of(parts, task.metrics)
        except ToolkitError as failed:
            row["error"] = str(failed)
    return row | {"taken_s": sum(p.taken for p in parts)}


def _burst(task: Task, some: Sample, truth: Sample | None, pipeline: Pipeline, number: int) -> Part:
    began = time.perf_counter()
    _reset_peak()
    one = replace(some, bursts=some.bursts[number : number + 1])
    clean = None if truth is None else replace(truth, bursts=truth.bursts[number : number + 1])
    result, seconds = _through(task, one, pipeline, number)
    peak = _peak_mib()
    found = judged(result, clean, task.metrics, task.align)
    scores = {name: blind.errors(name, some, pipeline, task.device, number) for name in task.blind}
    bits = some.format.bits, result.format.bits, found.pop("bits")
    taken = time.perf_counter() - began
    return Part(number, len(one), len(result), seconds, taken, peak, bits, blind=scores, **found)


def _through(task: Task, some: Sample, pipeline: Pipeline, number: int) -> tuple[Sample, float]:
    """One burst after the pipeline, and the seconds of all its steps for the burst's own frames.

    Frames around the burst cost time too, which a whole tape does not pay: it is taken off in proportion.
    """
    context = Context(task.device)
    flow, seconds, begin = some, 0.0, 0
    for n in sorted(task.shared, reverse=True):
        kept = _prefixes.get(_prefix_key(task, pipeline, n, number))
        if kept is not None:
            (flow, seconds), begin = kept, n
            break
    for n, step in enumerate(pipeline[begin:], begin + 1):
        held = sum(len(b.frames) for b in flow.bursts)
        share = len(flow) / held
        began = time.perf_counter()
        flow = _stepped(flow, step, context)
        seconds += (time.perf_counter() - began) * share
        if n in task.shared:
            with contextlib.suppress(ValueError):  # larger than all that may be kept
                _prefixes[_prefix_key(task, pipeline, n, number)] = flow, seconds
    return flow.cut(), seconds


def _prefix_key(task: Task, pipeline: Pipeline, n: int, number: int) -> tuple:
    return task.material.key, task.material.halo, task.device, pipeline[:n], number


def _stepped(flow: Sample, step: Step, context: Context) -> Sample:
    """One step of the bursts; on a GPU the frames go there and come back, so that what is kept lies in main memory."""
    if context.device != "cuda":
        return flow.stepped(step, context)
    return _moved(_moved(flow, to_device).stepped(step, context), to_host)


def _moved(flow: Sample, move: Callable[[Batch], Batch]) -> Sample:
    return replace(flow, bursts=tuple(replace(b, frames=move(b.frames)) for b in flow.bursts))


def ready() -> None:
    """Loads what every trial needs."""
    from toolkit.compare.metrics import compare  # noqa: F401
    from toolkit.stages import all_stages

    all_stages()


def remember(material: Material, some: Sample, truth: Sample | None) -> None:
    """Spares this process from taking again a sample that it has."""
    _samples[material.key, material.halo] = some, truth


def forget() -> None:
    """Lets go of the frames that this process keeps for further trials."""
    _samples.clear()
    _prefixes.clear()


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # Linux: 5 sets the high-water mark of resident memory to what it is now
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return float("nan")


def local_executor(workers: int | None = None) -> Executor:
    """Processes of this machine, one to a core unless said otherwise, that share the cores without quarrel.

    Close it (or use `with`) when done.  Raises `RequestError` for a negative number.
    """
    if workers is not None and workers < 0:
        raise RequestError(f"{workers} workers were asked for", expected="0 (this process) or more")
    cores = os.cpu_count() or 1
    workers = workers or cores
    # spawn: a forked child of a process that has run parallel Numba code is ended by OpenMP.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(max(1, cores // workers),))


def _begin(threads: int) -> None:
    import numba  # its variables in the environment must not change any more: it looks again and again

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def refuse_forks(executor: Executor) -> None:
    """Raises `RequestError` for a process pool whose workers would be ended by OpenMP."""
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise RequestError(
            "the executor forks its processes, which does not go together with parallel code",
            expected='one that starts them afresh, with mp_context=multiprocessing.get_context("spawn")',
            hint="toolkit.sweep.local_executor()",
        )
