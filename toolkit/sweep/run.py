"""sweep(): settings x one tape -> one tidy table, kept on disk, reused and resumed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from toolkit.clip import Clip
from toolkit.compare import viewers
from toolkit.compare.blind import EDITION, SCORES
from toolkit.compare.metrics import METRICS, PLANES
from toolkit.compare.samples import Sample, neighbours, sample
from toolkit.errors import RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.progress import Progress
from toolkit.stages.upscale import choose_device
from toolkit.sweep import search
from toolkit.sweep.plan import Listed, first_steps, results, shared_steps, steady_groups, workers
from toolkit.sweep.space import LIMIT, Span, Trial, axes_of, refuse_many, trials
from toolkit.sweep.store import Store, read_rows
from toolkit.sweep.table import USUAL, Sweep, assembled
from toolkit.sweep.trial import Material, Task, forget, ready, refuse_forks, remember

if TYPE_CHECKING:
    import pandas as pd

#: The default place of results, under the current folder.
RUNS = Path("runs")
_PACKAGES = ("vhs-toolkit", "numpy", "numba", "av")


def sweep(
    source: Any,
    pipeline: Pipeline,
    space: Mapping[str, Sequence[Any] | Span],
    *,
    truth: Any = None,
    how: Any = "grid",
    count: int | None = None,
    seed: int = 0,
    limit: int = LIMIT,
    goal: str | None = None,
    stop_early: Any = False,
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
    how      : "grid" tries all combinations, "random" `count` of them (`seed` repeats the draw); "optuna" or a sampler
               of Optuna chooses each of `count` by what the others gave, those of an earlier call included.
    limit    : more trials than this are refused.
    goal     : the measure that a search follows; PSNR where there is a truth, else the blind score.
    stop_early : in a search, give up settings that are behind after some of the bursts: True or "median" (behind the
               median of the others), "halving" (successive halving), or a pruner of Optuna.  Their rows say so in
               `stopped_after` (bursts) and never count as the best.
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
    searching = how not in ("grid", "random") and (how == "optuna" or not isinstance(how, str))
    if searching:
        search.needed()
        axes = axes_of(pipeline, space)
        if count is None or count < 1:
            raise RequestError(f"a search of {count} trials", expected="count, at least 1")
        refuse_many(count, limit)
        tried = search.corners(pipeline, axes, limit)
    else:
        if stop_early or goal is not None:
            raise RequestError(
                f"a sweep over a {how} follows no goal and stops no trial early", hint='how="optuna" with count='
            )
        tried = trials(pipeline, space, how=how, count=count, seed=seed, limit=limit)
    if executor is not None:
        refuse_forks(executor)
        with contextlib.suppress(BrokenExecutor):  # said in full where it is waited for
            for _ in range(workers(executor)):  # they start while this process takes the sample
                executor.submit(ready)
    some = _sampled(source, tried, times=times, bursts=bursts, length=length, field_order=field_order)
    clean = None if truth is None else truth if isinstance(truth, Sample) else some.beside(truth)
    scores = _scores(tried, some) if (truth is None if blind is None else blind) else ()
    place = truth.path if isinstance(truth, Clip) else truth
    material = Material.of(some, clean, str(Path(place).absolute()) if isinstance(place, (str, Path)) else None)
    versions = {p: importlib.metadata.version(p) for p in _PACKAGES}
    setting = {
        "frames": material.key, "metrics": list(metrics) if truth is not None else [], "align": align,
        "device": device, "versions": versions,
    }  # fmt: skip
    common = _hash(setting)

    def task(trial: Trial, shared: tuple[int, ...]) -> Task:
        steps = trial.pipeline.to_dict()
        key = _key(common, steps, scores)
        return Task(key, material, steps, shared, tuple(metrics), align, scores, device, tuple(range(len(some.bursts))))

    if searching:
        goal = _goal(goal, _measures(metrics, clean, some, scores))
        choosing = {"how": how, "count": count, "seed": seed, "goal": goal, "stop_early": stop_early}
        search.check(**choosing)
    store = Store(folder if folder is not None else RUNS / common)
    about = {
        "common": common, "source": some.name, "sample": some.origin,
        "truth": material.truth if isinstance(material.truth, str) else None,
        "pipeline": pipeline.to_dict(), **setting, "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    store.describe(about)
    stored = read_rows(store.folder).to_dict("records")
    if searching:
        steady = steady_groups(axes)
        plan: Any = search.Search(
            pipeline, axes, lambda t: task(t, first_steps(t.pipeline, steady)), known=stored, **choosing
        )  # fmt: skip
    else:
        shared = shared_steps([t.pipeline for t in tried])
        # Not of frames in memory, which travel with each task.
        fine = workers(executor) if executor is not None and some.origin is not None else 0
        plan = Listed(tried, [task(t, n) for t, n in zip(tried, shared, strict=True)], stored, fine)
    if executor is None:
        remember(material, some, clean)
    computed = _run(plan, executor, store, on_result, progress or Progress())
    both = plan.rows()
    table = assembled([t for t, _ in both], [row for _, row in both])
    return Sweep(table, tuple(t for t, _ in both), store.folder, some, clean, some.notes, computed, about)


def _run(plan: Any, executor: Executor | None, store: Store, on_result: Any, progress: Progress) -> int:
    """Works through a plan; returns how many trials were run."""
    computed = 0

    def told(trial: Trial, row: dict[str, Any]) -> None:
        progress.step()
        if on_result is not None:
            on_result({**dict(trial.knobs), **row})

    progress.stage("sweep", plan.count)
    try:
        for trial, row in plan.rows():
            told(trial, row)
        for trial, row in results(plan, executor, store.folder):
            if row["error"] is None:
                store.add(row)
            computed += 1
            told(trial, row)
        progress.finish()
    finally:
        progress.close()
        forget()
    return computed


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


def _hash(data: Any) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _key(common: str, steps: dict[str, Any], scores: Iterable[str]) -> str:
    """By which the row of a setting is found again."""
    return _hash([common, steps, *(f"{name} {EDITION}" for name in scores)])


def _of_one_edition(rows: pd.DataFrame, common: str) -> pd.DataFrame:
    """Without rows whose blind scores are those of another edition, where there are rows of this one: nothing may rank
    both together."""
    scored = rows[[name for name in (f"blind_{score}" for score in SCORES) if name in rows]].notna()
    names = [tuple(c.removeprefix("blind_") for c in scored if scored.at[n, c]) for n in rows.index]
    keys = [_key(common, json.loads(steps), of) for steps, of in zip(rows["pipeline"], names, strict=True)]
    ours = np.array([row in (key, search.stopped_key(key)) for row, key in zip(rows["key"], keys, strict=True)], bool)
    if not (ours & scored.any(axis=1)).any():
        return rows
    return rows[ours | ~scored.any(axis=1)].reset_index(drop=True)


def _measures(metrics: tuple[str, ...], clean: Sample | None, some: Sample, scores: tuple[str, ...]) -> list[str]:
    """The names of what a row of this sweep measures."""
    names = [f"blind_{name}" for name in scores] + ["noise", "fps", "seconds", "peak_mib"]
    if clean is None:
        return [*names, "combing"]
    planes = PLANES if clean.format.subsampling is not None and some.format.subsampling is not None else PLANES[:1]
    for metric in metrics:
        more = {"psnr": ["psnr", "psnr_min"], "combing": ["combing", "combing_truth"]}.get(metric, [metric])
        names += ["vmaf"] if metric == "vmaf" else [f"{name}_{plane}" for name in more for plane in planes]
    return names


def _goal(asked: str | None, measures: list[str]) -> str:
    if asked is None:
        return next(name for name in (*USUAL, "noise") if name in measures)
    if asked not in measures:
        raise UnknownName("measure", asked, measures)
    return asked


def open_sweep(folder: str | Path) -> Sweep:
    """The sweep in a folder that `sweep` has written, all of its rows, whoever computed them.

    Rows with blind scores of an earlier edition are left out once there are newer ones.
    Raises `InputMissing` when there is none, `RequestError` when it has no rows yet.
    """
    from toolkit.sweep.store import read_about
    from toolkit.sweep.table import trials_of

    about, rows = read_about(Path(folder)), read_rows(Path(folder))
    if not len(rows):
        raise RequestError(f"the sweep in {folder} has no finished trials yet", hint="run the same sweep again")
    rows = _of_one_edition(rows, about.get("common", ""))
    if "stopped_after" in rows:  # one that was looked at in full since then
        stopped = rows["stopped_after"].notna()
        rows = rows[~(stopped & rows["pipeline"].isin(rows["pipeline"][~stopped]))].reset_index(drop=True)
    found = trials_of(rows["pipeline"])
    return Sweep(assembled(found, rows.to_dict("records")), tuple(found), Path(folder), None, None, (), 0, about)
