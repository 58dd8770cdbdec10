"""Prepares chains once, keeps them, and runs sound through them block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import cachetools
import numpy as np

from toolkit.audio.modes import Chain, chain_of
from toolkit.audio.run import Prepared, Run, SeriesRun
from toolkit.audio.signal import SoundFormat, as_samples
from toolkit.audio.spool import Spool
from toolkit.audio.survey import Survey
from toolkit.errors import RequestError, SoundError

log = logging.getLogger(__name__)
CLIPPED = 0.9999  # of full scale; 16 bits end at 0.99997
CHUNK = 0.5  # s; longer blocks are cut, so that memory does not depend on the caller's


class PreparedChain:
    """A chain built for one sound format; costs nothing to start again."""

    def __init__(self, chain: Chain, sound: SoundFormat):
        from toolkit.audio.fir import Response

        if sum(step.name == "loudness" for step in chain) > 1:
            raise RequestError("the sound chain has the stage loudness twice", expected="once", hint="leave one out")
        self.chain, self.sound = chain, sound
        self.stages: list[Prepared] = []
        self.names: list[str] = []
        now = sound
        for step in chain:
            stage = step.prepare(now)
            if isinstance(stage, Response) and self.stages and isinstance(self.stages[-1], Response):
                self.stages[-1] = self.stages[-1].merge(stage)
                self.names[-1] += "+" + step.name
            else:
                self.stages.append(stage)
                self.names.append(step.name)
            now = stage.output
        for stage in self.stages:
            if isinstance(stage, Response):
                stage.design()
        self.output = now
        self.surveys = frozenset().union(*(stage.surveys for stage in self.stages)) if self.stages else frozenset()


_kept: cachetools.LRUCache = cachetools.LRUCache(maxsize=16)


def prepare(mode: Any, rate: int, layout: str = "stereo") -> PreparedChain:
    """Builds a chain (filters designed, FFmpeg delays measured) or gives back the one built before.

    The last 16 are kept.
    """
    key = (chain_of(mode), SoundFormat(rate, layout))
    found = _kept.get(key)
    if found is None:
        found = _kept[key] = PreparedChain(*key)
    return found


class Cleaner:
    """One track on its way through a chain, block by block.

    Some stages must hear the track before they change it.  While `passes` names a pass, push the whole track through
    `measure` and call `end_pass`; then push it once more through `process` and take the rest with `flush`:

        cleaner = Cleaner("moderate", 48000, "stereo")
        while cleaner.passes:
            for block in track(): cleaner.measure(block)
            cleaner.end_pass()
        for block in track(): out = cleaner.process(block)
        out = cleaner.flush()

    With a `spool` each stage runs once only.  What the stages before a metering one gave waits in the spool, and from
    then on nothing needs the track again:

        cleaner = Cleaner("moderate", 48000, "stereo", Spool())
        while cleaner.passes and not cleaner.can_replay:
            for block in track(): cleaner.measure(block)
            cleaner.end_pass()
        for out in cleaner.replay(): ...            # if cleaner.can_replay, else as above

    What comes out, joined, has as many samples as went in, at the same times.  `output` is the format of the result,
    `report()` says what was found and done.
    """

    def __init__(self, mode: Any, rate: int, layout: str = "stereo", spool: Spool | None = None):
        self.prepared = prepare(mode, rate, layout)
        self.sound, self.output = self.prepared.sound, self.prepared.output
        stages = self.prepared.stages
        self.learned: list[Any] = [None] * len(stages)
        self._pending: list[tuple[str, int]] = [("survey", 0)] if self.prepared.surveys else []
        self._pending += [(self.prepared.names[i], i) for i, stage in enumerate(stages) if stage.meters]
        self.spool = spool
        self._spooled: int | None = None  # the stage whose input the spool holds
        self._survey: Survey | None = None
        self._meter: Any = None
        self._runs: list[Run] = []
        self.mended = self.clipped = self.samples = 0
        self._begin()

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of the passes that are still to be measured."""
        return tuple(name for name, _ in self._pending)

    def measure(self, block: np.ndarray) -> None:
        if not self._pending:
            raise RuntimeError("this Cleaner has no pass left to measure; call process")
        for part in self._parts(block):
            if self._survey is not None:
                self._survey.push(part)
            else:
                self._meter_block(self._series.process(part))

    def _meter_block(self, block: np.ndarray) -> None:
        self._meter.push(block)
        if self.spool is not None:
            self.spool.push(block)

    def end_pass(self) -> None:
        """Ends a measuring pass: whatever the stages wanted to know is worked out."""
        if self._survey is not None:
            self._survey.finish()
            for i, stage in enumerate(self.prepared.stages):
                if stage.surveys:
                    self.learned[i] = stage.learn(self._survey)
        else:
            self._meter_block(self._series.flush())
            self._end_metering()
        del self._pending[0]
        self._begin()

    def _end_metering(self) -> None:
        metered = self._pending[0][1]
        self.learned[metered] = self._meter.result()
        if self.spool is not None and not self.spool.broken:
            self._spooled = metered

    def begin_again(self) -> None:
        """Forgets what the pass under way has heard."""
        if self.spool is not None and self._meter is not None:
            self.spool.empty()
        self._begin()

    @property
    def can_replay(self) -> bool:
        """Whether the rest of the way can be gone without the track."""
        return self._spooled is not None

    def replay(self) -> Iterator[np.ndarray]:
        """Yields the result, from the spool, after whatever passes are left.  The Cleaner is used up then."""
        if not self.can_replay:
            raise RuntimeError("replay needs a spool that was filled by a metering pass")
        while self._pending:
            before, self.spool = self.spool, self.spool.another()
            self._follow(before, self._meter_block)
            before.close()
            if self.spool.broken:
                raise SoundError(
                    "there was room for the sound to wait on disk before its first pass, but not before its second",
                    hint="free some space, or point VHS_TOOLKIT_SCRATCH to another disk",
                )
            self._end_metering()
            del self._pending[0]
            self._begin()
        for block in self.spool:
            out = self._series.process(block)
            if out.shape[1]:
                yield out
        yield self._series.flush()
        self.spool.close()

    def _follow(self, spool: Spool, sink: Callable[[np.ndarray], None]) -> None:
        for block in spool:
            sink(self._series.process(block))
        sink(self._series.flush())

    def process(self, block: np.ndarray) -> np.ndarray:
        """Takes `(channels, n)` and gives what is ready, float32 `(output channels, m)`."""
        self._ready("process")
        parts = [self._series.process(part) for part in self._parts(block)]
        return parts[0] if len(parts) == 1 else np.concatenate([self._nothing(), *parts], axis=1)

    def flush(self) -> np.ndarray:
        """Gives what the filters still hold.  The Cleaner is used up then."""
        self._ready("flush")
        out = self._series.flush()
        return out if out.shape[1] else self._nothing()

    def report(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "samples": self.samples,
            "mended_samples": self.mended,
            "clipped_samples": self.clipped,
        }
        for stage, learned, run in zip(self.prepared.stages, self.learned, self._runs, strict=True):
            out.update(stage.report(learned, run))
        return out

    def _nothing(self) -> np.ndarray:
        return np.zeros((self.output.channels, 0), np.float32)

    def _ready(self, what: str) -> None:
        if self._pending:
            raise RuntimeError(f"{what} before the passes {', '.join(self.passes)} were measured")
        if self.can_replay:
            raise RuntimeError(f"{what} after the track went into the spool; call replay")

    def _begin(self) -> None:
        """Starts the stages that the next pass needs: from the spool's place on, or all."""
        self._survey = self._meter = None
        first = self._spooled or 0
        if not self.can_replay:
            self.mended = self.clipped = self.samples = 0
        if self._pending and self._pending[0][0] == "survey":
            self._survey = Survey(self.sound, self.prepared.surveys)
            return
        stages = self.prepared.stages
        last = self._pending[0][1] if self._pending else len(stages)
        fresh = [stages[i].start(self.learned[i]) for i in range(first, last)]
        self._runs[first:] = fresh  # those before are done; they remember what they found
        self._series = SeriesRun(fresh, (stages[last - 1].output if last else self.sound).channels)
        if self._pending:
            self._meter = stages[last].meter()

    def _parts(self, block: np.ndarray) -> Iterator[np.ndarray]:
        block = as_samples(block, self.sound.channels)
        if not np.isfinite(np.dot(flat := block.ravel(), flat)):  # one multiplication finds any NaN or infinity
            bad = ~np.isfinite(block)
            if bad.any():
                if not self.mended:
                    log.warning("the sound holds samples that are not numbers; they are taken as silence")
                self.mended += int(bad.sum())
                block = np.where(bad, np.float32(0), block)
        if block.shape[1] and max(block.max(), -block.min()) >= CLIPPED:
            self.clipped += int((np.abs(block) >= CLIPPED).sum())
        self.samples += block.shape[1]
        step = round(self.sound.rate * CHUNK)
        if block.shape[1] <= step:
            yield block
        else:
            for first in range(0, block.shape[1], step):
                yield block[:, first : first + step]
