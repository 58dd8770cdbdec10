"""Block matching and three-dimensional filtering (BM3D), in a frame and over neighbouring frames (V-BM3D).

Dabov, Foi, Katkovnik, Egiazarian: "Image denoising by sparse 3D transform-domain collaborative filtering", IEEE Trans.
Image Processing 16(8), 2007; for frames Dabov, Foi, Egiazarian: "Video denoising by sparse 3D transform-domain
collaborative filtering", EUSIPCO 2007; Lebrun: "An analysis and implementation of the BM3D image denoising method",
IPOL 2, 2012.  For every block of 8x8 samples the eight blocks that look most like it form a group; what is weak in the
group's three-dimensional spectrum is noise; blocks go back where they came from, and overlapping ones are averaged,
weighted by how little of their spectrum stayed (Kaiser's window against the edges of blocks).  The second step weighs
the spectrum as that of the first step's result says (Wiener), which is also where it looks for the blocks.

Where this differs from the papers: blocks are compared by the sum of absolute differences of bytes, whatever the
samples are, so every body finds the same ones (ties go by place); a group always has eight; its transforms are the
cosine transform and Haar's; the step of the threshold is a short ramp, so that rounding cannot decide; over time
the frames around are searched everywhere within what may have moved, not around matches found before.

Sums in float32, in another order in each body: integers may differ by one level (tolerance 1).  On a GPU that order is
not fixed (atomic additions), on the CPU it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from numba import get_num_threads

from kernels.arrays import beside, depth, empty_like_backend
from kernels.declare import Bits, Halo, Knob, Launch, kernel
from kernels.denoise.alike import GROUP, NONE, PLACES, SIDE
from kernels.denoise.collaborate import BEFORE, BEHIND, collaborate, finish, floats, levels
from kernels.denoise.groups import START
from kernels.motion.planes import eight_bit

LOW, HIGH = 0.75, 1.25  # the ramp, in squared thresholds
assert LOW / (HIGH - LOW) == START
FRAMES_A_THREAD = 2  # worked on at a time where frames do not need each other

Noise = Annotated[float, Knob(0.1, 64, unit="levels", soft=(1, 25))]
Step = Literal["8", "4", "2"]
Search = Annotated[int, Knob(1, 16, step=1, unit="samples each way", soft=(2, 9))]
Motion = Annotated[int, Knob(1, 8, step=1, unit="samples a frame", soft=(2, 6))]
Radius = Annotated[int, Knob(0, 2, step=1, unit="frames", soft=(0, 1))]


def _halo(radius: int, search: int, motion: int, **_: Any) -> Halo:
    return Halo(2 * radius, 2 * (max(search, radius * motion) + SIDE))


@kernel(halo=_halo, tolerance=1)
def bm3d(
    frames,
    noise: Noise = 5.0,
    threshold: Annotated[float, Knob(0, 8, unit="times noise", soft=(1, 4))] = 2.7,
    step: Step = "4",
    search: Search = 9,
    radius: Radius = 0,
    motion: Motion = 4,
    bits: Bits = 0,
):
    """Removes noise from what repeats in the picture: pieces that look alike are thresholded together.

    noise     : standard deviation of the (white) noise.
    threshold : what is weaker than this many times the noise goes.
    step      : a block begins every so many samples: 8 is the fastest, 4 better.
    search    : how far away blocks that look alike are looked for.
    radius    : they are looked for in that many frames before and after, too.
    motion    : how far away in the frame next to it, twice as far in the one after that: what moves faster is filtered
                in its own frame alone.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    Returns the same shape and dtype: the basic estimate, see `bm3d_wiener` for the second step.
    Source: see the module.
    """
    limit = max((threshold * noise) ** 2, 1e-20)

    def share(spectrum, _):
        return np.clip((spectrum**2 - LOW * limit) / ((HIGH - LOW) * limit), 0, 1)

    return _estimate(frames, frames, share, int(step), search, radius, motion, bits)


@kernel(halo=_halo, tolerance=1)
def bm3d_wiener(
    frames,
    guide,
    noise: Noise = 5.0,
    step: Step = "4",
    search: Search = 9,
    radius: Radius = 0,
    motion: Motion = 4,
    bits: Bits = 0,
):
    """Removes noise from what repeats, keeps more of its detail: the second step, after `bm3d`.

    noise, step, search, radius, motion : as in `bm3d`.

    frames : `(T, H, W)` uint8, uint16 or float32, one progressive plane.
    guide  : the same frames with less noise, the result of `bm3d`; same shape and dtype.
    Returns the same shape and dtype.
    Source: see the module.
    """

    def share(_, spectrum):
        return spectrum**2 / (spectrum**2 + noise**2)

    return _estimate(frames, guide, share, int(step), search, radius, motion, bits)


def _estimate(
    frames: np.ndarray, guide: np.ndarray, share: Callable, step: int, search: int, radius: int, motion: int, bits: int
) -> np.ndarray:
    """The definition of both steps; `share(spectra of frames, of guide)` is what stays of each frequency."""
    real, bits = frames.dtype.kind == "f", depth(frames, bits)
    scale = 1.0 if real else 2.0 ** (8 - bits)
    count, height, width = frames.shape
    to_blocks = [(0, 0), (0, -height % SIDE), (0, -width % SIDE)]
    light, led = (np.pad(a.astype(np.float64) * scale, to_blocks, mode="symmetric") for a in (frames, guide))
    seen = np.pad(eight_bit(guide, bits).astype(np.int32), to_blocks, mode="symmetric")
    views = [np.lib.stride_tricks.sliding_window_view(a, (SIDE, SIDE), (1, 2)) for a in (light, led)]
    y, x = (a.ravel() for a in np.meshgrid(*(np.arange(0, n, step) for n in views[0].shape[1:3]), indexing="ij"))
    cosine, haar, shape = _cosine(), _haar(), window()
    sums, weights = np.zeros(light.shape), np.zeros(light.shape)
    moves = candidates(max(search, radius * motion), radius)
    for t in range(count):
        keys = np.full((len(moves), len(y)), NONE, np.int64)
        keys[0] = 0
        for number, (frame, dy, dx) in enumerate(moves[1:], 1):
            near = search if frame == 0 else motion * abs(frame)
            if 0 <= t + frame < count and (frame or dy or dx) and max(abs(dy), abs(dx)) <= near:
                apart = _differences(seen[t], seen[t + frame], dy, dx)[y, x]
                keys[number] = np.where(apart < 0, NONE, apart << PLACES | number)
        best = np.sort(np.partition(keys, GROUP - 1, axis=0)[:GROUP], axis=0)
        number = np.where(best == NONE, 0, best & ((1 << PLACES) - 1)).T  # too few: the block itself once more
        places = [where[:, None] + moves[number, i] for i, where in enumerate((np.full(len(y), t), y, x))]
        spectra = [np.einsum("gk,nkuv->nguv", haar, cosine @ v[tuple(places)] @ cosine.T) for v in views]
        keep = share(*spectra)
        keep[:, 0, 0, 0] = 1  # the mean of the group
        blocks = cosine.T @ np.einsum("gk,nguv->nkuv", haar, spectra[0] * keep) @ cosine
        weight = np.broadcast_to(1 / (keep**2).sum((1, 2, 3))[:, None, None, None] * shape, blocks.shape)
        at = (places[0][..., None, None], places[1][..., None, None] + np.arange(SIDE)[:, None],
              places[2][..., None, None] + np.arange(SIDE))  # fmt: skip
        np.add.at(sums, at, weight * blocks)
        np.add.at(weights, at, weight)
    mean = (sums / weights)[:, :height, :width] / scale
    return mean.astype(frames.dtype) if real else np.clip(np.rint(mean), 0, (1 << bits) - 1).astype(frames.dtype)


def _differences(here: np.ndarray, there: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Sums of absolute differences of every block and the one `dy` below and `dx` to the right; -1 for none there."""
    high, wide = here.shape
    y, x, down, across = max(-dy, 0), max(-dx, 0), high - abs(dy), wide - abs(dx)
    sums = np.full((high - SIDE + 1, wide - SIDE + 1), -1, np.int64)
    if min(down, across) >= SIDE:
        apart = np.abs(here[y : y + down, x : x + across] - there[y + dy :, x + dx :][:down, :across])
        total = np.pad(apart, [(1, 0), (1, 0)]).cumsum(0).cumsum(1)
        blocks = total[SIDE:, SIDE:] - total[:-SIDE, SIDE:] - total[SIDE:, :-SIDE] + total[:-SIDE, :-SIDE]
        sums[y : y + down - SIDE + 1, x : x + across - SIDE + 1] = blocks
    return sums


