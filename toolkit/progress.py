"""One object that says how far a run is: in a terminal, in a notebook, or as JSON lines for programs.

Updates are counted at once but looked at no more than every 0.5 s and shown no more than once a second, so 60 frames
a second cost next to nothing.  A change of stage and the end are always shown.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Snapshot:
    """How far a run is.  `left` is seconds, None while it cannot be told; `total` None when unknown.

    whole : share of the whole run that is done, 0 to 1, by the stages' weights; None where they were not told.
    """

    stage: str
    done: int
    total: int | None
    per_second: float
    elapsed: float
    left: float | None
    finished: bool = False
    whole: float | None = None


class Progress:
    """Counts frames and shows snapshots through `sink`, throttled.

    weights : the stages in their order, each with its share of the work in any unit.
    update : least seconds between two looks at the clock's consequences; draw : least seconds between two drawings.
    """

    def __init__(
        self,
        sink: Callable[[Snapshot], None] = lambda snapshot: None,
        *,
        update: float = 0.5,
        draw: float = 1.0,
        weights: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._update, self._draw, self._clock = sink, update, draw, clock
        self._start = self._stage_start = self._looked = clock()
        self._drawn = float("-inf")
        self._weights, self._behind = dict(weights or {}), 0.0
        self._stage, self._done, self._total, self._earlier = "", 0, None, 0
        self._shown = 0

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Tells the stages to come, each with its share of the work, unless they were told already."""
        self._weights = self._weights or dict(weights)

    def stage(self, name: str, total: int | None = None, done: int = 0) -> None:
        """Begins a stage of `total` frames (None: unknown), `done` of them by an earlier run.  Always shown.

        The last count of the stage that it ends is shown, too: else its bar would stay where the throttle left it.
        """
        if self._done != self._shown:
            self._show(force=True)
        self._stage, self._done, self._total, self._earlier = name, done, total, done
        self._stage_start = self._clock()
        if name in self._weights:  # those before it are done or were left out
            self._behind = sum(list(self._weights.values())[: list(self._weights).index(name)])
        self._show(force=True)

    def step(self, count: int = 1) -> None:
        """Counts `count` more frames of the current stage."""
        self._done += count
        now = self._clock()
        if now - self._looked >= self._update:
            self._looked = now
            self._show()

    def finish(self) -> None:
        """Ends the run.  Always shown, at 100 % when the stage's total was reached."""
        self._show(force=True, finished=True)

    def close(self) -> None:
        """Ends the display where it stands, for a run that failed."""
        close = getattr(self._sink, "close", None)
        if close is not None:
            close()

    def snapshot(self, finished: bool = False) -> Snapshot:
        now = self._clock()
        spent = now - self._stage_start
        speed = (self._done - self._earlier) / spent if spent > 0 else 0.0
        left = None
        if self._total is not None and speed > 0:
            left = max(self._total - self._done, 0) / speed
        whole = self._whole(finished)
        return Snapshot(self._stage, self._done, self._total, speed, now - self._start, left, finished, whole)

    def _whole(self, finished: bool) -> float | None:
        if not self._weights:
            return None
        if finished:
            return 1.0
        part = min(self._done / self._total, 1.0) if self._total else 0.0
        return (self._behind + part * self._weights.get(self._stage, 0.0)) / sum(self._weights.values())

    def _show(self, force: bool = False, finished: bool = False) -> None:
        now = self._clock()
        if force or now - self._drawn >= self._draw:
            self._drawn, self._shown = now, self._done
            self._sink(self.snapshot(finished))


class BarSink:
    """A tqdm bar: text in a terminal, a widget in a notebook."""

    def __init__(self, file: IO[str] | None = None, unit: str = " frames") -> None:
        self._bar: Any = None
        self._file, self._unit = file, unit

    def __call__(self, s: Snapshot) -> None:
        if self._bar is None or self._bar.desc.rstrip(": ") != s.stage:
            self.close()
            if not s.stage or s.finished or (s.total is None and not s.done):
                return  # nothing to count yet
            if self._file is None and "ipykernel" in sys.modules:
                from tqdm.notebook import tqdm
            else:
                from tqdm import tqdm
            self._bar = tqdm(
                total=s.total,
                desc=s.stage,
                unit=self._unit,
                mininterval=0,
                file=self._file,
                dynamic_ncols=True,
                leave=True,
            )
        self._bar.n = s.done
        self._bar.refresh()
        if s.finished:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class JsonSink:
    """One JSON object a line, one line a second, for programs: {"event": "progress", "stage": ..., "done": ...}."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file or sys.stdout

    def __call__(self, s: Snapshot) -> None:
        numbers = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(s).items()}
        print(json.dumps({"event": "progress", **numbers}), file=self._file, flush=True)
