"""Missing lines from the fields around, along the motion: what a field lacks, its neighbours have sampled.

Motion-compensated de-interlacing.  G. de Haan and E. B. Bellers, "Deinterlacing - an overview", Proc. IEEE 86(9), 1998:
fields along the motion, the samples of the one field weighed against those of the others; M. T. Orchard and
G. J. Sullivan, "Overlapped block motion compensation", IEEE Trans. Image Processing 3(5), 1994, for the windows;
A. E. Beaton and J. W. Tukey, Technometrics 16(2), 1974, for the weight (1 - (e / limit)^2)^2 of a block;
M. Irani and S. Peleg, "Improving resolution by image registration", CVGIP 53(3), 1991, for what is left between the
result and the samples that are known, brought back into it.

Sums in float32, in another order in each body: integers may differ by one level (tolerance 1).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from kernels.arrays import beside, depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.deinterlace import Order, Rate, frames_per_frame, kept_parity
from kernels.motion.gather import ASIDE, EVIDENCE, fill
from kernels.motion.match import NONE
from kernels.motion.mean import Shift, window
from kernels.motion.planes import grid, padded_planes, phases
from kernels.motion.search import Block, Radius


def _inputs(shape: tuple[int, ...], knobs: dict[str, Any]) -> list[tuple[int, ...]]:
    side = int(knobs["block"])
    cells = grid(shape[1], side >> knobs["down"]), grid(shape[2], side >> knobs["across"])
    return [shape, (shape[0], 2, *shape[1:]), (shape[0], 2, 2 * knobs["radius"], *cells, 3)]


@kernel(
    halo=lambda radius, **_: Halo((radius + 1) // 2, 64), rate=frames_per_frame, smallest=(2, 1), inputs=_inputs,
    others={"motion": "int16"}, tolerance=1,
)  # fmt: skip
def motion_fill(
    frames,
    guess,
    motion,
    order: Order = "tff",
    rate: Rate = "field",
    radius: Radius = 3,
    block: Block = "16",
    limit: Annotated[float, Knob(0.1, 255, unit="levels", soft=(1, 30))] = 14.0,
    fit: Annotated[float, Knob(0.05, 255, unit="levels", soft=(0.125, 4))] = 0.5,
    rough: Annotated[float, Knob(0, 8, unit="of the lines' difference", soft=(0, 2))] = 0.4,
    made: Annotated[float, Knob(0, 1, unit="of a sampled line's", soft=(0, 1))] = 0.3,
    own: Annotated[float, Knob(0.01, 10, unit="neighbours", soft=(0.0625, 1))] = 0.1,
    pull: Annotated[float, Knob(0, 1, unit="of the difference")] = 0.5,
    down: Shift = 0,
    across: Shift = 0,
    bits: Bits = 0,
):
    """Fills the missing lines of each field with the lines of the fields around it, along the motion.

    Each neighbouring field's frame is moved onto the field block by block (blocks overlap, raised-cosine windows).  A
    moved sample weighs as much as its block was found again (`limit`), as it lies on lines that were sampled, and
    as the moved frame agrees with the field's own lines around it: at a mean absolute difference of `fit`, and `rough`
    of how far those lines are from the mean of their neighbours, the weight is a half.  (Where they are all alike,
    little is missing between them, and whatever disagrees is wrong.)  The guess weighs `own`.  What the mean so made
    lacks of the field's own lines, the missing lines between them get back (`pull`).  The field's own lines stay.

    radius, block : those of `find_motion`.
    made          : weight of a line that a neighbouring frame did not have sampled.
    down, across  : chroma planes: the vectors are those of luma, which has `2 ** down` times the lines and
                    `2 ** across` times the samples.

    frames : `(T, H, W)` uint8, uint16 or float32, one interlaced plane.
    guess  : `(T, 2, H, W)`, the frames of both fields of each frame, in the order of time, from any deinterlacer.
    motion : int16 `(T, 2, 2 radius, rows, columns, 3)`, what `find_motion` finds on the luma of the guess.
    Returns `(2T, H, W)` at field rate, `(T, H, W)` at frame rate, same dtype.
    Source: see the module.
    """
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    peak, fit = 0 if real else (1 << bits) - 1, _scaled(fit, frames, bits)
    count, height, width = frames.shape
    sides = [int(block) >> down, int(block) >> across]
    pads, cells = [2 * s for s in sides], motion.shape[3:5]
    fields = guess.reshape(2 * count, height, width)
    planes = [phases(np.pad(f, [(p, p) for p in pads], mode="edge"), peak) for f in fields]
    views = [np.lib.stride_tricks.sliding_window_view(p, sides, (1, 2)) for p in planes]
    first = [p + (np.arange(n) - 1) * (s // 2) for p, n, s in zip(pads, cells, sides, strict=True)]
    origin = np.stack(np.meshgrid(*first, indexing="ij"), -1)
    last = [n + 2 * p - s for n, p, s in zip((height, width), pads, sides, strict=True)]
    shape = np.outer(*(window(s) for s in sides))
    step = frames_per_frame(rate=rate)
    out = np.empty((count * step, height, width), frames.dtype)
    for n in range(len(out)):
        t, parity = kept_parity(n, order, rate)
        field = 2 * t + n % step
        known = frames[t, parity::2].astype(np.float64)
        here = fields[field].astype(np.float64)
        here[parity::2] = known
        total, weights = own * here, np.full(here.shape, float(own))
        above, below = (np.pad(known, ((1, 1), (0, 0)), mode="edge")[k : k + len(known)] for k in (0, 2))
        slack = fit + rough * _aside(abs(2 * known - above - below)) / 2
        for slot in range(2 * radius):
            d = slot // 2 + 1
            other = field + (d if slot % 2 else -d)
            if not 0 <= other < len(fields):
                continue
            vectors = motion[t, field % 2, slot]
            place = []
            for axis, shift in enumerate((down, across)):
                moved = (vectors[..., axis].astype(int) + (1 << shift >> 1)) >> shift
                place.append(np.clip(2 * origin[..., axis] + moved, 0, 2 * last[axis] + 1))
            y, x = place
            error = vectors[..., 2]
            found = np.maximum(1 - (error / 64.0 / limit) ** 2, 0) ** 2 * (error != NONE) * (error >= 0)
            theirs = (other & 1) ^ (order == "bff")
            line = y[..., None] - 2 * pads[0] + 2 * np.arange(sides[0]) - 2 * theirs  # in half lines from a sampled one
            weight = (found[..., None] * np.array([1, (1 + made) / 2, made, (1 + made) / 2])[line & 3])[..., None]
            blocks = views[other][(y & 1) * 2 + (x & 1), y >> 1, x >> 1]
            moved, weight = (_joined(b * shape, here.shape) for b in (weight * blocks, weight * np.ones_like(blocks)))
            apart = abs(known * weight[parity::2] - moved[parity::2]) / (weight[parity::2] + EVIDENCE)
            worth = 1 / (1 + _around(_aside(apart) / slack, parity, height) ** 2)
            total, weights = total + worth * moved, weights + worth * weight
        mean = total / weights
        a, b, c, d = _near(known - mean[parity::2], parity, height, (-1, 0, 1, 2))
        mean[1 - parity :: 2] += pull * (9 * (b + c) - (a + d)) / 16
        out[n] = mean if real else np.clip(np.floor(mean + 0.5), 0, peak)
        out[n, parity::2] = frames[t, parity::2]
    return out


def _joined(blocks: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Overlapping blocks `(rows, columns, h, w)` added up, of that size."""
    rows, columns, high, wide = blocks.shape
    whole = np.zeros(((rows + 1) * (high // 2), (columns + 1) * (wide // 2)))
    for i in range(rows):
        for j in range(columns):
            y, x = i * (high // 2), j * (wide // 2)
            whole[y : y + high, x : x + wide] += blocks[i, j]
    return whole[high // 2 :, wide // 2 :][: size[0], : size[1]]


def _near(lines: np.ndarray, parity: int, height: int, steps: tuple[int, ...]) -> list[np.ndarray]:
    """For each line that a field lacks, its own lines: 0 above, 1 below; beyond the edge they repeat."""
    above = (np.arange(1 - parity, height, 2) - 1 - parity) // 2
    return [lines[np.clip(above + k, 0, len(lines) - 1)] for k in steps]


def _aside(lines: np.ndarray) -> np.ndarray:
    """Means with the samples to either side."""
    wide = np.pad(lines, ((0, 0), (ASIDE, ASIDE)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(wide, 2 * ASIDE + 1, axis=1).mean(-1)


def _around(lines: np.ndarray, parity: int, height: int) -> np.ndarray:
    """What a field's own lines say, as means of those around each line of the frame."""
    wide = np.pad(lines, ((1, 1), (0, 0)), mode="edge")
    whole = np.empty((height, lines.shape[1]))
    whole[parity::2] = (wide[:-2] + 2 * lines + wide[2:]) / 4
    whole[1 - parity :: 2] = sum(_near(lines, parity, height, (0, 1))) / 2
    return whole


@motion_fill.cpu
def _(frames, guess, motion, out, start, order, rate, radius, block, limit, fit, rough, made, own, pull, down, across,
      bits):  # fmt: skip
    real, f, side = frames.dtype.kind == "f", np.float32, int(block)
    high, wide = side >> down, side >> across
    shape = np.outer(window(high), window(wide)).astype(f).ravel()
    fill(frames, guess, motion, out, start, int(order == "bff"), frames_per_frame(rate=rate), radius, high, wide, down,
         across, shape, f(1 / (64 * limit)), f(_scaled(fit, frames, bits)), f(rough), f(made), f(own), f(pull),
         f(0 if real else (1 << bits) - 1), f(0 if real else 0.5))  # fmt: skip


def _scaled(levels: float, frames: Any, bits: int) -> float:
    """Levels of 8-bit video in those of the frames."""
    return levels if frames.dtype.kind == "f" else levels * 2.0 ** (bits - 8)


def _plan(arrays: list[Any], out: Any, start: int, order: str, rate: str, radius: int, block: str, limit: float,
          fit: float, rough: float, made: float, own: float, pull: float, down: int, across: int,
          bits: int):  # fmt: skip
    frames, guess, motion = arrays
    real, i, f, side = frames.dtype.kind == "f", np.int32, np.float32, int(block)
    high, wide, step = side >> down, side >> across, frames_per_frame(rate=rate)
    count, height, width = frames.shape
    reach = (radius + 1) // 2
    begin, stop = max(start - reach, 0), min(start + len(out) // step + reach, count)
    peak = 0 if real else (1 << bits) - 1
    planes, launches = padded_planes(guess, 2 * begin, 2 * stop, 2 * high, 2 * wide, peak)
    total, sure, sums, weights, slack, apart = (empty_like_backend(frames, out.shape, f) for _ in range(6))
    shape = beside(frames, np.outer(window(high), window(wide)).astype(f))
    each, threads = (-(-width // 128), height, len(out)), (128, 1, 1)
    where = tuple(map(i, (start, height, width, order == "bff", step)))
    launches.append(Launch("begin", each, threads, (frames, guess, total, sure, slack, *where, f(own),
                                                 f(_scaled(fit, frames, bits)), f(rough))))  # fmt: skip
    place = *motion.shape[3:5], radius, high, wide, down, across, 2 * begin, 2 * count
    for slot in range(2 * radius):
        launches.append(Launch("moved", each, threads, (planes, motion, shape, sums, weights, *where, *map(i, place),
                                                     i(slot), f(1 / (64 * limit)), f(made))))  # fmt: skip
        launches.append(Launch("differ", each, threads, (frames, sums, weights, slack, apart, *where)))
        launches.append(Launch("add", each, threads, (total, sure, sums, weights, apart, *where)))
    last = f(pull), f(peak), f(0 if real else 0.5)
    return [*launches, Launch("finish", each, threads, (frames, total, sure, out, *where, *last))]


motion_fill.cuda("fill.cu", _plan)
