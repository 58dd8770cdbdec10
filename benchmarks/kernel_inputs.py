"""What every kernel can be run on: a made picture, and for each kernel the arrays that a stage would give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import all_kernels
from kernels.declare import Kernel

WIDTH, HEIGHT = 720, 480


def picture(frames: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Moving waves with fine texture and seeded noise, `(frames, height, width)` uint8."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    texture = 6 * rng.standard_normal((height, width))
    batch = np.empty((frames, height, width), np.uint8)
    for t in range(frames):
        wave = 120 + 60 * np.sin((x + 3 * t) / 17) * np.cos((y - t) / 23)
        noise = 4 * rng.standard_normal((height, width))
        batch[t] = np.clip(wave + np.roll(texture, (t, 3 * t), (0, 1)) + noise, 16, 235)
    return batch


def arrays_of(kernel: Kernel, frames: np.ndarray) -> list[np.ndarray]:
    """The kernel's arrays: the frames, smaller for chroma, and what a stage would give where frames are not meant."""
    known = all_kernels()
    made: list[np.ndarray] = []
    for name, shape in zip(kernel.arrays, kernel.inputs(frames.shape, kernel.settings({})), strict=True):
        if name == "motion":
            seen = made[1].reshape(-1, *frames.shape[1:]) if "guess" in kernel.arrays else frames
            made.append(known["find_motion"](seen, radius=shape[-4] // 2).reshape(shape))
        elif name == "marks":
            made.append(known["find_dropouts"](frames))
        elif name == "spectrum":
            made.append(np.full(shape, 25.0, np.float32))
        elif name in kernel.others:
            made.append(np.random.default_rng(6).integers(-6, 7, shape).astype(kernel.others[name]))
        elif len(shape) == 4:
            made.append(np.repeat(frames[:, None], shape[1], axis=1))
        elif made and shape == frames.shape:  # a second picture: the first with an error
            made.append(frames ^ 1)
        else:
            made.append(np.ascontiguousarray(frames[:, : shape[1], : shape[2]]))
    return made


def flat(result: Any) -> list[Any]:
    """A kernel's results, one or several, as a list."""
    return [a for part in result for a in flat(part)] if isinstance(result, tuple | list) else [result]
