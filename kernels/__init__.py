"""Kernels for pictures and sound: arrays in, arrays out.  NumPy arrays run in Numba, CuPy arrays on CUDA; nothing is
copied between the two unasked.  `kernels.all_kernels()` lists what there is; `kernels.declare` says how one is made.

No files, no Torch, no widgets here; those live in `toolkit`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.declare import Halo, Kernel, Knob, all_kernels, kernel

#: A fact by which `toolkit` recognises this package; PyPI has an unrelated project of the same name.
BELONGS_TO = "vhs-toolkit"

_LAZY = {name: "kernels.declare" for name in ("Halo", "Kernel", "Knob", "all_kernels", "kernel")}

__all__ = ["BELONGS_TO", "Halo", "Kernel", "Knob", "all_kernels", "kernel"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kernels' has no attribute {name!r}")
