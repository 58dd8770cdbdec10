"""Planes to the device and back; on a GPU the copies run beside the net instead of between its batches.

There the results lie in page-locked memory, which the GPU writes by itself, and a stream of its own carries them, so
batch n travels home while batch n + 1 is computed.  On a CPU nothing travels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.arrays import contiguous, to_torch

_TYPES = {np.dtype(np.uint8): torch.uint8, np.dtype(np.uint16): torch.uint16}


def empty(shape: tuple[int, ...], dtype: np.dtype, device: str) -> np.ndarray:
    """An array for `fetch` to fill; the memory stays page-locked for as long as the array or a view of it lives."""
    if device != "cuda":
        return np.empty(shape, dtype)
    return torch.empty(shape, dtype=_TYPES[np.dtype(dtype)], pin_memory=True).numpy()


def send(plane: Any, device: str) -> Tensor:
    """`plane` on the device.  On a CPU the tensor shares its memory where that may be written; a CuPy array is handed
    over where it is."""
    if not isinstance(plane, np.ndarray):
        return to_torch(contiguous(plane)).to(device)
    plane = np.ascontiguousarray(plane)
    tensor = torch.from_numpy(plane if plane.flags.writeable else plane.copy())
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor


def fetch(plane: Tensor, target: np.ndarray) -> None:
    """Copies `plane` into `target`, a contiguous part of what `empty` gave; on a GPU it is there after `wait`."""
    if plane.device.type != "cuda":
        target[...] = plane.numpy()
        return
    kept, home = torch.from_numpy(target), _homeward(plane.device.index or 0)
    plane = plane.to(kept.dtype)
    home.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(home):
        kept.copy_(plane, non_blocking=True)
    plane.record_stream(home)  # its memory is not given to others before it has been read


def wait(device: str) -> None:
    """Returns when all that was fetched has arrived."""
    if device == "cuda":
        _homeward(torch.cuda.current_device()).synchronize()


@functools.cache
def _homeward(index: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(index)