def candidates(reach: int, radius: int) -> np.ndarray:
    """Where a block is looked for, `(count, 3)`: frame, down, right; the block itself, then frames 0, -1, 1, ..."""
    span = np.arange(-reach, reach + 1)
    frames = sorted(range(-radius, radius + 1), key=lambda f: (abs(f), f))
    moves = np.stack(np.meshgrid(frames, span, span, indexing="ij"), -1)
    return np.concatenate([np.zeros((1, 3), int), moves.reshape(-1, 3)])


def window() -> np.ndarray:
    """Kaiser's window with beta 2."""
    return np.outer(np.kaiser(SIDE, 2), np.kaiser(SIDE, 2))


def _cosine() -> np.ndarray:
    """The orthonormal cosine transform."""
    k, i = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    return np.cos((2 * i + 1) * k * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)


def _haar() -> np.ndarray:
    """The orthonormal transform of Haar, coarse to fine."""
    rows = np.ones((1, 1))
    while len(rows) < GROUP:
        rows = np.concatenate([np.kron(rows, [1, 1]), np.kron(np.eye(len(rows)), [1, -1])]) / np.sqrt(2)
    return rows


def _mirrored(size: int) -> np.ndarray:
    """Where each sample of a line of whole blocks comes from."""
    return np.pad(np.arange(size, dtype=np.int32), (0, -size % SIDE), mode="symmetric")


