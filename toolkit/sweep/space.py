"""Which settings a sweep tries: knobs and their values, as a grid or drawn at random.

{"denoise.strength": [2, 4, 8]}                  a knob of the pipeline's denoiser
{"denoise": ["nlmeans", "hqdn3d", "none"]}       the denoiser itself
{"denoise.nlmeans.patch": Span(1, 3, count=3)}   a knob of one of several, between two values
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kernels.declare import Parameter
from toolkit.errors import KnobError, RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.stages import GROUPS, Stage, Step, in_order, stage

#: More trials than this must be asked for.
LIMIT = 10_000
NONE = ("none", "off", None)


@dataclass(frozen=True)
class Span:
    """Values from `low` to `high`: `count` evenly spaced ones in a grid (evenly in the logarithm for knobs of that
    scale), any at random."""

    low: float
    high: float
    count: int = 5


@dataclass(frozen=True)
class Trial:
    """One setting: the values that were chosen, by key, and the whole pipeline they make."""

    knobs: tuple[tuple[str, Any], ...]
    pipeline: Pipeline


def trials(
    pipeline: Pipeline,
    space: Mapping[str, Sequence[Any] | Span],
    *,
    how: Literal["grid", "random"] = "grid",
    count: int | None = None,
    seed: int = 0,
    limit: int = LIMIT,
) -> list[Trial]:
    """Every setting to try, each once, all checked before any work is done.

    A value that does not apply (a knob of nlmeans in a trial of hqdn3d) is left out of that trial.  Raises
    `UnknownName` for groups, stages and knobs that do not exist, `KnobError` for values out of range, `RequestError`
    for more than `limit` trials.
    """
    axes = axes_of(pipeline, space)
    if how == "grid":
        grid = {key: axis.values() for key, axis in axes.items()}
        size = math.prod(map(len, grid.values()))
        refuse_many(size, limit)
        chosen: Iterator[tuple] = itertools.product(*grid.values())
    elif how == "random":
        if count is None or count < 1:
            raise RequestError(f"a random sweep of {count} trials", expected="count, at least 1")
        refuse_many(count, limit)
        rng = np.random.default_rng(seed)
        chosen = (tuple(axis.draw(rng) for axis in axes.values()) for _ in range(20 * count))
    else:
        raise UnknownName("way to sweep", str(how), ["grid", "random", "optuna"])
    found: dict[Pipeline, Trial] = {}
    for values in chosen:
        trial = made(pipeline, dict(zip(axes, values, strict=True)))
        found.setdefault(trial.pipeline, trial)
        if how == "random" and len(found) == count:
            break
    return list(found.values())


def axes_of(pipeline: Pipeline, space: Mapping[str, Sequence[Any] | Span]) -> dict[str, Axis]:
    """The keys of a space, checked.  Raises as `trials` does."""
    if not space:
        raise RequestError("a sweep of nothing was asked for", expected='for instance {"denoise.strength": [2, 4, 8]}')
    return {key: Axis(key, values, pipeline, space) for key, values in space.items()}


def refuse_many(size: int, limit: int) -> None:
    if size > limit:
        raise RequestError(
            f"this is {size:,} trials", expected=f"at most {limit:,} unless asked for",
            hint=f"limit={size}, or fewer of them drawn at random",
        )  # fmt: skip


class Axis:
    """One key of the space with its values, checked against the stages it can mean."""

    def __init__(self, key: str, values: Any, pipeline: Pipeline, space: Mapping[str, Any]) -> None:
        self.key, self.given = key, values
        group, _, rest = key.partition(".")
        if group not in GROUPS:
            raise UnknownName("group of stages", group, GROUPS)
        self.parameter: Parameter | None = None
        if not isinstance(values, Span):
            if isinstance(values, (str, bytes)) or not isinstance(values, Sequence | np.ndarray) or len(values) == 0:
                raise RequestError(f"{key} is {values!r}", expected="a list of values or a Span")
        if not rest:
            if isinstance(values, Span):
                raise RequestError(f"{key} is {values!r}", expected="a list of stages")
            for value in values:
                chosen_stage(group, value)
            return
        only, _, knob = rest.rpartition(".")
        stages = [stage(f"{group}.{only}")] if only else _candidates(group, pipeline, space)
        owners = [s for s in stages if knob in s.parameters]
        if not owners:
            known = {name for s in stages for name in s.parameters}
            if not stages:
                raise RequestError(f"{key} was asked for, but the pipeline has no {group} step", expected=str(pipeline))
            raise UnknownName(f"knob of {' or '.join(s.name for s in stages)}", knob, known or ["(it has none)"])
        self.parameter = owners[0].parameters[knob]
        if isinstance(values, Span) and (self.parameter.choices or self.parameter.kind in (bool, str)):
            raise KnobError(f"{key} is {values!r}", expected=f"a list of values such as {self.parameter.default!r}")
        for value in (values.low, values.high) if isinstance(values, Span) else values:
            for owner in owners:
                owner(**{knob: plain(value)})

    def values(self) -> list[Any]:
        if not isinstance(self.given, Span):
            return [plain(v) for v in self.given]
        s = self.given
        even = np.geomspace if self.is_log else np.linspace
        return list(dict.fromkeys(self.typed(v) for v in even(s.low, s.high, s.count)))

    def draw(self, rng: np.random.Generator) -> Any:
        s = self.given
        if not isinstance(s, Span):
            return plain(s[int(rng.integers(len(s)))])
        if self.is_log:
            return self.typed(math.exp(rng.uniform(math.log(s.low), math.log(s.high))))
        return self.typed(rng.uniform(s.low, s.high))

    @property
    def is_number(self) -> bool:
        """Whether its values have an order worth knowing."""
        if isinstance(self.given, Span):
            return True
        kinds = {type(plain(v)) for v in self.given}
        return self.parameter is not None and kinds <= {int, float} and len(set(self.given)) > 1

    @property
    def is_log(self) -> bool:
        return bool(self.parameter and self.parameter.knob and self.parameter.knob.scale == "log")

    def ends(self) -> list[Any]:
        """The least and the greatest of numbers, else all values."""
        if isinstance(self.given, Span):
            return [self.typed(self.given.low), self.typed(self.given.high)]
        values = [plain(v) for v in self.given]
        return [min(values), max(values)] if self.is_number else values

    def holds(self, value: Any) -> bool:
        """Whether the knob can have this value here."""
        if isinstance(self.given, Span):
            return self.given.low <= value <= self.given.high
        return any(plain(v) == value for v in self.given)

    def typed(self, value: float) -> Any:
        """A number as the knob takes it."""
        return round(float(value)) if self.parameter.kind is int else round(float(value), 6)


def parse_axis(text: str) -> tuple[str, list[Any] | Span]:
    """ "KEY=VALUE,VALUE" or "KEY=LOW..HIGH[:COUNT]" as a key and its values.  Raises `KnobError`."""
    key, equals, rest = (part.strip() for part in text.partition("="))
    match = re.fullmatch(r"([^.,:]+(?:\.\d+)?)\.\.([^:,]+?)(?::(\d+))?", rest)
    try:
        if match and int(match[3] or 5) >= 1:
            return key, Span(float(match[1]), float(match[2]), int(match[3] or 5))
    except ValueError:
        pass
    values = [parsed for part in rest.split(",") if (parsed := _parsed(part.strip())) != ""]
    if not equals or not key or not values or match:
        raise KnobError(f"{text!r} is not a setting to try", expected="KEY=VALUE,VALUE,... or KEY=LOW..HIGH[:COUNT]")
    return key, values


def parse_times(text: str | None) -> list[float] | None:
    """ "12.5,300" as seconds.  Raises `KnobError`."""
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise KnobError(f"times is {text!r}", expected="seconds, for instance 12.5,300")
    return found


def _parsed(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _candidates(group: str, pipeline: Pipeline, space: Mapping[str, Any]) -> list[Stage]:
    if group in space:
        return [s for s in (chosen_stage(group, v) for v in space[group]) if s is not None]
    return [s.stage for s in pipeline if s.stage.group == group]


def chosen_stage(group: str, value: Any) -> Stage | None:
    if isinstance(value, Step):
        return value.stage
    if value in NONE or (isinstance(value, str) and value.lower() in NONE):
        return None
    return stage(f"{group}.{value}")


def made(pipeline: Pipeline, chosen: Mapping[str, Any]) -> Trial:
    """The pipeline with `chosen` set; what does not apply is dropped."""
    steps, applied = list(pipeline), dict(chosen)
    for group in (k for k in chosen if "." not in k):
        steps = _with_stage(steps, group, chosen[group])
        if isinstance(chosen[group], Step):
            applied[group] = repr(chosen[group])
    for key, value in chosen.items():
        if "." not in key:
            continue
        at = places(steps, key)
        if not at:
            del applied[key]
            continue
        for i in at:
            steps[i] = steps[i].stage(**{**steps[i].knobs, key.rpartition(".")[2]: value})
    return Trial(tuple(applied.items()), Pipeline(steps))


def places(steps: Sequence[Step], key: str) -> list[int]:
    """Which steps have the knob that `key` names."""
    group, _, rest = key.partition(".")
    only, _, knob = rest.rpartition(".")
    return [
        i for i, s in enumerate(steps)
        if s.stage.group == group and knob in s.stage.parameters and only in ("", s.name.partition(".")[2])
    ]  # fmt: skip


def _with_stage(steps: list[Step], group: str, value: Any) -> list[Step]:
    """`steps` with another stage in the place of those of `group`; one that was there already keeps its knobs."""
    before = [s for s in steps if s.stage.group == group]
    found = chosen_stage(group, value)
    if found is None:
        new = []
    elif isinstance(value, Step):
        new = [value]
    else:
        new = [next((s for s in before if s.stage is found), None) or found()]
    by_group = {g: [s for s in steps if s.stage.group == g] for g in GROUPS} | {group: new}
    return in_order(s for g in GROUPS for s in by_group[g])
