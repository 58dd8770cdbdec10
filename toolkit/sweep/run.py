"""sweep(): settings x one tape -> one tidy table, kept on disk, reused and resumed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from toolkit.compare import viewers
from toolkit.compare.metrics import METRICS
from toolkit.compare.samples import Sample, neighbours, sample
from toolkit.errors import RequestError, UnknownName, WorkError
from toolkit.pipeline import Pipeline
from toolkit.progress import Progress
from toolkit.stages.upscale import choose_device
from toolkit.sweep.space import LIMIT, Span, Trial, trials
from toolkit.sweep.store import Store, read_rows
from toolkit.sweep.table import Sweep, assembled
from toolkit.sweep.trial import Material, Task, forget, refuse_forks, run_trial

#: The default place of results, under the current folder.
RUNS = Path("runs")
_PACKAGES = ("vhs-toolkit", "numpy", "numba", "av")


def sweep(
    source: Any,
    pipeline: Pipeline,
    space: Mapping[str, Sequence[Any] | Span],
    *,
    truth: Any = None,
    how: Literal["grid", "random"] = "grid",
    count: int | None = None,
    seed: int = 0,
    limit: int = LIMIT,
    times: Sequence[float] | None = None,
    bursts: int = 3,
    length: int = 12,
    field_order: str = "auto",
    metrics: tuple[str, ...] = METRICS,
    align: Literal["full", "times"] = "times",
    blind: bool | None = None,
    device: Literal["auto", "cpu", "cuda"] = "cpu",
    executor: Executor | None = None,
    folder: str | Path | None = None,
    on_result: Callable[[dict[str, Any]], None] | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Tries settings of a pipeline on samples of a tape and puts the numbers side by side, a row for each setting.

    source   : a path, a `Clip`, a demo, a list of Batches, or a `Sample` taken before.
    pipeline : what the settings are changes of.
    space    : key -> values, see `toolkit.sweep.space`: "denoise.strength", "denoise", "denoise.nlmeans.patch".
    truth    : the clean clip, on the same clock; PSNR, SSIM, combing and flicker are then measured against it.
    how      : "grid" tries all combinations, "random" `count` of them (`seed` repeats the draw).
    limit    : more trials than this are refused.
    times, bursts, length, field_order : which frames are looked at, as in `compare.sample`.
    metrics  : those of `compare`, and on request "vmaf" and "xpsnr" (`compare.viewers`), against the truth.
    align    : as in `compare`; "times" pairs equal times and reports what else it sees in the column `findings`.
    blind    : also rank without a truth (`compare.blind`); by default where there is none.
    executor : where trials run: any `concurrent.futures.Executor`; here, one after the other, when left out.
    folder   : where rows are kept; `runs/` and a key of frames, truth and measures when left out.
    on_result: called with each row as it comes, also with those found in the folder.

    Rows that the folder holds are not computed again, so the same call goes on after an interruption, and a wider grid
    only computes what is new.  A trial that fails has its reason in the column `error` and is tried again next time.
    Raises `UnknownName` / `KnobError` / `RequestError` before any work, `WorkError` when the executor's workers die.
    """
    known = (*METRICS, *viewers.SCORES)
    for name in metrics:
        if name not in known:
            raise UnknownName("metric", name, known)
    if truth is not None and set(metrics) & set(viewers.SCORES):
        viewers.program()  # says now that it is missing
    device = choose_device(device)
    tried = trials(pipeline, space, how=how, count=count, seed=seed, limit=limit)
    if executor is not None:
        refuse_forks(executor)
    some = _sampled(source, tried, times=times, bursts=bursts, length=length, field_order=field_order)
    clean = None if truth is None else truth if isinstance(truth, Sample) else some.beside(truth)
    scores = _scores(tried, some) if (truth is None if blind is None else blind) else ()
    material = Material.of(some, clean, str(truth) if isinstance(truth, (str, Path)) else None)
    versions = {p: importlib.metadata.version(p) for p in _PACKAGES}
    setting = {
        "frames": material.key, "metrics": list(metrics) if truth is not None else [], "align": align,
        "device": device, "versions": versions,
    }  # fmt: skip
    common = _hash(setting)
    store = Store(folder if folder is not None else RUNS / common)
    about = {
        "common": common, "source": some.name, "sample": some.origin,
        "truth": material.truth if isinstance(material.truth, str) else None,
        "pipeline": pipeline.to_dict(), **setting, "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    store.describe(about)
    tasks = [
        Task(_hash([common, t.pipeline.to_dict(), *scores]), material, t.pipeline.to_dict(), shared, tuple(metrics),
             align, scores, device)
        for t, shared in zip(tried, _shared([t.pipeline for t in tried]), strict=True)
    ]  # fmt: skip
    rows = _Rows(tried, tasks, on_result, progress or Progress())
    rows.take_known(store)
    computed = rows.missing()
    try:
        for row in _results(computed, executor, store):
            if row["error"] is None:
                store.add(row)
            rows.take(row)
        rows.progress.finish()
    finally:
        rows.progress.close()
        forget()
    table = assembled(tried, [rows.by_key[t.key] for t in tasks])
    return Sweep(table, tuple(tried), store.folder, some, clean, some.notes, len(computed))


def _sampled(source: Any, tried: list[Trial], **how: Any) -> Sample:
    if isinstance(source, Sample):
        for trial in tried:
            source.prepared(trial.pipeline)  # says what is missing around the bursts
        return source
    # The field order is decided once; what each pipeline looks at depends on it.
    first = sample(source, how["times"], bursts=1, length=1, halo=(0, 0), field_order=how["field_order"])
    needs = [neighbours(t.pipeline, first.format) for t in tried]
    for trial in tried:
        trial.pipeline.plan(first.format, max_memory=1 << 62)
    halo = max(n[0] for n in needs), max(n[1] for n in needs)
    return sample(source, how.pop("times"), halo=halo, **how)


def _scores(tried: list[Trial], some: Sample) -> tuple[str, ...]:
    """Which blind scores say something: that of the groups of steps in which the trials differ."""
    from toolkit.compare import blind

    return tuple(name for name in blind.SCORES if blind.applies(name, [t.pipeline for t in tried], some.format))


def _shared(pipelines: list[Pipeline]) -> list[tuple[int, ...]]:
    """For each pipeline, the numbers n of first steps that at least one other begins with as well."""
    users: dict[tuple, int] = {}
    for p in pipelines:
        for n in range(1, len(p) + 1):
            users[p[:n]] = users.get(p[:n], 0) + 1
    # Only the longest of those with the same users is worth keeping.
    found = []
    for p in pipelines:
        counts = [users[p[:n]] for n in range(1, len(p) + 1)] + [1]
        found.append(tuple(n for n in range(1, len(p) + 1) if counts[n - 1] > 1 and counts[n] < counts[n - 1]))
    return found


def _hash(data: Any) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


class _Rows:
    """The rows so far, by key, and who is told of them."""

    def __init__(self, tried: list[Trial], tasks: list[Task], on_result: Any, progress: Progress) -> None:
        self.tasks, self.on_result, self.progress = tasks, on_result, progress
        self._knobs = {task.key: dict(trial.knobs) for task, trial in zip(tasks, tried, strict=True)}
        self.by_key: dict[str, dict[str, Any]] = {}
        progress.stage("sweep", len(tasks))

    def take_known(self, store: Store) -> None:
        known = read_rows(store.folder)
        for row in known[known["key"].isin(self._knobs)].to_dict("records"):
            self.take(row)

    def take(self, row: dict[str, Any]) -> None:
        self.by_key[row["key"]] = row
        self.progress.step()
        if self.on_result is not None:
            self.on_result({**self._knobs[row["key"]], **row})

    def missing(self) -> list[Task]:
        """What is left to do, in the order asked for, but pipelines that begin alike follow each other, so that what
        they share is at hand."""
        missing = [t for t in self.tasks if t.key not in self.by_key]
        seen: dict[str, int] = {}
        return sorted(missing, key=lambda t: [seen.setdefault(json.dumps(s), len(seen)) for s in t.pipeline["steps"]])


def _results(tasks: list[Task], executor: Executor | None, store: Store) -> Iterator[dict[str, Any]]:
    """Rows as they come.  Closing the iterator cancels what has not begun."""
    if executor is None:
        yield from map(run_trial, tasks)
        return
    queue, running = iter(tasks), set[Future]()
    ahead = 2 * (getattr(executor, "_max_workers", None) or 8)  # so that a sample in memory does not pile up
    try:
        while True:
            while len(running) < ahead and (task := next(queue, None)) is not None:
                running.add(executor.submit(run_trial, task))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenExecutor as error:
        raise WorkError(
            f"a worker of the sweep died ({error})", files=f"the rows that were finished are kept in {store.folder}",
            hint="the same sweep again goes on from there; fewer workers if memory ran out",
        ) from error  # fmt: skip
    finally:
        for future in running:
            future.cancel()


def open_sweep(folder: str | Path) -> Sweep:
    """The sweep in a folder that `sweep` has written, all of its rows, whoever computed them.

    Raises `InputMissing` when there is none, `RequestError` when it has no rows yet.
    """
    from toolkit.sweep.store import read_about
    from toolkit.sweep.table import trials_of

    about, rows = read_about(Path(folder)), read_rows(Path(folder))
    if not len(rows):
        raise RequestError(f"the sweep in {folder} has no finished trials yet", hint="run the same sweep again")
    found = trials_of(rows["pipeline"])
    return Sweep(assembled(found, rows.to_dict("records")), tuple(found), Path(folder), None, None, (), 0, about)