def _facts(frames: Any, bits: int) -> tuple[np.float32, ...]:
    """Scale to levels of 8-bit video, peak and rounding (0 for float)."""
    real = frames.dtype.kind == "f"
    facts = 1.0 if real else 2.0 ** (8 - bits), 0 if real else (1 << bits) - 1, 0 if real else 0.5
    return tuple(np.float32(v) for v in facts)


def _slope(noise: float, threshold: float) -> np.float32:
    return np.float32(1 / ((HIGH - LOW) * max((threshold * noise) ** 2, 1e-20)))


def _span(frames: Any, out: Any, start: int, radius: int) -> tuple[int, int]:
    """The frames that are looked at."""
    return max(start - 2 * radius, 0), min(start + len(out) + 2 * radius, len(frames))


def _run(frames, guide, out, start, strength, guided, step, search, radius, motion, bits):
    rows, columns = (_mirrored(n) for n in frames.shape[1:])
    scale, peak, half = _facts(frames, bits)
    # New memory costs the system more time than the arithmetic on it, and more yet where threads ask at once: frames
    # that do not need each other go through the same planes, a few at a time.
    most = len(out) if radius else min(len(out), FRAMES_A_THREAD * get_num_threads())
    begin, stop = _span(frames, out[:most], start, radius)
    shape = stop - begin, len(rows), len(columns)
    light = led = np.empty(shape, np.float32)
    if guided:
        led = np.empty(shape, np.float32)
    seen = np.empty((*shape[:2], shape[2] + BEFORE + BEHIND), np.uint8)
    sums, weights = (np.empty((most + 1, *shape[1:]), np.float32) for _ in range(2))
    twice = np.tile(window(), 2).astype(np.float32).ravel()
    for first in range(0, len(out), most):
        part, at = out[first : first + most], start + first
        begin, stop = _span(frames, part, at, radius)
        held = stop - begin
        floats(frames, begin, rows, columns, scale, light[:held])
        if guided:
            floats(guide, begin, rows, columns, scale, led[:held])
        levels(led[:held], seen[:held])
        collaborate(seen[:held].ravel(), light[:held].ravel(), led[:held].ravel(), at - begin, len(part), *shape[1:],
                    int(step), search, motion, radius, guided, strength, twice, sums.ravel(),
                    weights.ravel())  # fmt: skip
        finish(sums, weights, part, scale, peak, half)


