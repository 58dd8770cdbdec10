"""What a stage is once it is built (`Prepared`) and once sound runs through it (`Run`).

Every run keeps time by one rule: the samples it gives back, joined, are as many as it was given and stand where they
stood.  Filters that look ahead hold samples back and give them on `flush`; nobody counts delays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.audio.signal import SoundFormat


class Run:
    """One stream going through one stage."""

    def process(self, block: np.ndarray) -> np.ndarray:
        """Takes `(channels, n)` and gives what is ready, which may be less, more or nothing."""
        raise NotImplementedError

    def flush(self) -> np.ndarray:
        """Gives the rest."""
        raise NotImplementedError


class Prepared:
    """A stage built for one format: filters designed, windows made; shared by any number of runs.

    surveys : what the stage wants to know of the whole track, as it came ("hum", "channels").
    meters  : the stage wants one pass over its own input, behind the stages before it.
    """

    surveys: frozenset[str] = frozenset()
    meters = False

    def __init__(self, sound: SoundFormat, output: SoundFormat | None = None):
        self.sound = sound
        self.output = output or sound

    def learn(self, survey: Any) -> Any:
        """What the stage keeps of the survey."""
        return None

    def meter(self) -> Any:
        """An object with `push(block)` and `result() -> learned` for stages that meter their input."""
        raise NotImplementedError

    def start(self, learned: Any = None) -> Run:
        """A fresh run over the track from its beginning."""
        raise NotImplementedError

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        """What was found and done, for the report."""
        return {}


class PassRun(Run):
    """Gives back what it gets."""

    def process(self, block: np.ndarray) -> np.ndarray:
        return block

    def flush(self) -> np.ndarray:
        return np.zeros((0, 0), np.float32)


class Pass(Prepared):
    """A stage with nothing to do for this format."""

    def start(self, learned: Any = None) -> Run:
        return PassRun()


class SeriesRun(Run):
    """Runs one after the other; flushing drains each through the rest."""

    def __init__(self, runs: list[Run], channels: int):
        self.runs, self.channels = runs, channels

    def process(self, block: np.ndarray) -> np.ndarray:
        for run in self.runs:
            if block.shape[1] == 0:
                break
            block = run.process(block)
        return block if block.shape[1] else np.zeros((self.channels, 0), np.float32)

    def flush(self) -> np.ndarray:
        rest: np.ndarray | None = None
        for run in self.runs:
            parts = [] if rest is None or rest.shape[1] == 0 else [run.process(rest)]
            parts = [p for p in (*parts, run.flush()) if p.shape[1]]
            rest = np.concatenate(parts, axis=1) if parts else None
        return np.zeros((self.channels, 0), np.float32) if rest is None else rest
