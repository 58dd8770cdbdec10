"""What a step needs to go on in the middle of a tape exactly as if it had begun at the start.

A step that looks at neighbours (`halo`) needs so many frames ahead of the first one that counts; a recursive step
needs its state.  `reach` and `lead_in` say how many, `Memory` brings the state in and keeps those with which later runs
may begin.

Counted in the step's own input frames: to give frames from F on, a step of rate r and halo h needs frames from
F / r - h on.  Going back through the pipeline this says where each step must begin, and, at the front, where to read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError

State = list[np.ndarray | None]


def recursive_steps(steps: Sequence[Any]) -> tuple[int, ...]:
    """The numbers of the steps whose results depend on all frames before."""
    return tuple(n for n, step in enumerate(steps) if step.stage.recursive(step.knobs))


def whole_rate(step: Any, fmt: PictureFormat) -> int:
    """The rate of a step that is looked at frame by frame.  Raises `PictureError` where frames have no one result."""
    rate = step.stage.rate(fmt, step.knobs)
    if rate != int(rate):
        raise PictureError(
            f"{step.name} makes {rate.numerator} frames out of {rate.denominator}, so single frames have no result",
            expected="a step that gives one or two frames for each",
            hint="judge the picture with another deinterlacer, then run the tape with this one",
        )
    return int(rate)


def rates_of(steps: Sequence[Any], fmt: PictureFormat) -> list[int]:
    """How many frames each step makes of one that it is given, the first being given frames of `fmt`.

    Raises `PictureError` where a step makes a fraction.
    """
    rates = []
    for step in steps:
        rates.append(whole_rate(step, fmt))
        fmt = step.stage.format_after(fmt, step.knobs)
    return rates


def reach(steps: Sequence[Any], rates: Sequence[int], settle: int = 0) -> list[tuple[int, int]]:
    """How many frames before and after those that count each step must be given, in its own input frames.

    settle : so many more before a recursive step, which then begins without a state.

    One entry more than there are steps: the last is the result itself, (0, 0).
    """
    found = [(0, 0)]
    for step, rate in zip(reversed(steps), reversed(rates), strict=True):
        before, after = (-(-n // rate) + step.stage.halo(step.knobs) for n in found[0])
        found.insert(0, (before + (settle if step.stage.recursive(step.knobs) else 0), after))
    return found


def lead_in(steps: Sequence[Any], formats: Sequence[PictureFormat], frame: int, warm_up: int = 0) -> list[int]:
    """For a result from tape frame `frame` on: the first frame each step must see, in its own input frames.

    warm_up : so many frames more for recursive steps, which then begin without a state.

    One entry more than there are steps: the last is the first frame of the result.
    """
    rates = [s.stage.rate(f, s.knobs) for s, f in zip(steps, formats, strict=False)]
    firsts = [int(frame * math.prod(rates))]
    at = firsts[0]
    for step, rate in zip(reversed(steps), reversed(rates), strict=True):
        settle = warm_up if step.stage.recursive(step.knobs) else 0
        whole = Fraction(rate).denominator  # a step that makes groups of frames must begin with a whole one
        at = max(0, (at // rate - step.stage.halo(step.knobs) - settle) // whole * whole)
        firsts.insert(0, at)
    return firsts


class Memory:
    """One step's part in it.

    first : number of the first frame that reaches the step.
    state : the state before that frame, None at the beginning of the tape.
    keep  : frame numbers, rising, before which the state is to be kept; `kept[number]` holds it from then on.
    skip  : so many of the step's first results are dropped, because they lacked neighbours.
    """

    def __init__(self, first: int, state: State | None, keep: Iterator[int], skip: int) -> None:
        self.at, self.state, self._skip = first, state, skip
        self._keep = (k for k in keep if k > first)
        self._due = next(self._keep, None)
        self.kept: dict[int, State] = {}

    def begin(self, device: str) -> State | None:
        """The state to begin with, on `device`."""
        if self.state is None or device == "cpu":
            return self.state
        import cupy

        return [s if s is None else cupy.asarray(s) for s in self.state]

    def pieces(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same frames, cut where a state is to be kept."""
        for batch in batches:
            at = 0
            while at < len(batch):
                stop = len(batch)
                if self._due is not None and self._due - self.at < stop - at:
                    stop = at + self._due - self.at
                yield batch[at:stop]
                at = stop

    def passed(self, count: int, state: State) -> None:
        """`count` more frames went through and left `state`."""
        self.at += count
        if self.at == self._due:
            self._due = next(self._keep, None)
            self.kept[self.at] = [s if s is None or isinstance(s, np.ndarray) else s.get() for s in state]

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The step's results without the first ones, which lacked neighbours."""
        for batch in batches:
            skip = min(self._skip, len(batch))
            self._skip -= skip
            if skip < len(batch):
                yield batch[skip:] if skip else batch
