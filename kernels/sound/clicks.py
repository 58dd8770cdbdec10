"""Clicks and short dropouts: found where linear prediction fails in both directions, filled from both sides.

The method is told in `toolkit.audio.declick`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.rows import copy_row
from kernels.simd import LANES, keep, load, pointer, splat, store, weigh
from kernels.sound.linear import solve
from kernels.sound.order import in_order
from kernels.sound.peaks import highest, larger

ORDER = 24
_JOIN = 16  # samples; failures closer than this belong together
#: Below this a prediction error is not worth a repair (-80 dBFS).
_FAINT = 1e-4


@njit(nogil=True, fastmath=True)
def hann(n):
    """A Hann window of float32, its cosine by the recurrence cos(t + d) = 2 cos(d) cos(t) - cos(t - d)."""
    out = np.empty(n, np.float32)
    step = 2 * np.pi / n
    twice, now, before = 2 * np.cos(step), np.cos(step / 2), np.cos(step / 2)
    for i in range(n):
        out[i] = 0.5 - 0.5 * now
        now, before = twice * now - before, now
    return out


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def predictor(x, order):
    """Coefficients 1, a1 ... of the prediction error filter (autocorrelation method, Levinson-Durbin)."""
    return _predictor(hann(len(x)) * x, order)


@njit(nogil=True, fastmath=True)
def _predictor(weighted, order):
    n = len(weighted)
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


@njit(nogil=True)
def _errors(x, a, lo, hi, way):
    """Magnitude of the prediction error at lo..hi (LANES or more): forward for way 1, backward for way -1."""
    out = np.empty(hi - lo, np.float32)
    source, to = pointer(x), pointer(out)
    for i in range(0, hi - lo, LANES):
        at = min(i, hi - lo - LANES)
        total = load(source, lo + at)  # the first coefficient is 1
        for t in range(1, len(a)):
            total = weigh(total, load(source, lo + at - way * t), splat(np.float32(a[t])))
        store(to, at, larger(total, total))
    keep(x, out)
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
        found = solve(normal, right_side)
        for i in range(m):
            x[first + i] = found[i]


@njit(cache=True, nogil=True, fastmath=True)
def repair(x, count, segment, threshold, longest):
    """Repairs, in place, what begins in the `count` segments behind the first one; returns gaps and samples.

    x : one channel, contiguous float32, `count + 2` segments or more.
    """
    gaps = samples = 0
    window = hann(segment + 2 * ORDER)
    for s in range(count):
        found, filled = _repair(x[s * segment : (s + 3) * segment], window, segment, threshold, longest)
        gaps += found
        samples += filled
    return gaps, samples


@njit(nogil=True, fastmath=True, inline="always")
def _repair(x, window, segment, threshold, longest):
    """Repairs what begins in the middle third of x, three segments."""
    gaps, samples = _fill_holes(x, segment, longest)
    for _ in range(3):  # a loud click spoils the predictor that should find its neighbours; once more without it
        found, filled = _repair_once(x, window, segment, threshold, longest)
        gaps += found
        samples += filled
        if found == 0:
            break
    return gaps, samples


@njit(nogil=True, fastmath=True, inline="always")
def _fill_holes(x, segment, longest):
    """Fills short runs of digital zero within sound: what a capture leaves when data are lost."""
    gaps = samples = 0
    zeros = 0
    for v in x[segment : 2 * segment]:
        zeros += v == 0
    if zeros == 0:
        return gaps, samples
    i = segment
    while i < 2 * segment:
        if x[i] != 0:
            i += 1
            continue
        first = i
        while i < len(x) - ORDER and x[i] == 0:
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


@njit(nogil=True, fastmath=True, inline="always")
def _repair_once(x, window, segment, threshold, longest):
    lo, hi = segment, 2 * segment
    a = _predictor(window * x[lo - ORDER : hi + ORDER], np.int64(ORDER))
    gaps = samples = 0
    ahead = _errors(x, a, lo, hi, np.int64(1))
    bound = _bound(ahead, threshold)
    if highest(pointer(ahead), np.int64(0), segment) < bound:
        return gaps, samples
    keep(ahead)
    back = _errors(x, a, lo, min(hi + longest + _JOIN, len(x) - ORDER), np.int64(-1))
    bound = max(bound, _bound(back[:segment], threshold))
    low = bound / 4
    i = np.int64(0)
    while i < segment:
        if ahead[i] < bound:
            i += 1
            continue
        first = i
        while first > 0 and i - first < 4 and ahead[first - 1] > low:
            first -= 1
        last = _end(back, i, min(i + longest, len(back)), bound, low)
        if last > first and last - first <= longest and lo + last + 2 < len(x) - ORDER:
            reach = max(segment // 2, min(segment, 4 * (last - first)))
            if _fill_if_heard(x, lo + first - 1, lo + last + 1, reach):
                gaps += 1
                samples += last - first + 2
                i = last
        i += ORDER // 2  # what follows is the same failure
    return gaps, samples


@njit(nogil=True, fastmath=True, inline="always")
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
    copy_row(x[first:last], before)
    return False


@njit(nogil=True)
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


@njit(nogil=True, fastmath=True)
def _bound(errors, threshold):
    """What is too much: `threshold` times the usual error, and well above the pulses of a voice.

    Each pulse of the vocal folds surprises the predictor too, but many of them do in one segment; a click is alone.
    """
    some = errors[::8].copy()
    scale = in_order(some, int(0.9 * len(some))) / 1.645  # a normal error lies within 1.645 sigma nine times in ten
    blocks = 16
    first = second = third = 0.0  # the largest three
    size = len(errors) // blocks
    for k in range(blocks):
        top = highest(pointer(errors), k * size, size)
        if top > first:
            first, second, third = top, first, second
        elif top > second:
            second, third = top, second
        elif top > third:
            third = top
    keep(errors)
    return max(threshold * scale, 2.5 * third, _FAINT)
