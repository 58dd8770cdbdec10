"""Searches: the next setting is chosen by what the last ones gave, and hopeless ones are given up after a burst.

Optuna (T. Akiba and others, "Optuna: a next-generation hyperparameter optimization framework", KDD 2019) proposes and
gives up; what is tried is known only to its study in memory.  The rows on disk are what lasts: a search that goes on
tells a new study of them.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.stages import Step
from toolkit.sweep.parts import Part
from toolkit.sweep.space import Axis, Span, Trial, chosen_stage, made, places, plain, refuse_many
from toolkit.sweep.table import BETTER, more_is_better
from toolkit.sweep.trial import Outcome, Task, finished

if TYPE_CHECKING:
    import optuna

#: Proposals in a row that were tried already: after so many any other is drawn, after so many the space is exhausted.
DRAW, PATIENCE = 8, 60
#: Trials looked at in full before any is given up, and trials drawn at random before the sampler is trusted.
FIRST = 4


class Search:
    """The trials of a search, one after the other: `next` proposes, `took` learns.

    make  : makes the task of a setting.
    known : rows of the folder; those of this space are learnt from, and count.
    """

    ahead = 1  # a setting chosen before the others have come is chosen blindly

    def __init__(
        self,
        pipeline: Pipeline,
        axes: Mapping[str, Axis],
        make: Callable[[Trial], Task],
        *,
        how: Any,
        count: int,
        seed: int,
        goal: str,
        stop_early: Any,
        known: list[dict[str, Any]],
    ) -> None:
        self.pipeline, self.axes, self._make, self.count, self.goal = pipeline, axes, make, count, goal
        self._tried: list[tuple[Trial, dict[str, Any]]] = []
        self._spaces = {key: _distribution(axis) for key, axis in axes.items()}
        self._values: dict[Pipeline, dict[int, float]] = {}  # goal by bursts looked at
        self._stopped: set[Pipeline] = set()
        self._open: dict[str, tuple[optuna.Trial, Trial, list[Part], dict[str, list[float]]]] = {}
        self._again: deque[Task] = deque()
        found = [(trial, row) for row in known if (trial := self._recognised(row)) is not None]
        self._study = _study(how, seed + len(found), count, goal, stop_early)
        self._early, self._rng = bool(stop_early), np.random.default_rng(seed + len(found))
        for trial, row in found:
            self._learn(trial, row)

    def rows(self) -> list[tuple[Trial, dict[str, Any]]]:
        """The settings with their rows, in the order in which they came."""
        return list(self._tried)

    def next(self) -> Task | None:
        """The next task, None when there is none for now."""
        if self._again:
            return self._again.popleft()
        for n in range(PATIENCE if len(self._tried) + len(self._open) < self.count else 0):
            if n >= DRAW:
                self._study.enqueue_trial({key: self._drawn(key) for key in self.axes})
            asked = self._study.ask()
            trial = self._proposed(asked)
            task = self._make(trial)
            if task.key in self._open:
                self._study.tell(asked, state=_state("FAIL"))
            elif trial.pipeline in self._values:
                for step, value in self._values[trial.pipeline].items():
                    asked.report(_finite(value), step)
                self._tell(asked, trial.pipeline)
            else:
                self._open[task.key] = asked, trial, [], {}
                return replace(task, bursts=task.bursts[:1]) if self._early else task
        return None

    def took(self, task: Task, outcome: Outcome) -> tuple[Trial, dict[str, Any]] | None:
        """The setting and its row, or None when it goes on with the next burst."""
        asked, trial, parts, course = self._open[task.key]
        last = self._make(trial).bursts[-1]
        row: dict[str, Any] = {}
        for part in outcome.parts:
            parts.append(part)
            row = finished(task, parts)
            if row["error"] is None:
                for name, value in row.items():
                    if name.startswith(tuple(BETTER)):
                        course.setdefault(name, []).append(value)
                asked.report(_finite(row[self.goal]), step=len(parts))
        if outcome.error is not None:
            row = finished(task, parts, outcome.error)
        on = row["error"] is None and parts[-1].number != last
        if on and (math.isnan(row[self.goal]) or not asked.should_prune()):  # NaN: nothing can be said yet
            self._again.append(replace(task, bursts=(parts[-1].number + 1,)))
            return None
        del self._open[task.key]
        if row["error"] is not None:
            self._study.tell(asked, state=_state("FAIL"))
            self._values[trial.pipeline] = {}
        else:
            row["by_burst"] = json.dumps(course)
            if on:
                row["stopped_after"] = len(parts)
                row["key"] = stopped_key(task.key)
                self._stopped.add(trial.pipeline)
            self._values[trial.pipeline] = dict(enumerate(course[self.goal], 1))
            self._tell(asked, trial.pipeline)
        self._tried.append((trial, row))
        return trial, row

    def _tell(self, asked: optuna.Trial, pipeline: Pipeline) -> None:
        """Ends a trial of the study with what is known of its pipeline."""
        values = self._values[pipeline]
        final = values[max(values)] if values else math.nan
        if math.isnan(final):
            self._study.tell(asked, state=_state("FAIL"))
        elif pipeline in self._stopped:
            self._study.tell(asked, state=_state("PRUNED"))
        else:
            self._study.tell(asked, _finite(final))

    def _proposed(self, asked: optuna.Trial) -> Trial:
        stages = {key: self._suggested(asked, key) for key in self.axes if "." not in key}
        steps = made(self.pipeline, stages).pipeline
        knobs = {key: self._suggested(asked, key) for key in self.axes if "." in key and places(steps, key)}
        return made(self.pipeline, {key: (stages | knobs)[key] for key in self.axes if key in stages | knobs})

    def _suggested(self, asked: optuna.Trial, key: str) -> Any:
        space, values = self._spaces[key]
        value = _suggest(asked, key, space)
        return self.axes[key].typed(value) if values is None else values[value]

    def _drawn(self, key: str) -> Any:
        values = self._spaces[key][1]
        return self.axes[key].draw(self._rng) if values is None else int(self._rng.integers(len(values)))

    # What an earlier call has left

    def _recognised(self, row: dict[str, Any]) -> Trial | None:
        """The setting of a stored row when it is one of this search."""
        pipeline = Pipeline.from_dict(json.loads(row["pipeline"]))
        chosen = choice_of(self.axes, self.pipeline, pipeline)
        if chosen is None:
            return None
        trial = made(self.pipeline, {key: chosen[key] for key in self.axes if key in chosen})
        key = self._make(trial).key
        if row["key"] not in (key, stopped_key(key)) or row.get(self.goal) is None or math.isnan(row[self.goal]):
            return None
        return trial

    def _learn(self, trial: Trial, row: dict[str, Any]) -> None:
        import optuna

        course = json.loads(row["by_burst"]).get(self.goal, []) if isinstance(row.get("by_burst"), str) else []
        stopped = row["key"] != self._make(trial).key
        self._values[trial.pipeline] = dict(enumerate(course, 1)) or {1: row[self.goal]}
        if stopped:
            self._stopped.add(trial.pipeline)
        chosen = choice_of(self.axes, self.pipeline, trial.pipeline) or {}
        spaces = {key: self._spaces[key] for key in chosen}
        params = {key: value if spaces[key][1] is None else spaces[key][1].index(value)
                  for key, value in chosen.items()}  # fmt: skip
        self._study.add_trial(
            optuna.trial.create_trial(
                state=_state("PRUNED" if stopped else "COMPLETE"), value=_finite(row[self.goal]), params=params,
                distributions={key: space for key, (space, _) in spaces.items()},
                intermediate_values=dict(enumerate(map(_finite, course), 1)),
            )
        )  # fmt: skip
        self._tried.append((trial, row))


def corners(pipeline: Pipeline, axes: Mapping[str, Axis], limit: int) -> list[Trial]:
    """Settings that stand for a whole space: every stage and every choice, with all numbers low and all high.

    What they look at around a frame, and in which groups they differ, is what all settings do.
    """
    ends = {key: axis.ends() for key, axis in axes.items()}
    numbers = [key for key, axis in axes.items() if axis.is_number]
    others = [key for key in axes if key not in numbers]
    refuse_many(2 * math.prod(len(ends[key]) for key in others), limit)
    found: dict[Pipeline, Trial] = {}
    for chosen in itertools.product(*(ends[key] for key in others)):
        for end in (0, -1):
            values = dict(zip(others, chosen, strict=True)) | {key: ends[key][end] for key in numbers}
            trial = made(pipeline, {key: values[key] for key in axes})
            found.setdefault(trial.pipeline, trial)
    return list(found.values())


def choice_of(axes: Mapping[str, Axis], pipeline: Pipeline, found: Pipeline) -> dict[str, Any] | None:
    """The values by key that make `found` out of `pipeline`, None when the space does not hold it."""
    groups = [key for key in axes if "." not in key]
    stages: list[list[Any]] = []
    for group in groups:
        there = {s.stage for s in found if s.stage.group == group}
        fitting = [v for v in axes[group].given if {chosen_stage(group, v)} - {None} == there]
        stages.append([v if isinstance(v, Step) else plain(v) for v in fitting])
    knobs: dict[str, Any] = {}
    for key in (k for k in axes if "." in k):
        values = {found[i].knobs[key.rpartition(".")[2]] for i in places(found, key)}
        if len(values) > 1 or not all(map(axes[key].holds, values)):
            return None
        if values:
            knobs[key] = values.pop()
    for picked in itertools.product(*stages):
        chosen = dict(zip(groups, picked, strict=True)) | knobs
        if made(pipeline, {key: chosen[key] for key in axes if key in chosen}).pipeline == found:
            return chosen
    return None


def stopped_key(key: str) -> str:
    """The key of a row that stands for a few bursts only, so that it never passes for the whole."""
    return f"{key}-stopped"


def check(*, how: Any, count: int, seed: int, goal: str, stop_early: Any) -> None:
    """Raises `RequestError` for what cannot choose settings, or give them up."""
    _study(how, seed, count, goal, stop_early)


def needed() -> Any:
    """The package optuna.  Raises `RequestError` where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise RequestError(
            "a search needs the package optuna, which is not installed", hint="pip install vhs-toolkit[search]"
        ) from None
    return optuna


