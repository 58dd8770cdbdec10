"""A net, one frame at a time: up to the device, through, down again, before the next one is looked at.

This is the loop of the realesrgan package, not one of ours.  Fault: the device waits while frames are converted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolkit.upscale import RealESRGANReference


def enlarge(model: str, frames: list[np.ndarray], device: str = "cpu") -> Iterator[np.ndarray]:
    """RGB uint8 `(H, W, 3)` in, larger ones out."""
    net = RealESRGANReference(model, device=device)
    for frame in frames:
        yield net(frame)
