"""Repairs on made tapes with known truth: each raises PSNR on the fault it is for and leaves clean pictures alone."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from kernels.repair.dropouts import find_dropouts, heal_dropouts
from tests import _media as m
from tests import cuda_host
from toolkit.clip import Batch, Clip
from toolkit.stages import deinterlace
from toolkit.tape import Tape, demo

SIZE = (360, 240)
#: What is filmed, and the first clean frame used.
SCENES = {"garage": 20, "table": 70, "rocket": 130, "bigbuckbunny.mp4": 30, "bikes.mp4": 40}
LOSS = 0.1  # dB that a repair may cost on a clean clip


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(255**2 / np.mean((truth.astype(float) - picture) ** 2)))


@functools.cache
def clean(scene: str, frames: int = 14) -> Batch:
    """Clean frames at field rate."""
    source = demo(frames=90, size=SIZE) if scene in ("garage", "table", "rocket") else Clip.open(m.real_clip(scene))
    first = SCENES[scene]
    taken = Batch.join([b for b in _from(source, first, frames)])
    to = Tape().format(field_order="progressive").replace(width=SIZE[0], height=SIZE[1])
    return Batch.join(list(Tape().prepare([taken], motion="retime", to=to)))


def _from(source: Any, first: int, frames: int) -> Any:
    if isinstance(source, Clip):
        return source.batches(frames=(first, first + frames))
    return [Batch.join(list(source.batches(size=16)))[first : first + frames]]


@functools.cache
def spoilt(scene: str, **faults: Any) -> Batch:
    """The clean frames recorded with one fault and played back, deinterlaced at field rate."""
    return deinterlace.bwdif()(Tape.only(**faults).record(clean(scene)).tape)


# Dropouts


def streaky(dtype: str, bits: int = 8) -> np.ndarray:
    """A still picture with noise, streaks of one to three lines in single frames, and a thin line that moves."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:48, 0:150]
    frames = 110 + 40 * np.sin(x / 9) * np.cos(y / 5) + rng.normal(0, 2, (6, 48, 150))
    for t in range(6):
        frames[t, 5 + 3 * t : 7 + 3 * t, 60:120] = 220
    for t, top, high, left, long, level in ((1, 30, 1, 10, 40, 240), (2, 40, 3, 80, 70, 12), (3, 0, 1, 90, 30, 235),
                                            (4, 47, 1, 0, 25, 14), (3, 31, 2, 20, 18, 230)):  # fmt: skip
        frames[t, top : top + high, left : left + long] = level
    frames = np.clip(frames, 0, 255) * (1 << (bits - 8))
    return frames.astype(dtype) if dtype == "float32" else np.rint(frames).astype(dtype)


@pytest.mark.parametrize("body", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype, bits", [("uint8", 8), ("uint16", 10), ("float32", 8)])
def test_bodies_find_the_same_streaks_as_the_definition(body, dtype, bits):
    """The pictures of test_kernels.py hold few streaks; these do."""
    frames = streaky(dtype, bits)
    for knobs in ({}, {"length": 8, "lines": 1}, {"threshold": 60.0}):
        want = find_dropouts.definition(frames, bits=bits, **knobs)
        call = functools.partial(cuda_host.call, find_dropouts, [frames]) if body == "cuda" else None
        got = call(bits=bits, **knobs) if call else find_dropouts(frames, bits=bits, **knobs)
        assert want[1:5].any(axis=(1, 2)).sum() >= 3 and np.array_equal(got, want)


def test_finds_streaks_and_leaves_a_moving_line():
    marks = find_dropouts(streaky("uint8")) > 0
    assert marks[1, 30, 10:50].all() and marks[2, 40:43, 80:150].all() and marks[3, 0, 90:120].all()
    assert marks[4, 47, :25].all() and not marks[0].any() and not marks[5].any()
    assert not any(marks[t, 5 + 3 * t : 7 + 3 * t, 60:120].any() for t in (1, 2, 4)), "the moving line was taken"
