"""Arrays of either device, where NumPy and CuPy are asked differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def on_host(array: Any) -> np.ndarray:
    """The array in main memory: itself for NumPy, a copy for CuPy."""
    return array if isinstance(array, np.ndarray) else array.get()


def joined(parts: Sequence[Any]) -> Any:
    """Arrays one after the other along their first axis, on their device; a lone one as it is."""
    return parts[0] if len(parts) == 1 else _module_of(parts[0]).concatenate(list(parts))


def stacked(frames: Sequence[Any]) -> Any:
    """Frames `(H, W)` as one array `(T, H, W)` on their device."""
    return _module_of(frames[0]).stack(list(frames))


def _module_of(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        return np
    import cupy

    return cupy
