"""What a missing line is computed from: the lines around it in its own frame and in the fields before and after it.

Every output frame keeps the lines of one field of frame `now`; the others are missing.  `before` and `after` are the
neighbouring frames (the first and last frame are their own neighbours).  `earlier` and `later` are the frames that hold
the two fields nearest in time that do have the missing lines: one of them is always `now`, at its other field.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import get_num_threads, njit, types
from numba.extending import overload, register_jitable

from kernels import lanes
from kernels.deinterlace import frames_per_frame, kept_parity

#: Bytes that one vector step takes from each row: an AVX-512 register.
STEP = 64
#: How many lines ahead of the one in work a line is asked for.
AHEAD = 4
#: Rows of a plane that one thread takes at a time, and where there are fewer frames than threads.
ROWS, FEW_ROWS = 128, 64


class Around:
    """For the definitions: the surroundings of all missing lines of output frame `index`.

    y is the column of missing line numbers; `at(frame, k)` the lines k below them, reflected at the picture's edge.
    """

    def __init__(self, frames: np.ndarray, index: int, order: str, rate: str) -> None:
        t, self.parity = kept_parity(index, order, rate)
        wide = frames.astype(np.float32 if frames.dtype.kind == "f" else np.int64)
        self.now, self.before, self.after = wide[t], wide[max(t - 1, 0)], wide[min(t + 1, len(wide) - 1)]
        self.first_field = self.parity == (0 if order == "tff" else 1)
        self.earlier, self.later = (self.before, self.now) if self.first_field else (self.now, self.after)
        self.at_start = t == 0 and self.first_field
        self.at_end = t == len(frames) - 1 and not self.first_field
        self.height = frames.shape[1]
        self.lines = np.arange(1 - self.parity, self.height, 2)
        self.y = self.lines[:, None]

    def at(self, frame: np.ndarray, k: int) -> np.ndarray:
        return frame[[reflected(y + k, self.height) for y in self.lines]]


def whole_frames(frames: np.ndarray, order: str, rate: str, missing: Any) -> np.ndarray:
    """For the definitions: kept lines as they are, the others from `missing(Around) -> lines`."""
    count = len(frames) * frames_per_frame(rate=rate)
    out = np.empty((count, *frames.shape[1:]), frames.dtype)
    for n in range(count):
        around = Around(frames, n, order, rate)
        out[n, around.parity :: 2] = around.now[around.parity :: 2]
        out[n, 1 - around.parity :: 2] = missing(around)
    return out


@register_jitable
def reflected(y: int, height: int) -> int:
    """Line y, mirrored at the first and last line: -1 is 1."""
    if y < 0:
        y = -y
    if y >= height:
        y = 2 * height - 2 - y
    return min(max(y, 0), height - 1)


@register_jitable
def neighbours(t: int, first_field: bool, total: int) -> tuple[int, int, int, int]:
    """Indices of the frames before, after, earlier, later; see the module's docstring."""
    before, after = max(t - 1, 0), min(t + 1, total - 1)
    if first_field:
        return before, after, before, t
    return before, after, t, after


def half(value: Any) -> Any:
    """Half of a value: rounded down for integers, exact for float."""
    return value * np.float32(0.5) if np.asarray(value).dtype.kind == "f" else value >> 1


@overload(half)
def _half(value):
    if isinstance(value, types.Float):
        return lambda value: value * np.float32(0.5)
    return lambda value: np.int32(value >> 1)


def wide(sample: Any) -> Any:
    """A sample in the type of the arithmetic: int32, or float32 for float."""
    return np.float32(sample) if isinstance(sample, np.floating) else np.int32(sample)


@overload(wide)
def _wide(sample):
    if isinstance(sample, types.Float):
        return lambda sample: np.float32(sample)
    return lambda sample: np.int32(sample)


def share_out(
    planes: Sequence[np.ndarray],
    outs: Sequence[np.ndarray],
    least: int,
    lanes_body: Callable[..., None],
    plain_body: Callable[..., None],
) -> None:
    """`lanes_body(three planes, three outs, pieces)` for integers at least `least` wide, else `plain_body(plane, out)`.

    One parallel region does three planes, because each costs time to begin and to end.  Frames of the smallest plane
    are cut into pieces of about ROWS rows of the widest, those of the others into as many as make equal work, so that
    equal shares of the list take equal time.  Where there are fewer planes the first stands in for the others, with no
    pieces: any number of planes is one type, and one compiled body does for all.
    """
    alike: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {}
    for plane, out in zip(planes, outs, strict=True):
        if plane.dtype.kind == "f" or plane.shape[2] < least:
            plain_body(plane, out)
        else:
            seen = plane.view()
            seen.flags.writeable = False  # else arrays that may be written to and others were two types, compiled twice
            alike.setdefault(seen.flags.aligned, []).append((seen, out))
    for pairs in alike.values():
        for k in range(0, len(pairs), 3):
            three, outs_of_three = zip(*pairs[k : k + 3], strict=True)
            missing = 3 - len(three)
            pieces = _pieces(tuple([p.shape[1:] for p in three]), len(three[0]) < get_num_threads())
            lanes_body(three + three[:1] * missing, outs_of_three + outs_of_three[:1] * missing, pieces)


@functools.lru_cache(maxsize=32)
def _pieces(shapes: tuple[tuple[int, int], ...], few: bool) -> tuple[int, int, int]:
    """Into how many pieces frames of up to three planes of these shapes are cut, see `share_out`."""
    sizes = [height * width for height, width in shapes]
    cuts = max(1, round(min(sizes) / (max(width for _, width in shapes) * (FEW_ROWS if few else ROWS))))
    return tuple([round(cuts * size / min(sizes)) for size in sizes] + [0] * (3 - len(sizes)))


@register_jitable
def place(job, count, pieces):
    """Plane, frame and piece of one of the `count * sum(pieces)` jobs.

    Plane by plane: a frame's neighbours are then still in the cache, which all planes of three frames would not fit.
    """
    plane, job = 0, np.int64(job)
    while job >= count * pieces[plane]:
        job -= count * pieces[plane]
        plane += 1
    return plane, job // pieces[plane], job % pieces[plane]


@register_jitable
def on_a_cache_line(count, like):
    """An empty flat array of the type of `like` whose vectors each lie in one cache line."""
    whole = np.empty(count + STEP // like.itemsize, like.dtype)
    skipped = -whole.ctypes.data % STEP // like.itemsize
    return whole[skipped : skipped + count]


@lanes.step(STEP)
def copy(a):
    return a


@njit(cache=True, nogil=True)
def copy_line(out, to, frames, at, width):
    """width samples of flat array `frames` from `at` into flat array `out` from `to`; at least one step wide."""
    count = STEP // out.itemsize
    for x in range(0, width, count):
        i = min(x, width - count)
        copy(out, to + i, frames, at + i)


@njit(cache=True, nogil=True)
def ask_ahead(frames, at, width):
    """Has the line of flat array `frames` from `at` brought into the cache while others are worked on.

    Of the frame after, the lines of one field are read and those of the other skipped, so the processor's own
    prefetcher does not follow: a frame from memory cost yadif 0.08 ms of 0.27 ms before this.
    """
    for x in range(0, width, STEP // frames.itemsize):
        lanes.prefetch(frames, at + x)
