"""Clean scenes and what a repair gains on a tape made of them."""

from __future__ import annotations

import functools

import numpy as np

from tests import _media as m
from toolkit.clip import Batch, Clip
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
    taken = list(source.batches(frames=(first, first + frames)))
    to = Tape().format(field_order="progressive").replace(width=SIZE[0], height=SIZE[1])
    return Batch.join(list(Tape().prepare(taken, motion="retime", to=to)))
