"""Non-local means: a sample becomes the mean of samples whose surroundings look alike.

Buades, Coll, Morel: "A non-local algorithm for image denoising", CVPR 2005, with the weight of their "Non-Local Means
Denoising", IPOL 1, 2011: `exp(-max(d2 - 2 sigma**2, 0) / h**2)`, d2 the mean squared difference of two patches.  The
patch kernel is the box of the 2011 paper, so that patch distances are sliding sums.  Over time the window is searched
in the frames before and after as well (Buades, Coll, Morel: "Denoising image sequences does not require motion
estimation", AVSS 2005).

Cost: a patch distance serves both of its ends, so a 15x15 window needs 112 of them per sample; each takes about 25
vector operations (difference of a new and an old row, box sum, exponential, two weighted sums), 16 samples at a time.
Rows are the inner loop and all column offsets of a row follow each other; their weights are kept, so that the two sums
of each end are fetched and stored once for five offsets.

Weights are float32 and summed in another order by each body, so integers may differ by one level (tolerance 1).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numba import njit, prange

from kernels.arrays import depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace.around import on_a_cache_line
from kernels.lanes import wide_vectors
from kernels.rows import copy_rows

_ROW = {"cache": True, "nogil": True, "fastmath": {"contract"}}
LINE = 16  # floats of a cache line; no search goes further
ROWS = 60  # rows of a strip: 720 samples wide its sums and its frame stay in the second-level cache


@kernel(halo=lambda patch, search, radius, **_: Halo(radius, patch + search), tolerance=1)
def nlmeans(
    frames,
    strength: Annotated[float, Knob(0.1, 64, unit="levels", soft=(0.5, 20))] = 4.0,
    noise: Annotated[float, Knob(0, 64, unit="levels", soft=(0, 20))] = 5.0,
    patch: Annotated[int, Knob(1, 4, step=1, unit="samples each way")] = 2,
    search: Annotated[int, Knob(1, 15, step=1, unit="samples each way", soft=(2, 7))] = 7,
    radius: Annotated[int, Knob(0, 3, step=1, unit="frames", soft=(0, 1))] = 0,
    bits: Bits = 0,
):
    """Removes noise by averaging samples with similar surroundings; keeps edges and repeated texture.

    strength : h of the weight `exp(-max(d2 - 2 noise**2, 0) / h**2)`; 0.8 of the noise is a good start.
    noise    : standard deviation of the noise; patches that differ by no more count fully.  0 is the form
               of 2005, which wants a strength of about the noise.
    patch    : 2 compares patches of 5x5.  Beyond the edges of the picture samples are mirrored.
    search   : 7 searches 15x15 positions (those inside the picture).
    radius   : searches that many frames before and after, too.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype.
    Source: see the module.
    """
    real = frames.dtype.kind == "f"
    bits = depth(frames, bits)
    scale = 1.0 if real else 2.0 ** (8 - bits)
    count, height, width = frames.shape
    planes = [np.pad(f.astype(np.float64) * scale, patch, mode="symmetric") for f in frames]
    out = np.empty_like(frames)
    for t in range(count):
        total, weight = np.zeros((height, width)), np.zeros((height, width))
        for k in range(max(t - radius, 0), min(t + radius + 1, count)):
            for dy in range(max(-search, 1 - height), min(search, height - 1) + 1):
                for dx in range(max(-search, 1 - width), min(search, width - 1) + 1):
                    rows = slice(max(-dy, 0), height - max(dy, 0))
                    columns = slice(max(-dx, 0), width - max(dx, 0))
                    here = planes[t][rows.start : rows.stop + 2 * patch, columns.start : columns.stop + 2 * patch]
                    there = planes[k][rows.start + dy : rows.stop + dy + 2 * patch,
                                      columns.start + dx : columns.stop + dx + 2 * patch]  # fmt: skip
                    size = (2 * patch + 1, 2 * patch + 1)
                    d2 = np.lib.stride_tricks.sliding_window_view((here - there) ** 2, size).mean(axis=(2, 3))
                    w = np.exp(-np.maximum(d2 - 2 * noise**2, 0) / strength**2)
                    total[rows, columns] += w * there[patch:-patch, patch:-patch]
                    weight[rows, columns] += w
        mean = total / weight / scale
        out[t] = mean if real else np.clip(np.rint(mean), 0, (1 << bits) - 1)
    return out


# Rows are named by the flat array they lie in and where they begin there: Numba counts references for every slice,
# which took a quarter of the time.  Unsigned positions spare the test whether a position counts from the end.


@njit(**_ROW)
def _add_row(sums, s, here, a, there, b, n):
    wide_vectors()
    for i in range(n):
        x = np.uint64(i)
        d = here[a + x] - there[b + x]
        sums[s + x] += d * d


@njit(**_ROW)
def _move_row(sums, s, here, new, old, there, new_there, old_there, n):
    """Adds the squared differences of the row that enters the patch, takes away those of the row that leaves it."""
    wide_vectors()
    for i in range(n):
        x = np.uint64(i)
        enters, leaves = here[new + x] - there[new_there + x], here[old + x] - there[old_there + x]
        sums[s + x] += enters * enters - leaves * leaves


@njit(cache=True, nogil=True, fastmath={"contract"})
def _exp2(t):
    """2 ** t for -64 <= t <= 0, to 3e-6 of its value: a polynomial of the fraction, the whole part as exponent."""
    whole = t + np.float32(12582912)  # 1.5 * 2**23: the sum's last bit is one
    f = t - (whole - np.float32(12582912))
    p = np.float32(0.009670763) * f + np.float32(0.055504113)
    p = p * f + np.float32(0.24022119)
    p = p * f + np.float32(0.6931472)
    p = p * f + np.float32(1.0)
    bits = np.float32(p).view(np.int32) + (np.float32(whole).view(np.int32) << np.int32(23))
    return np.int32(bits).view(np.float32)


@njit(inline="always")
def _weight(total, free, slope):
    low, high = np.float32(-64), np.float32(0)  # far from denormal numbers, which are slow
    return _exp2(min(max((free - total) * slope, low), high))


@njit(**_ROW)
def _weights(sums, s, pairs, out, w, n, patch, free, slope):
    """Box sums along the row, then 2 ** -((sum - free) * slope), never above 1."""
    wide_vectors()
    two, four, six = np.uint64(2), np.uint64(4), np.uint64(6)
    s1, s2, s4, s6, s8 = s + np.uint64(1), s + two, s + four, s + six, s + np.uint64(8)
    for i in range(n + 2 * patch - 1):
        x = np.uint64(i)
        pairs[x] = sums[s + x] + sums[s1 + x]
    if patch == 1:
        for i in range(n):
            x = np.uint64(i)
            out[w + x] = _weight(pairs[x] + sums[s2 + x], free, slope)
    elif patch == 2:
        for i in range(n):
            x = np.uint64(i)
            out[w + x] = _weight(pairs[x] + pairs[x + two] + sums[s4 + x], free, slope)
    elif patch == 3:
        for i in range(n):
            x = np.uint64(i)
            out[w + x] = _weight(pairs[x] + pairs[x + two] + pairs[x + four] + sums[s6 + x], free, slope)
    else:
        for i in range(n):
            x = np.uint64(i)
            box = pairs[x] + pairs[x + two] + pairs[x + four] + pairs[x + six] + sums[s8 + x]
            out[w + x] = _weight(box, free, slope)


@njit(**_ROW)
def _accumulate_five(total, weight, at, weights, w, step, values, v, shift, n):
    """Five offsets at once, so that the two sums are fetched and stored once for all of them."""
    wide_vectors()
    w1, w2, w3, w4 = w + step, w + step + step, w + step + step + step, w + step + step + step + step
    v1, v2, v3, v4 = v + shift, v + shift + shift, v + shift + shift + shift, v + shift + shift + shift + shift
    for i in range(n):
        x = np.uint64(i)
        a, b, c, d, e = weights[w + x], weights[w1 + x], weights[w2 + x], weights[w3 + x], weights[w4 + x]
        near, far = a * values[v + x] + b * values[v1 + x], c * values[v2 + x] + d * values[v3 + x]
        total[at + x] += (near + far) + e * values[v4 + x]
        weight[at + x] += ((a + b) + (c + d)) + e


@njit(**_ROW)
def _accumulate_two(total, weight, at, weights, w, step, values, v, shift, n):
    wide_vectors()
    w1, v1 = w + step, v + shift
    for i in range(n):
        x = np.uint64(i)
        a, b = weights[w + x], weights[w1 + x]
        total[at + x] += a * values[v + x] + b * values[v1 + x]
        weight[at + x] += a + b


@njit(**_ROW)
def _accumulate_one(total, weight, at, weights, w, values, v, n):
    wide_vectors()
    for i in range(n):
        x = np.uint64(i)
        total[at + x] += weights[w + x] * values[v + x]
        weight[at + x] += weights[w + x]


@njit(cache=True, nogil=True)
def _accumulate(total, weight, at, weights, w, step, values, v, shift, count, n):
    """Adds `count` offsets: weights `step` apart, of values that begin `shift` further each time."""
    at, w, v, done = np.uint64(at), np.uint64(w), np.uint64(v), 0
    step, shift = np.uint64(step), np.uint64(shift)  # a shift of -1 wraps around, as it should
    while done + 5 <= count:
        _accumulate_five(total, weight, at, weights, w, step, values, v, shift, n)
        w, v, done = w + np.uint64(5) * step, v + np.uint64(5) * shift, done + 5
    while done + 2 <= count:
        _accumulate_two(total, weight, at, weights, w, step, values, v, shift, n)
        w, v, done = w + step + step, v + shift + shift, done + 2
    if done < count:
        _accumulate_one(total, weight, at, weights, w, values, v, n)


@njit(cache=True, nogil=True)
def _load(frame, top, mirror_y, mirror_x, scale, to, lead):
    """Rows of the mirrored plane from padded row `top` on, as float in levels of 8-bit video, from column `lead` on."""
    last, reach = mirror_x.shape[0] - 1, (mirror_x.shape[0] - frame.shape[1]) // 2
    for j in range(min(to.shape[0], mirror_y.shape[0] - top)):
        row, src = to[j], frame[mirror_y[top + j]]
        for x in range(src.shape[0]):
            row[lead + reach + x] = np.float32(src[x]) * scale
        for x in range(reach):
            row[lead + x] = np.float32(src[mirror_x[x]]) * scale
            row[lead + last - x] = np.float32(src[mirror_x[last - x]]) * scale


@njit(cache=True, nogil=True)
def _layout(width, patch, search):
    """Where things lie so that vectors of what is read and written most do not straddle two cache lines: the blank
    samples before a padded row, its pitch, and the pitches of rows of sums and of weights."""
    lead = -search % LINE
    pitch = (lead + width + 2 * (patch + search) + LINE - 1) // LINE * LINE
    return lead, pitch, (width + 2 * patch + LINE - 1) // LINE * LINE, (width + LINE - 1) // LINE * LINE + LINE


@njit(cache=True, nogil=True)
def _search(here, there, total, weight, sums, pairs, w, low, first, last, height, width, patch, search, free, slope,
            same):  # fmt: skip
    """Adds the window's samples of `there` to rows first .. last of `here`.

    All arrays are flat; the first padded row of both pictures is picture row low - patch.  `w` holds a row of weights
    for each column offset, between margins of zeros as wide as the search, so that every offset runs over the whole
    row.  In the frame itself (`same`) half of the offsets do: each distance serves both ends.
    """
    lead, pitch, long, weights_pitch = _layout(width, patch, search)
    near = lead + search  # the column of a patch's first sample
    for dy in range(0 if same else -search, search + 1):
        begin, end = max(first - dy if same else first, 0, -dy), min(last, height - dy)
        least = 1 if same and dy == 0 else -search
        offsets, w_least = search + 1 - least, (least + search) * weights_pitch + LINE
        for y in range(begin, end):
            j = y - low
            for dx in range(least, search + 1):
                s, at = np.uint64((dx + search) * long), (dx + search) * weights_pitch + LINE
                if y == begin:
                    for x in range(width + 2 * patch):
                        sums[s + np.uint64(x)] = 0
                    for k in range(j, j + 2 * patch + 1):
                        a, b = np.uint64(k * pitch + near), np.uint64((k + dy) * pitch + near + dx)
                        _add_row(sums, s, here, a, there, b, width + 2 * patch)
                else:
                    a, b = np.uint64((j + 2 * patch) * pitch + near), np.uint64((j - 1) * pitch + near)
                    away = np.uint64(dy * pitch + dx)  # wraps around where negative
                    _move_row(sums, s, here, a, b, there, a + away, b + away, width + 2 * patch)
                _weights(sums, s, pairs, w, np.uint64(at), width, patch, free, slope)
                for x in range(min(-dx, width)):  # these offsets lead out of the picture
                    w[at + x] = 0
                for x in range(max(width - dx, 0), width):
                    w[at + x] = 0
            row = (j + patch) * pitch + near + patch
            if y >= first:
                to = (y - first) * width
                _accumulate(total, weight, to, w, w_least, weights_pitch, there, row + dy * pitch + least, 1, offsets,
                            width)  # fmt: skip
            if same and y + dy < last:
                to = (y + dy - first) * width
                _accumulate(total, weight, to, w, w_least - least, weights_pitch - 1, here, row - least, -1, offsets,
                            width)  # fmt: skip


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _nlmeans(frames, out, start, mirror_y, mirror_x, patch, search, radius, free, slope, scale, peak, half):
    like = np.empty(0, np.float32)
    count, height, width = frames.shape
    strips, edge = (height + ROWS - 1) // ROWS, patch + search
    for i in prange(out.shape[0] * strips):
        t, first = start + i // strips, i % strips * ROWS
        last = min(first + ROWS, height)
        low = max(first - search, 0)
        rows = min(last + search, height) - low + 2 * patch
        lead, pitch, long, weights_pitch = _layout(width, patch, search)
        here = on_a_cache_line(rows * pitch, like).reshape((rows, pitch))
        there = on_a_cache_line((rows if radius else 0) * pitch, like).reshape((rows if radius else 0, pitch))
        total = on_a_cache_line((last - first) * width, like).reshape((last - first, width))
        weight = on_a_cache_line((last - first) * width, like).reshape((last - first, width))
        sums, pairs = on_a_cache_line((2 * search + 1) * long, like), on_a_cache_line(long, like)
        w = on_a_cache_line((2 * search + 1) * weights_pitch + LINE, like)
        w[:] = np.float32(0)
        _load(frames[t], low, mirror_y, mirror_x, scale, here, lead)
        copy_rows(total, here[first - low + patch : last - low + patch, lead + edge : lead + edge + width])
        weight[:] = np.float32(1)
        for k in range(max(t - radius, 0), min(t + radius + 1, count)):
            if k != t:
                _load(frames[k], low, mirror_y, mirror_x, scale, there, lead)
            other = here if k == t else there
            _search(here.reshape(-1), other.reshape(-1), total.reshape(-1), weight.reshape(-1), sums, pairs, w, low,
                    first, last, height, width, patch, search, free, slope, k == t)  # fmt: skip
        for y in range(last - first):
            to = out[i // strips, first + y]
            for x in range(width):
                v = total[y, x] / (weight[y, x] * scale) + half
                to[x] = v if peak == 0 else min(max(v, np.float32(0)), peak)


def _facts(frames: Any, strength: float, noise: float, patch: int, bits: int) -> tuple[np.float32, ...]:
    """Patch sum that counts fully, exponent per patch sum, factor to 8-bit levels, peak and rounding (0 for float)."""
    real, area = frames.dtype.kind == "f", (2 * patch + 1) ** 2
    scale = 1.0 if real else 2.0 ** (8 - bits)
    facts = 2 * noise**2 * area, math.log2(math.e) / (strength**2 * area), scale
    return tuple(np.float32(v) for v in (*facts, 0 if real else (1 << bits) - 1, 0 if real else 0.5))


def _mirrored(size: int, reach: int) -> np.ndarray:
    """Where each sample of a padded line comes from."""
    return np.pad(np.arange(size, dtype=np.int32), reach, mode="symmetric")


@nlmeans.cpu
def _(frames, out, start, strength, noise, patch, search, radius, bits):
    mirrors = _mirrored(frames.shape[1], patch), _mirrored(frames.shape[2], patch + search)
    _nlmeans(frames, out, start, *mirrors, patch, search, radius, *_facts(frames, strength, noise, patch, bits))


def _plan(arrays: list[Any], out: Any, start: int, strength: float, noise: float, patch: int, search: int, radius: int,
          bits: int) -> list[Launch]:  # fmt: skip
    frames, i = arrays[0], np.int32
    count, height, width = frames.shape
    args = (frames, out, i(start), i(count), i(height), i(width), i(patch), i(search), i(radius))
    grid = (-(-width // (128 - 2 * patch)), -(-height // 8), len(out))
    return [Launch("nlmeans", grid, (128, 1, 1), (*args, *_facts(frames, strength, noise, patch, bits)))]


nlmeans.cuda("nlmeans.cu", _plan)