def _finite(value: float) -> float:
    """The PSNR of a perfect result is infinite, which has no median with others."""
    return float(np.clip(value, -1e4, 1e4))  # NaN stays


def _state(name: str) -> Any:
    return needed().trial.TrialState[name]


def _distribution(axis: Axis) -> tuple[Any, list[Any] | None]:
    """What Optuna draws from, and the values that its numbers stand for (None: the numbers themselves)."""
    d = needed().distributions
    if isinstance(axis.given, Span):
        low, high = axis.ends()
        kind = d.IntDistribution if axis.parameter.kind is int else d.FloatDistribution
        return kind(low, high, log=axis.is_log), None
    values = [v if isinstance(v, Step) else plain(v) for v in axis.given]
    values = [v for n, v in enumerate(values) if v not in values[:n]]
    if axis.is_number:  # in order, so that neighbours are known for such
        return d.IntDistribution(0, len(values) - 1), sorted(values)
    return d.CategoricalDistribution(list(range(len(values)))), values


def _suggest(asked: optuna.Trial, key: str, space: Any) -> Any:
    d = needed().distributions
    if isinstance(space, d.CategoricalDistribution):
        return asked.suggest_categorical(key, space.choices)
    if isinstance(space, d.IntDistribution):
        return asked.suggest_int(key, space.low, space.high, log=space.log)
    return asked.suggest_float(key, space.low, space.high, log=space.log)


