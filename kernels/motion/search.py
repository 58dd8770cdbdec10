"""Where each block of a frame lies in the frames around: a pyramid of sizes, predictors, small steps, half samples.

Sums of absolute differences of overlapped blocks.  At the smallest size of a pyramid of means every vector of up to 4
samples is tried; at each larger size a block starts from the best of its parents' doubled vectors, standing still, and
(at full size) the vector found for the next nearer frame, goes on in steps of one sample, then looks at its four
neighbours' vectors; last come steps of half a sample.  A vector costs something for its distance from the
parent's, or noise would be matched with noise.

P. Anandan, "A computational framework and an algorithm for the measurement of visual motion", IJCV 2(3), 1989
(hierarchy); G. de Haan et al., "True-motion estimation with 3-D recursive search block matching", IEEE Trans. CSVT
3(5), 1993 (predictors in space and time, penalties); ITU-T H.264 for samples between samples.

All integers, and the first of equal costs wins, so every body finds the same vectors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from kernels.arrays import depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.motion.match import CAP, NONE, ROUNDS, SPAN, find
from kernels.motion.planes import at_once, eight_bit, grid, padded, phases, pyramid, smaller

Block = Literal["8", "16"]
Radius = Annotated[int, Knob(1, 6, step=1, unit="frames")]
CROSS = (-1, 0), (0, -1), (0, 1), (1, 0)


def motion_shape(shape: tuple[int, ...], radius: int, block: int) -> tuple[int, ...]:
    """Shape of the vectors of frames `(T, H, W)`."""
    return shape[0], 2 * radius, grid(shape[1], block), grid(shape[2], block), 3


@kernel(
    halo=lambda radius, **_: Halo(radius, 64),
    outputs=lambda shapes, dtype, k: [(motion_shape(shapes[0], k["radius"], int(k["block"])), np.int16)],
)
def find_motion(
    frames,
    radius: Radius = 1,
    block: Block = "16",
    precision: Literal["whole", "half"] = "half",
    smooth: Annotated[float, Knob(0, 2, unit="levels", soft=(0, 0.25))] = 0.01,
    bits: Bits = 0,
):
    """Finds where each block of a frame lies in the frames before and after it.

    radius    : how many frames each way.
    block     : side of a block; blocks start every half block.
    precision : of the vectors.
    smooth    : what half a sample of distance from the parent's vector costs, in levels per sample of the block.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane, best without noise.
    Returns int16 `(T, 2 radius, rows, columns, 3)`: slots are 1 before, 1 after, 2 before, ...; rows and columns as
    `kernels.motion.planes.grid`; down and right in half samples, mean absolute difference in 1/64 of an 8-bit level,
    32767 where there is no such frame.
    Source: see the module.
    """
    side = int(block)
    count, height, width = frames.shape
    sizes = pyramid(height, width, side)
    levels = [[f] for f in eight_bit(frames, depth(frames, bits))]
    for made in levels:
        for _ in sizes[1:]:
            made.append(smaller(made[-1]))
    levels = [[padded(f, 2 * side) for f in made] for made in levels]
    halves = [phases(made[0], 255) for made in levels]
    out = np.zeros(motion_shape(frames.shape, radius, side), np.int16)
    out[..., 2] = NONE
    weight = _weight(smooth, side)
    for t in range(count):
        for way in (0, 1):
            near = None
            for d in range(1, radius + 1):
                other = t + (d if way else -d)
                if not 0 <= other < count:
                    break
                near = _pair(levels[t], levels[other], halves[other], near, d, side, precision == "half", weight)
                out[t, 2 * (d - 1) + way] = near
    return out


def _weight(smooth: float, side: int) -> int:
    return int(np.rint(smooth * side * side))


def _pair(here: list, there: list, halves: Any, near: Any, d: int, side: int, half: bool, weight: int) -> np.ndarray:
    vectors = None
    for level in range(len(here) - 1, -1, -1):
        match = _Match(here[level], there[level][None], side, weight)
        if vectors is None:
            match.begin(np.zeros((*match.grid, 2), int))
            centre = match.vectors
            for y in range(-SPAN, SPAN + 1):
                for x in range(-SPAN, SPAN + 1):
                    match.attempt(centre + (y, x))
        else:
            parents = [_parents(vectors, match.grid, a, b) for a in (0, 1) for b in (0, 1)]
            match.begin(parents[0])
            for candidate in (*parents[1:], np.zeros_like(parents[0])):
                match.attempt(candidate)
            if level == 0 and near is not None:
                match.attempt(near[..., :2].astype(int) * d // (2 * (d - 1)))
            for _ in range(ROUNDS):
                match.around()
        match.neighbours()
        vectors = match.vectors
    final = _Match(here[0], halves if half else there[0][None], side, weight, unit=2)
    final.begin(2 * vectors, parent=2 * match.parent)
    if half:
        for _ in range(ROUNDS):
            final.around()
    return np.concatenate([final.vectors, (final.differ(final.vectors) * 64 // side**2)[..., None]], -1)


def _parents(vectors: np.ndarray, grid: tuple[int, int], a: int, b: int) -> np.ndarray:
    return 2 * vectors[np.ix_((np.arange(grid[0]) + a) // 2, (np.arange(grid[1]) + b) // 2)]


class _Match:
    """The best vector so far of every block at one size; `unit` 2 counts half samples."""

    def __init__(self, here: np.ndarray, there: np.ndarray, side: int, weight: int, unit: int = 1) -> None:
        step, pad = side // 2, 2 * side
        size = [n - 2 * pad for n in here.shape]
        self.grid = tuple(grid(n, side) for n in size)
        self.weight, self.unit = weight, unit
        self.origin = np.stack(np.meshgrid(*(pad + (np.arange(n) - 1) * step for n in self.grid), indexing="ij"), -1)
        self.last = np.array([n + 2 * pad - side for n in size])
        view = np.lib.stride_tricks.sliding_window_view
        self.blocks = view(here, (side, side))[self.origin[..., 0], self.origin[..., 1]].astype(int)
        self.there = view(there, (side, side), (1, 2))

    def held(self, vectors: np.ndarray) -> np.ndarray:
        """Limited to the padded plane."""
        return np.clip(vectors, -self.unit * self.origin, self.unit * (self.last - self.origin) + self.unit - 1)

    def differ(self, vectors: np.ndarray) -> np.ndarray:
        place, odd = self.origin + vectors // self.unit, vectors % self.unit
        found = self.there[odd[..., 0] * 2 + odd[..., 1], place[..., 0], place[..., 1]]
        return np.abs(self.blocks - found).sum((2, 3))

    def cost(self, vectors: np.ndarray) -> np.ndarray:
        apart = np.abs(vectors - self.parent).sum(-1) * (2 // self.unit)
        return self.differ(vectors) + self.weight * np.minimum(apart, CAP)

    def begin(self, vectors: np.ndarray, parent: np.ndarray | None = None) -> None:
        self.vectors = self.held(vectors)
        self.parent = self.vectors if parent is None else parent
        self.costs = self.cost(self.vectors)

    def attempt(self, vectors: np.ndarray) -> None:
        vectors = self.held(vectors)
        costs = self.cost(vectors)
        better = costs < self.costs
        self.vectors, self.costs = np.where(better[..., None], vectors, self.vectors), np.minimum(costs, self.costs)

    def around(self) -> None:
        centre = self.vectors
        for offset in CROSS:
            self.attempt(centre + offset)

    def neighbours(self) -> None:
        wide = np.pad(self.vectors, ((1, 1), (1, 1), (0, 0)), mode="edge")
        for candidate in (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]):
            self.attempt(candidate)


@find_motion.cpu
def _(frames, out, start, radius, block, precision, smooth, bits):
    side = int(block)
    sizes = np.array(pyramid(*frames.shape[1:], side), np.int64)
    scale = np.float32(1 if frames.dtype.kind == "f" else 2.0 ** (8 - bits))
    find(frames, out, start, at_once(), radius, side, precision == "half", _weight(smooth, side), sizes, scale)


def _plan(arrays: list[Any], out: Any, start: int, radius: int, block: str, precision: str, smooth: float, bits: int):
    frames, i, far = arrays[0], np.int32, np.int64
    side, half, weight = int(block), precision == "half", _weight(smooth, int(block))
    pad, outs, (count, height, width) = 2 * side, len(out), frames.shape
    begin, stop = max(start - radius, 0), min(start + outs + radius, count)
    sizes = pyramid(height, width, side)
    areas = [(h + 2 * pad) * (w + 2 * pad) for h, w in sizes]
    spots = [0, *np.cumsum([areas[0] * (4 if half else 1), *areas[1:]]).tolist()]
    total, held = spots[-1], stop - begin
    planes = empty_like_backend(frames, (held * total,), np.uint8)
    cells = [(grid(h, side), grid(w, side)) for h, w in sizes]
    found, settled = (empty_like_backend(frames, (2 * outs, *cells[0], 5), np.int32) for _ in range(2))

    def every(name: str, size: tuple[int, int], depth: int, *args: Any, threads: int = 128) -> Launch:
        return Launch(name, (-(-size[1] // threads), size[0], depth), (threads, 1, 1), args)

    full, scale = [n + 2 * pad for n in sizes[0]], 1.0 if frames.dtype.kind == "f" else 2.0 ** (8 - bits)
    made = [every("prepare", full, held, frames, planes, far(total), i(begin), i(height), i(width), i(pad),
                  np.float32(scale))]  # fmt: skip
    for source, to, across in ((0, 1, 1), (0, 2, 0), (1, 3, 0)) if half else ():
        made.append(every("phase", full, held, planes, far(total), far(source * areas[0]), far(to * areas[0]),
                          i(full[0]), i(full[1]), i(across)))  # fmt: skip
    for k in range(1, len(sizes)):
        made.append(every("smaller", [n + 2 * pad for n in sizes[k]], held, planes, far(total), far(spots[k - 1]),
                          far(spots[k]), i(sizes[k - 1][0]), i(sizes[k - 1][1]), i(pad)))  # fmt: skip
    for d in range(1, radius + 1):
        above = (0, 0)
        for k in range(len(sizes) - 1, -1, -1):
            where = far(total), far(spots[k]), i(start - begin), i(held), i(d), i(2 * radius)
            near, last = k == 0 and d > 1, k == 0
            place = *(i(n) for n in sizes[k]), *(i(n) for n in cells[k])
            made.append(every("search", cells[k], 2 * outs, planes, settled, found, out, *where, i(near), *place,
                              *(i(n) for n in above), i(side), i(weight), threads=32))  # fmt: skip
            made.append(every("settle", cells[k], 2 * outs, planes, found, settled, out, *where, i(last), i(half),
                              *place, i(side), i(weight), threads=32))  # fmt: skip
            above = cells[k]
    return made


find_motion.cuda("search.cu", _plan)
