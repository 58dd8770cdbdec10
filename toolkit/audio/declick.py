"""Clicks and short dropouts: found where linear prediction fails in both directions, filled from both sides.

A linear predictor fails first at a click's first sample; run backwards it fails first at the last one.  A click lies
between two such failures in that order.  (The attack of a sound surprises the forward predictor alone, and the
backward one only before it.)  The gap is filled with the samples that make
the prediction error least (Janssen, Veldhuis, Vries 1986): with `b` the autocorrelation of the predictor's
coefficients, the unknown u solve  sum_j b(|i-j|) u_j = - sum over known k of b(|i-k|) x_k.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.sound.clicks import ORDER, repair
from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat


class Declick(Prepared):
    def __init__(self, sound: SoundFormat, threshold: float, longest: float):
        super().__init__(sound)
        self.threshold = threshold
        self.segment = 1 << max(8, round(np.log2(sound.rate * 0.04)))
        self.longest = min(max(4, round(longest / 1000 * sound.rate)), self.segment - 2 * ORDER)

    def start(self, learned: Any = None) -> Run:
        return DeclickRun(self)

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        if not isinstance(run, DeclickRun):
            return {}
        return {"clicks": run.gaps, "clicks_ms": 1000 * run.samples / self.sound.rate / self.sound.channels}


class DeclickRun(Run):
    def __init__(self, prepared: Declick):
        self.p = prepared
        self.fifo = Fifo(prepared.sound.channels)
        self.fifo.pad(prepared.segment)
        self.skip = prepared.segment
        self.taken = self.given = 0
        self.gaps = self.samples = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        self.taken += block.shape[1]
        return self._advance(len(self.fifo) // self.p.segment - 2)

    def flush(self) -> np.ndarray:
        left = self.taken - self.given
        segment = self.p.segment
        count = -(-(left + self.skip) // segment)
        self.fifo.pad(max(0, (count + 2) * segment - len(self.fifo)))
        return self._advance(count)[:, :left]

    def _advance(self, count: int) -> np.ndarray:
        segment = self.p.segment
        if count <= 0:
            return np.zeros((self.p.sound.channels, 0), np.float32)
        for channel in self.fifo.peek():
            gaps, samples = repair(channel, count, segment, self.p.threshold, self.p.longest)
            self.gaps += gaps
            self.samples += samples
        out = self.fifo.take(count * segment)
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        out = out[:, cut:]
        self.given += out.shape[1]
        return out
