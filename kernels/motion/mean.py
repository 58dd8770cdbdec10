"""The mean of a frame and its neighbours along the motion: each block weighted by how well it was found again.

The motion-compensated temporal filter with overlapped blocks.  E. Dubois and S. Sabri, "Noise reduction in image
sequences using motion-compensated temporal filtering", IEEE Trans. Communications 32(7), 1984, for the mean along the
motion; M. T. Orchard and G. J. Sullivan, "Overlapped block motion compensation", IEEE Trans. Image Processing 3(5),
1994, for the windows; A. E. Beaton and J. W. Tukey, Technometrics 16(2), 1974, for the weight (1 - (e / limit)^2)^2,
which is 0 from the limit on.

Sums in float32, in another order in each body: integers may differ by one level (tolerance 1).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from kernels.arrays import beside, depth
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.motion.blend import mean
from kernels.motion.match import NONE
from kernels.motion.planes import at_once, grid, padded_planes, phases
from kernels.motion.search import Block, Radius

Shift = Annotated[int, Knob(0, 2, step=1, unit="power of two")]


def window(size: int) -> np.ndarray:
    """A raised cosine: at a step of half its size the sum is 1."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)


def _inputs(shape: tuple[int, ...], knobs: dict[str, Any]) -> list[tuple[int, ...]]:
    side = int(knobs["block"])
    cells = grid(shape[1], side >> knobs["down"]), grid(shape[2], side >> knobs["across"])
    return [shape, (shape[0], 2 * knobs["radius"], *cells, 3)]


@kernel(halo=lambda radius, **_: Halo(radius, 64), inputs=_inputs, others={"motion": "int16"}, tolerance=1)
def motion_mean(
    frames,
    motion,
    limit: Annotated[float, Knob(0.1, 255, unit="levels", soft=(1, 30))] = 14.0,
    radius: Radius = 1,
    block: Block = "16",
    down: Shift = 0,
    across: Shift = 0,
    bits: Bits = 0,
):
    """Removes noise by the mean of a frame and its neighbours along the motion; detail that is found again stays.

    limit         : mean absolute difference (as the search saw it) from which on a block of a neighbour is left out.
    radius, block : those of `find_motion`.
    down, across  : chroma planes: the vectors are those of luma, which has `2 ** down` times the lines and
                    `2 ** across` times the samples.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    motion : int16, the result of `find_motion` for these frames (best found on frames with less noise).
    Returns frames of the same shape and dtype.
    Source: see the module.
    """
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    count, *size = frames.shape
    sides = [int(block) >> down, int(block) >> across]
    shifts, pads = (down, across), [2 * s for s in sides]
    peak = 0 if real else (1 << bits) - 1
    planes = [phases(np.pad(f, [(p, p) for p in pads], mode="edge"), peak) for f in frames]
    views = [np.lib.stride_tricks.sliding_window_view(p, sides, (1, 2)) for p in planes]
    cells = motion.shape[2:4]
    first = [p + (np.arange(n) - 1) * (s // 2) for p, n, s in zip(pads, cells, sides, strict=True)]
    origin = np.stack(np.meshgrid(*first, indexing="ij"), -1)
    last = [n + 2 * p - s for n, p, s in zip(size, pads, sides, strict=True)]
    shape = np.outer(*(window(s) for s in sides))
    out = np.zeros(frames.shape, frames.dtype)
    for t in range(count):
        sums, weights = views[t][0, origin[..., 0], origin[..., 1]].astype(np.float64), np.ones(cells)
        for slot in range(2 * radius):
            d = slot // 2 + 1
            other = t + (d if slot % 2 else -d)
            if not 0 <= other < count:
                continue
            error = motion[t, slot, ..., 2]
            weight = np.maximum(1 - (error / 64.0 / limit) ** 2, 0) ** 2 * (error != NONE) * (error >= 0)
            place = []
            for axis in (0, 1):
                moved = (motion[t, slot, ..., axis].astype(int) + (1 << shifts[axis] >> 1)) >> shifts[axis]
                place.append(np.clip(2 * origin[..., axis] + moved, 0, 2 * last[axis] + 1))
            y, x = place
            sums += weight[..., None, None] * views[other][(y & 1) * 2 + (x & 1), y >> 1, x >> 1]
            weights += weight
        blocks = sums / weights[..., None, None] * shape
        whole = np.zeros([(n + 1) * (s // 2) for n, s in zip(cells, sides, strict=True)])
        for i in range(cells[0]):
            for j in range(cells[1]):
                y, x = i * (sides[0] // 2), j * (sides[1] // 2)
                whole[y : y + sides[0], x : x + sides[1]] += blocks[i, j]
        y, x = (s // 2 for s in sides)
        result = whole[y : y + size[0], x : x + size[1]]
        out[t] = result if real else np.clip(np.floor(result + 0.5), 0, peak)
    return out


@motion_mean.cpu
def _(frames, motion, out, start, limit, radius, block, down, across, bits):
    side = int(block)
    real = frames.dtype.kind == "f"
    shape = np.outer(window(side >> down), window(side >> across)).astype(np.float32)
    peak, half = np.float32(0 if real else (1 << bits) - 1), np.float32(0 if real else 0.5)
    mean(frames, motion, out, start, at_once(), np.float32(1 / (64 * limit)), radius, side >> down, side >> across,
         down, across, shape.ravel(), peak, half)  # fmt: skip


def _plan(arrays: list[Any], out: Any, start: int, limit: float, radius: int, block: str, down: int, across: int,
          bits: int):  # fmt: skip
    frames, motion = arrays
    real, i, f = frames.dtype.kind == "f", np.int32, np.float32
    high, wide = int(block) >> down, int(block) >> across
    count, height, width = frames.shape
    begin, stop = max(start - radius, 0), min(start + len(out) + radius, count)
    shape = beside(frames, np.outer(window(high), window(wide)).astype(np.float32))
    peak = 0 if real else (1 << bits) - 1
    planes, made = padded_planes(frames, begin, stop, 2 * high, 2 * wide, peak)
    place = start, begin, stop, height, width, *motion.shape[2:4], radius, high, wide, down, across
    facts = f(1 / (64 * limit)), f(peak), f(0 if real else 0.5)
    grid_ = -(-width // 128), height, len(out)
    return [*made, Launch("mean", grid_, (128, 1, 1), (planes, motion, out, shape, *map(i, place), *facts))]


motion_mean.cuda("mean.cu", _plan)
