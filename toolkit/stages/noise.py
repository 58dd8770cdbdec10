"""The noise of a frame in the steps that stages work in, and frames put together again."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST, MOST = 0.25, 64.0  # levels of noise that are told apart, in steps of a quarter of an octave
SMALLEST = 16  # lines and samples in which noise can be measured


def measured(frame: Any, bits: int, share: float = 1.0) -> float:
    """`share` of the standard deviation of the noise of one plane `(H, W)`, in levels of 8-bit video.

    In steps, so that frames share a call of a kernel; by the frame alone, so that batches do not matter.
    """
    from kernels.measure.noise import noise_level

    if min(frame.shape) < SMALLEST:
        return LEAST
    host = frame if isinstance(frame, np.ndarray) else frame.get()
    scale = 1.0 if frame.dtype.kind == "f" else 2.0 ** (8 - bits)
    level = float(noise_level(host[None], interlaced=False)[0]) * scale * share
    return float(np.clip(2 ** (np.rint(4 * np.log2(max(level, LEAST))) / 4), LEAST, MOST))


def stacked(frames: list[Any]) -> Any:
    """Frames `(H, W)` as one array on their device."""
    if isinstance(frames[0], np.ndarray):
        return np.stack(frames)
    import cupy

    return cupy.stack(frames)