def _study(how: Any, seed: int, count: int, goal: str, stop_early: Any) -> optuna.Study:
    optuna = needed()
    if how == "optuna":
        how = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(FIRST, min(10, count // 3)))
    ends_itself = (optuna.samplers.GridSampler, optuna.samplers.BruteForceSampler)
    if not isinstance(how, optuna.samplers.BaseSampler) or isinstance(how, ends_itself):
        raise RequestError(
            f"{how!r} cannot choose settings here",
            expected='"optuna" or a sampler that goes on as long as it is asked',
            hint='how="grid" for all combinations',
        )
    pruners = {
        False: optuna.pruners.NopPruner,
        True: lambda: optuna.pruners.MedianPruner(n_startup_trials=FIRST),
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=FIRST),
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    }
    if isinstance(stop_early, (bool, str)):
        if stop_early not in pruners:
            raise UnknownName("way to stop early", stop_early, ["median", "halving"])
        stop_early = pruners[stop_early]()
    elif not isinstance(stop_early, optuna.pruners.BasePruner):
        raise RequestError(f"stop_early is {stop_early!r}", expected='True, "median", "halving" or a pruner of Optuna')
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce each study
    try:
        direction = "maximize" if more_is_better(goal) else "minimize"
        return optuna.create_study(sampler=how, pruner=stop_early, direction=direction)
    finally:
        optuna.logging.set_verbosity(loud)
