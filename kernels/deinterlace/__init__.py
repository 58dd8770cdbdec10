"""Fields to whole frames: bob, w3fdif, bwdif, yadif, edi; and film out of video (`film.py`).

All take one interlaced plane `(T, H, W)`, the field order, `rate` ("field" gives one frame per field, twice the frames;
"frame" one per frame, at the time of its first field) and `bits`.  In YUV each plane is filtered for itself.
`methods()` lists them by name; what a stage must know of each (rate, halo, knobs, smallest size) stands on the kernel.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

Order = Literal["tff", "bff"]
Rate = Literal["field", "frame"]

#: Deinterlacers by name, in the order of their cost; each lives in the module of its name.
METHODS = ("bob", "w3fdif", "bwdif", "yadif", "edi")


def methods() -> dict[str, Any]:
    """The deinterlacing kernels by name: those with the knobs `order` and `rate`."""
    return {name: getattr(importlib.import_module(f"kernels.deinterlace.{name}"), name) for name in METHODS}


def frames_per_frame(**knobs: Any) -> int:
    """2 for field rate, 1 for frame rate; the `rate=` fact of every deinterlacer."""
    return 2 if knobs["rate"] == "field" else 1


def kept_parity(index: int, order: str, rate: str) -> tuple[int, int]:
    """Of output frame `index`: the input frame it comes from and the parity of its kept lines (0 top, 1 bottom)."""
    first = 0 if order == "tff" else 1
    return (index // 2, first ^ (index & 1)) if rate == "field" else (index, first)
