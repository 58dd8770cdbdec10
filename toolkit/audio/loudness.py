"""Loudness normalising in two passes: what the first measured decides the whole gain curve of the second.

The curve is one gain, a slow ride where the loudness range is too wide, and the limiter.  Since power and peak of
every 2 ms are known, the loudness behind the limiter can be reckoned for any gain, and the gain is the one whose
limited result meets the target.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from toolkit.audio import meter as M
from toolkit.audio.limiter import apply_gain, ceiling_of, held, release_of, smooth
from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat, decibels

log = logging.getLogger(__name__)
#: More than this is never added: what lies so low is noise.
MOST_GAIN = 40.0
RELEASE = 60.0  # ms


@dataclass(frozen=True, eq=False)
class Plan:
    """The gain at each cell edge, and what it is expected to do."""

    edges: np.ndarray
    cell: int
    before: dict[str, float]
    expected: float
    gain: float


@njit(cache=True, nogil=True)
def _needed(peaks, ride, per_cell, gain, ceiling, out):
    """Limiter gain that each cell asks for."""
    for b in range(len(peaks)):
        x = min(b * per_cell, len(ride) - 1.0)
        i = min(int(x), len(ride) - 2)
        g = gain * (ride[i] + (ride[i + 1] - ride[i]) * (x - i))
        top = M.decode(peaks[b], 20.0) * g
        out[b] = 1.0 if top <= ceiling else ceiling / top


@njit(cache=True, nogil=True)
def _edges(limited, ride, per_cell, gain, out):
    """Whole gain at each cell edge."""
    n = len(limited)
    for b in range(n + 1):
        low = min(limited[max(b - 1, 0)], limited[min(b, n - 1)])
        x = min(b * per_cell, len(ride) - 1.0)
        i = min(int(x), len(ride) - 2)
        out[b] = low * gain * (ride[i] + (ride[i + 1] - ride[i]) * (x - i))


@njit(cache=True, nogil=True)
def _powers_after(codes, edges, hops):
    """Mean power of each 100 ms behind the gain."""
    out = np.zeros(len(hops) - 1)
    for h in range(len(out)):
        for k in range(hops[h], hops[h + 1]):
            a, b = edges[k], edges[k + 1]
            out[h] += M.decode(codes[k], 10.0) * (a * a + a * b + b * b) / 3
        out[h] /= max(hops[h + 1] - hops[h], 1)
    return out


def ride_of(hops: np.ndarray, widest: float) -> np.ndarray:
    """Slow gain (linear, one per 100 ms) that brings the loudness range to at most `widest` LU.

    Short-term loudness is drawn towards its loud end; below the gate, where there is only noise, the gain goes back.
    """
    ride = np.ones(max(len(hops), 2))
    now = M.loudness_range(hops)
    if now <= widest or len(hops) < 30:
        return ride
    window = np.hanning(32)[1:-1]
    level = np.convolve(np.pad(hops, 15, mode="edge"), window / window.sum(), "same")[15:-15]
    level = 10 * np.log10(np.maximum(level, 1e-12))
    voiced = level[level > 10 * np.log10(np.mean(hops[hops > M.power_of(-70)])) - 20]
    top, gate = np.percentile(voiced, 95), voiced.min()
    keep = 1.0
    for _ in range(12):
        keep *= 0.98 * widest / now
        lift = (1 - keep) * np.clip(top - level, 0, top - gate)
        lift *= np.clip(1 - (gate - level) / 10, 0, 1)
        ride = 10 ** (lift / 20)
        now = M.loudness_range(hops * ride**2)
        if now <= widest:
            break
    return ride


def plan(history: M.History, target: float, peak: float, widest: float) -> Plan:
    """The gain curve that meets the target; silence gets a gain of 1."""
    hops = history.hops()
    if history.samples < 0.4 * history.rate:
        edges_of_hops = np.array([0, len(history.powers)])
        loudness = lambda powers: M.lufs(float(powers.mean()))  # noqa: E731
    else:
        edges_of_hops = history.edges()
        loudness = M.integrated
    before = {"integrated": history.integrated, "range": history.range, "true_peak": history.true_peak}
    cells = len(history.powers)
    if not math.isfinite(before["integrated"]):
        return Plan(np.ones(cells + 1, np.float32), history.cell, before, -math.inf, 0.0)
    ride = ride_of(hops, widest)
    per_cell = history.cell * 10 / history.rate
    ceiling, release = ceiling_of(peak), release_of(RELEASE)
    needed, gains = np.empty(cells, np.float32), np.empty(cells, np.float32)
    edges = np.empty(cells + 1, np.float32)
    gain = min(target - before["integrated"], MOST_GAIN)
    reached = -math.inf
    for _ in range(30):
        linear = 10 ** (gain / 20)
        _needed(history.peaks, ride, per_cell, linear, ceiling, needed)
        held(needed, 0, cells, release, 1.0, gains)
        smooth(gains, needed)
        _edges(needed, ride, per_cell, linear, edges)
        reached = loudness(_powers_after(history.powers, edges, edges_of_hops))
        miss = target - reached
        if abs(miss) < 0.005 or (gain >= MOST_GAIN and miss > 0):
            break
        gain = min(gain + miss * 1.2, MOST_GAIN)
    if abs(target - reached) > 0.1:
        log.warning(
            "loudness reaches %.1f LUFS instead of %.1f: beyond %.0f dB, gain would only raise noise or flatten peaks",
            reached,
            target,
            MOST_GAIN,
        )
    return Plan(edges, history.cell, before, reached, gain)


class Loudness(Prepared):
    meters = True

    def __init__(self, sound: SoundFormat, target: float, peak: float, widest: float):
        super().__init__(sound)
        self.target, self.peak, self.widest = target, peak, widest

    def meter(self) -> _Planner:
        return _Planner(self)

    def start(self, learned: Any = None) -> Run:
        return _LoudnessRun(self, learned)

    def report(self, learned: Any, run: Run | None) -> dict[str, Any]:
        if learned is None:
            return {}
        out = {"loudness_before": learned.before, "gain_db": learned.gain}
        if isinstance(run, _LoudnessRun) and run.after is not None:
            after = run.after
            out["loudness_after"] = {
                "integrated": after.integrated,
                "range": after.range,
                "true_peak": after.true_peak,
            }
            low = float(learned.edges.min()) if len(learned.edges) else 1.0
            out["least_gain_db"] = decibels(low)
        return out


class _Planner:
    def __init__(self, prepared: Loudness):
        self.prepared, self.meter = prepared, M.Meter(prepared.sound)

    def push(self, block: np.ndarray) -> None:
        self.meter.push(block)

    def result(self) -> Plan:
        p = self.prepared
        return plan(self.meter.result(), p.target, p.peak, p.widest)


class _LoudnessRun(Run):
    """Multiplies by the planned curve, and measures what comes out."""

    def __init__(self, prepared: Loudness, learned: Plan):
        self.plan = learned
        self.at = 0
        self.fifo = Fifo(prepared.sound.channels)
        self.meter = M.Meter(prepared.sound)
        self.after: M.History | None = None

    def process(self, block: np.ndarray) -> np.ndarray:
        self.fifo.push(block)
        return self._apply(len(self.fifo) // self.plan.cell * self.plan.cell)

    def flush(self) -> np.ndarray:
        out = self._apply(len(self.fifo))
        self.after = self.meter.result()
        return out

    def _apply(self, n: int) -> np.ndarray:
        cells = -(-n // self.plan.cell)
        edges = self.plan.edges[self.at : self.at + cells + 1]
        if len(edges) < cells + 1:  # the second pass is longer than the first: go on with the last gain
            edges = np.pad(edges, (0, cells + 1 - len(edges)), mode="edge" if len(edges) else "constant")
        x = self.fifo.peek(n)
        out = np.empty(x.shape, np.float32)
        for channel, result in zip(x, out, strict=True):
            apply_gain(channel, edges, self.plan.cell, result)
        self.fifo.drop(n)
        self.at += cells
        self.meter.push(out)
        return out
