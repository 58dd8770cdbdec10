"""What is left of a sweep and who works on it: trials known beforehand, and the executor that runs them.

A plan (`Listed`, or `search.Search`) gives tasks and takes what they gave:

    count  : how many trials there will be; `ahead` how many tasks wait at each worker.
    next() : a task, None when there is none for now.
    took(task, outcome) : the setting and its row, None when the trial goes on.
    rows() : settings and rows so far, also those found in the folder.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.errors import WorkError
from toolkit.pipeline import Pipeline
from toolkit.stages import GROUPS
from toolkit.sweep.parts import Part
from toolkit.sweep.space import Axis, Span, Trial
from toolkit.sweep.trial import Outcome, Task, finished, run_bursts


class Listed:
    """Trials that are known beforehand.  `next` gives those that the folder does not hold."""

    ahead = 2  # tasks that wait at each worker: none is idle, and a sample in memory does not pile up

    def __init__(
        self, tried: list[Trial], tasks: list[Task], stored: list[dict[str, Any]], fine: int = 0
    ) -> None:  # fmt: skip
        """`fine`: so many of the last are handed out burst by burst, so that no worker waits long for another."""
        self.count, self._tasks = len(tasks), tasks
        self._trials = {task.key: trial for task, trial in zip(tasks, tried, strict=True)}
        self._rows = {row["key"]: row for row in stored if row["key"] in self._trials}
        self._parts: dict[str, list[Part]] = {}
        # In the order asked for, but pipelines that begin alike follow each other, so that what they share is at hand.
        seen: dict[str, int] = {}
        left = sorted(
            (t for t in tasks if t.key not in self._rows),
            key=lambda t: [seen.setdefault(json.dumps(s), len(seen)) for s in t.pipeline["steps"]],
        )
        whole = max(0, len(left) - fine)
        self._left = iter([*left[:whole], *(replace(t, bursts=(n,)) for t in left[whole:] for n in t.bursts)])
        self._wanted = {t.key: len(t.bursts) for t in left}

    def next(self) -> Task | None:
        return next(self._left, None)

    def took(self, task: Task, outcome: Outcome) -> tuple[Trial, dict[str, Any]] | None:
        parts = self._parts.setdefault(task.key, [])
        parts += outcome.parts
        if task.key in self._rows or (outcome.error is None and len(parts) < self._wanted[task.key]):
            return None  # another of its bursts has failed, or is not there yet
        row = self._rows[task.key] = finished(task, parts, outcome.error)
        return self._trials[task.key], row

    def rows(self) -> list[tuple[Trial, dict[str, Any]]]:
        """The settings with their rows, those that there are."""
        return [(self._trials[t.key], self._rows[t.key]) for t in self._tasks if t.key in self._rows]


def workers(executor: Executor) -> int:
    """How many tasks an executor works on at once, as far as it tells."""
    return getattr(executor, "_max_workers", None) or 8


def results(plan: Any, executor: Executor | None, folder: Path) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Settings and rows as they come.  Closing the iterator cancels what has not begun."""
    if executor is None:
        while (task := plan.next()) is not None:
            taken = plan.took(task, run_bursts(task))
            if taken is not None:
                yield taken
        return
    running: dict[Future, Task] = {}
    ahead = plan.ahead * workers(executor)
    try:
        while True:
            while len(running) < ahead and (task := plan.next()) is not None:
                running[executor.submit(run_bursts, task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                taken = plan.took(running.pop(future), future.result())
                if taken is not None:
                    yield taken
    except BrokenExecutor as error:
        raise WorkError(
            f"a worker of the sweep died ({error})", files=f"the rows that were finished are kept in {folder}",
            hint="the same sweep again goes on from there; fewer workers if memory ran out; in a script, start sweeps "
            'under `if __name__ == "__main__":`',
        ) from error  # fmt: skip
    finally:
        for future in running:
            future.cancel()


def shared_steps(pipelines: list[Pipeline]) -> list[tuple[int, ...]]:
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


def steady_groups(axes: Mapping[str, Axis]) -> set[str]:
    """Groups of stages that are the same, or one of a few, in all trials of a search."""
    return set(GROUPS) - {key.partition(".")[0] for key, axis in axes.items() if isinstance(axis.given, Span)}


def first_steps(pipeline: Pipeline, steady: set[str]) -> tuple[int, ...]:
    """The numbers of first steps that other trials of a search may begin with."""
    same = list(itertools.takewhile(lambda step: step.stage.group in steady, pipeline))
    return tuple(range(1, len(same) + 1)) if len(same) < len(pipeline) else tuple(range(1, len(same)))
