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
from numba import njit

from toolkit.audio.run import Prepared, Run
from toolkit.audio.signal import Fifo, SoundFormat

_ORDER = 24
_JOIN = 16  # samples; failures closer than this belong together
#: Below this a prediction error is not worth a repair (-80 dBFS).
_FAINT = 1e-4


@njit(cache=True, nogil=True, fastmath=True)
def hann(n):
    """A Hann window of float32, its cosine by the recurrence cos(t + d) = 2 cos(d) cos(t) - cos(t - d)."""
    out = np.empty(n, np.float32)
    step = 2 * np.pi / n
    twice, now, before = 2 * np.cos(step), np.cos(step / 2), np.cos(step / 2)
    for i in range(n):
        out[i] = 0.5 - 0.5 * now
        now, before = twice * now - before, now
    return out


@njit(cache=True, nogil=True, fastmath=True)
def predictor(x, order):
    """Coefficients 1, a1 ... of the prediction error filter (autocorrelation method, Levinson-Durbin)."""
    n = len(x)
    weighted = hann(n) * x
    r = np.empty(order + 1)
    for lag in range(order + 1):
        head, tail = weighted[: n - lag], weighted[lag:]
        total = np.float32(0)
        for i in range(n - lag):
            total += head[i] * tail[i]
        r[lag] = total
    a = np.zeros(order + 1)
    a[0] = 1
    if r[0] <= 1e-18:
        return a
    error = r[0] * (1 + 1e-9) + 1e-15
    for m in range(1, order + 1):
        total = r[m]
        for i in range(1, m):
            total += a[i] * r[m - i]
        k = -total / error
        for i in range(1, m // 2 + 1):
            head, tail = a[i], a[m - i]
            a[i] = head + k * tail
            if i != m - i:
                a[m - i] = tail + k * head
        a[m] = k
        error *= 1 - k * k
        if error <= 1e-30:
            break
    return a


@njit(cache=True, nogil=True, fastmath=True)
def _errors(x, a, lo, hi, way):
    """Magnitude of the prediction error at lo..hi: forward for way 1, backward for way -1."""
    n = hi - lo
    out = np.zeros(n, np.float32)
    for t in range(len(a)):
        held, w = x[lo - way * t : hi - way * t], np.float32(a[t])
        for i in range(n):
            out[i] += w * held[i]
    for i in range(n):
        out[i] = abs(out[i])
    return out


@njit(cache=True, nogil=True, fastmath=True)
def fill(x, first, last, reach):
    """Replaces x[first:last] in place, from `reach` samples on either side."""
    m = last - first
    lo, hi = max(0, first - reach), min(len(x), last + reach)
    order = min(3 * m + 2, 64, (hi - lo - m) // 4)
    left, right = x[first - 1], x[last] if last < len(x) else x[first - 1]
    for i in range(m):
        x[first + i] = left + (right - left) * (i + 1) / (m + 1)
    for _ in range(3):
        a = predictor(x[lo:hi], order)
        b = np.zeros(order + 1)
        for lag in range(order + 1):
            for i in range(order + 1 - lag):
                b[lag] += a[i] * a[i + lag]
        normal, right_side = np.zeros((m, m)), np.zeros(m)
        for i in range(m):
            for j in range(m):
                lag = abs(i - j)
                if lag <= order:
                    normal[i, j] = b[lag]
            normal[i, i] += 1e-9 * b[0]
            at = first + i
            for j in range(max(0, at - order), first):
                right_side[i] -= b[at - j] * x[j]
            for j in range(last, min(len(x), at + order + 1)):
                right_side[i] -= b[j - at] * x[j]
        found = np.linalg.solve(normal, right_side)
        for i in range(m):
            x[first + i] = found[i]


@njit(cache=True, nogil=True, fastmath=True)
def repair(x, segment, threshold, longest):
    """Repairs, in place, what begins in the middle third of x (float32, three segments); returns gaps and samples."""
    gaps, samples = _fill_holes(x, segment, longest)
    for _ in range(3):  # a loud click spoils the predictor that should find its neighbours; once more without it
        found, filled = _repair_once(x, segment, threshold, longest)
        gaps += found
        samples += filled
        if found == 0:
            break
    return gaps, samples


@njit(cache=True, nogil=True, fastmath=True)
def _fill_holes(x, segment, longest):
    """Fills short runs of digital zero within sound: what a capture leaves when data are lost."""
    gaps = samples = 0
    i = segment
    while i < 2 * segment:
        if x[i] != 0:
            i += 1
            continue
        first = i
        while i < len(x) - _ORDER and x[i] == 0:
            i += 1
        if 8 <= i - first <= longest:
            around = 0.0
            for v in x[first - segment // 4 : first]:
                around += v * v
            if around > segment // 4 * 1e-6:  # above -60 dBFS
                fill(x, first, i, segment // 2)
                gaps += 1
                samples += i - first
        i += 1
    return gaps, samples


@njit(cache=True, nogil=True, fastmath=True)
def _repair_once(x, segment, threshold, longest):
    lo, hi = segment, 2 * segment
    a = predictor(x[lo - _ORDER : hi + _ORDER], _ORDER)
    gaps = samples = 0
    ahead = _errors(x, a, lo, hi, 1)
    bound = _bound(ahead, threshold)
    if ahead.max() < bound:
        return gaps, samples
    back = _errors(x, a, lo, min(hi + longest + _JOIN, len(x) - _ORDER), -1)
    bound = max(bound, _bound(back[:segment], threshold))
    low = bound / 4
    i = 0
    while i < segment:
        if ahead[i] < bound:
            i += 1
            continue
        first = i
        while first > 0 and i - first < 4 and ahead[first - 1] > low:
            first -= 1
        last = _end(back, i, min(i + longest, len(back)), bound, low)
        if last > first and last - first <= longest and lo + last + 2 < len(x) - _ORDER:
            reach = max(segment // 2, min(segment, 4 * (last - first)))
            if _fill_if_heard(x, lo + first - 1, lo + last + 1, reach):
                gaps += 1
                samples += last - first + 2
                i = last
        i += _ORDER // 2  # what follows is the same failure
    return gaps, samples


@njit(cache=True, nogil=True, fastmath=True)
def _fill_if_heard(x, first, last, reach):
    """Fills the gap, unless what was there is hidden by the sound around it: then it stays as it was."""
    around = 0.0
    for v in x[first - reach // 2 : first]:
        around += v * v
    for v in x[last : last + reach // 2]:
        around += v * v
    before = x[first:last].copy()
    fill(x, first, last, reach)
    change = 0.0
    for i in range(last - first):
        change = max(change, abs(before[i] - x[first + i]))
    if change * change * (reach // 2 * 2) > around:
        return True
    x[first:last] = before
    return False


@njit(cache=True, nogil=True)
def _end(back, start, stop, bound, low):
    """One past the click's last sample: the end of the first run of backward failures from `start` on, or 0."""
    i = start
    while i < stop and back[i] < bound:
        i += 1
    if i == stop:
        return 0
    last = i
    while i < len(back) and i - last < _JOIN:
        if back[i] > low:
            last = i
        i += 1
    return last + 1


@njit(cache=True, nogil=True, fastmath=True)
def _bound(errors, threshold):
    """What is too much: `threshold` times the usual error, and well above the pulses of a voice.

    Each pulse of the vocal folds surprises the predictor too, but many of them do in one segment; a click is alone.
    """
    spread = np.sort(errors[::8].copy())
    scale = spread[int(0.9 * len(spread))] / 1.645  # a normal error lies within 1.645 sigma nine times in ten
    blocks = 16
    tops = np.empty(blocks)
    size = len(errors) // blocks
    for k in range(blocks):
        tops[k] = errors[k * size : (k + 1) * size].max()
    tops.sort()
    return max(threshold * scale, 2.5 * tops[blocks - 3], _FAINT)


class Declick(Prepared):
    def __init__(self, sound: SoundFormat, threshold: float, longest: float):
        super().__init__(sound)
        self.threshold = threshold
        self.segment = 1 << max(8, round(np.log2(sound.rate * 0.04)))
        self.longest = min(max(4, round(longest / 1000 * sound.rate)), self.segment - 2 * _ORDER)

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
        held = self.fifo.peek()
        for s in range(count):
            for channel in held:
                gaps, samples = repair(
                    channel[s * segment : (s + 3) * segment], segment, self.p.threshold, self.p.longest
                )
                self.gaps += gaps
                self.samples += samples
        out = self.fifo.take(count * segment)
        cut = min(self.skip, out.shape[1])
        self.skip -= cut
        out = out[:, cut:]
        self.given += out.shape[1]
        return out