@bm3d.cpu
def _(frames, out, start, noise, threshold, step, search, radius, motion, bits):
    _run(frames, frames, out, start, _slope(noise, threshold), False, step, search, radius, motion, bits)


@bm3d_wiener.cpu
def _(frames, guide, out, start, noise, step, search, radius, motion, bits):
    _run(frames, guide, out, start, np.float32(noise**2), True, step, search, radius, motion, bits)


def _plan(frames, guide, out, start, strength, guided, step, search, radius, motion, bits) -> list[Launch]:
    i, far, step = np.int32, np.int64, int(step)
    outs, height, width = out.shape
    high, wide = height + -height % SIDE, width + -width % SIDE
    begin, stop = _span(frames, out, start, radius)
    held, first = stop - begin, max(start - radius, 0)
    refs = min(start + outs + radius, len(frames)) - first
    down, across = (high - SIDE) // step + 1, (wide - SIDE) // step + 1
    scale, peak, half = _facts(frames, bits)
    light = empty_like_backend(frames, (held, high, wide), np.float32)
    led = empty_like_backend(frames, (held, high, wide), np.float32) if guided else light
    seen = empty_like_backend(frames, (held, high, wide), np.uint8)
    found = empty_like_backend(frames, (refs, down, across, GROUP), np.uint32)
    sums = empty_like_backend(frames, (2, outs, high, wide), np.float32)
    shape = beside(frames, window().astype(np.float32))
    every, blocks = (-(-wide // 128), high, held), (across, down, refs)
    size = i(high), i(wide)
    made = [
        Launch("prepare", every, (128, 1, 1), (a, to, seen, i(begin), i(height), i(width), *size, scale))
        for a, to in ((frames, light), (guide, led))[: 1 + guided]
    ]
    where = i(first - begin), i(held), *size, i(step), i(max(search, radius * motion)), i(radius)
    area = (-(-sums.size // 256), 1, 1)
    return [
        *made,
        Launch("match", blocks, (32, 1, 1), (seen, found, *where, i(search), i(motion))),
        Launch("clear", area, (256, 1, 1), (sums, far(sums.size))),
        Launch("collaborate", blocks, (64, 1, 1),
               (light, led, found, sums, shape, *where, i(start - first), i(outs), i(guided), strength)),
        Launch("finish", (-(-width // 128), height, outs), (128, 1, 1),
               (sums, out, i(height), i(width), *size, scale, peak, half)),
    ]  # fmt: skip


def _basic_plan(arrays, out, start, noise, threshold, step, search, radius, motion, bits):
    strength = _slope(noise, threshold)
    return _plan(arrays[0], arrays[0], out, start, strength, False, step, search, radius, motion, bits)


def _final_plan(arrays, out, start, noise, step, search, radius, motion, bits):
    return _plan(*arrays, out, start, np.float32(noise**2), True, step, search, radius, motion, bits)


bm3d.cuda("bm3d.cu", _basic_plan)
bm3d_wiener.cuda("bm3d.cu", _final_plan)
