"""One trial: a pipeline over a sample, its numbers as a row.  Runs in any process; only this module crosses over.

What trials have in common is done once in each process: the sample is taken once, and the frames after steps that
several trials begin with are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from toolkit.clip import Batch
from toolkit.compare.samples import Sample, sample
from toolkit.errors import RequestError, ToolkitError
from toolkit.pipeline import Pipeline, to_device, to_host
from toolkit.stages import Context, Step

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
    """A trial to run.  `shared` are the numbers of first steps that other trials begin with as well."""

    key: str
    material: Material
    pipeline: dict[str, Any]
    shared: tuple[int, ...]
    metrics: tuple[str, ...]
    align: str
    blind: tuple[str, ...]
    device: str


def run_trial(task: Task) -> dict[str, Any]:
    """The row of a trial: key, pipeline, numbers, `error` (None when all went well).

    seconds and fps are the pipeline's own, shared steps counted in full; peak_mib is the largest resident memory of
    the process meanwhile (NaN where the system does not tell); taken_s is what this trial took, judging included.
    """
    with _one_at_a_time:
        began = time.perf_counter()
        row: dict[str, Any] = {"key": task.key, "pipeline": json.dumps(task.pipeline, sort_keys=True), "error": None}
        _reset_peak()
        try:
            pipeline = Pipeline.from_dict(task.pipeline)
            some, truth = task.material.load()
            result, seconds = _through(task, some, pipeline)
            row |= {"seconds": seconds, "fps": len(some) / seconds if seconds else float("inf")}
            row |= {"peak_mib": _peak_mib(), "frames": len(result)}
            row |= measured(result, truth, task.metrics, task.align)
            for name in task.blind:
                from toolkit.compare import blind

                row[f"blind_{name}"] = blind.SCORES[name](some, pipeline, task.device)
        except (ToolkitError, MemoryError) as error:
            row["error"] = str(error) or type(error).__name__
        row["taken_s"] = time.perf_counter() - began
        return row


def _through(task: Task, some: Sample, pipeline: Pipeline) -> tuple[Sample, float]:
    """The sample after the pipeline, and the seconds of all its steps for the bursts' own frames.

    Frames around the bursts cost time too, which a whole tape does not pay: it is taken off in proportion.
    """
    context = Context(task.device)
    pipeline.plan(some.format, max_memory=1 << 62, device=task.device)
    flow, seconds, begin = some, 0.0, 0
    for n in sorted(task.shared, reverse=True):
        kept = _prefixes.get(_prefix_key(task, pipeline, n))
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
                _prefixes[_prefix_key(task, pipeline, n)] = flow, seconds
    return flow.cut(), seconds


def _prefix_key(task: Task, pipeline: Pipeline, n: int) -> tuple:
    return task.material.key, task.material.halo, task.device, pipeline[:n]


def _stepped(flow: Sample, step: Step, context: Context) -> Sample:
    """One step of the bursts; on a GPU the frames go there and come back, so that what is kept lies in main memory."""
    if context.device != "cuda":
        return flow.stepped(step, context)
    return _moved(_moved(flow, to_device).stepped(step, context), to_host)


def _moved(flow: Sample, move: Callable[[Batch], Batch]) -> Sample:
    return replace(flow, bursts=tuple(replace(b, frames=move(b.frames)) for b in flow.bursts))


def measured(result: Sample, truth: Sample | None, metrics: tuple[str, ...], align: str) -> dict[str, Any]:
    """Numbers of a result: against its truth per plane where there is one, else what can be said without."""
    import numpy as np

    from kernels.measure.combing import combing
    from kernels.measure.noise import noise_level

    luma = [b.own.planes[0] for b in result.bursts]
    bits = result.format.bits
    row: dict[str, Any] = {}
    if min(luma[0].shape[1:]) >= 16:
        row["noise"] = float(np.median(np.concatenate([noise_level(p) for p in luma]))) * 2.0 ** (8 - bits)
    if truth is None:
        row["combing"] = float(np.concatenate([combing(p, bits=bits) for p in luma]).mean())
        return row
    import pandas as pd

    from toolkit.compare import compare
    from toolkit.compare.metrics import summarise
    from toolkit.compare.viewers import SCORES as viewer_names
    from toolkit.compare.viewers import viewer_scores

    # Burst by burst: a gap between two of them is no fault of the result.
    both = [(t.own, r.own) for t, r in zip(truth.bursts, result.bursts, strict=True)]
    viewers = tuple(m for m in metrics if m in viewer_names)
    metrics = tuple(m for m in metrics if m not in viewer_names)
    if viewers:
        scores = [viewer_scores(t, r, viewers) for t, r in both]
        row |= {key: float(np.mean([s[key] for s in scores])) for key in scores[0]}
    found = [compare(t, r, align=align, metrics=metrics) for t, r in both]
    table = pd.concat([f.table for f in found], ignore_index=True)
    summary = summarise(table, metrics, found[0].settings["bits"])
    for plane, values in summary.to_dict("index").items():
        row |= {f"{name}_{plane}": float(v) for name, v in values.items() if name != "frames"}
    kinds = dict.fromkeys(f.kind for one in found for f in one.findings)
    row["paired"] = int(table.groupby("plane").size().max())
    row["findings"] = "; ".join(kinds)
    return row


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

    Close it (or use `with`) when done.
    """
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
