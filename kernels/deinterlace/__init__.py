"""Fields to whole frames: bob, yadif, bwdif.

All take one interlaced plane `(T, H, W)`, the field order, and `rate`: "field" gives one frame per field (twice the
frames), "frame" one per frame, at the time of its first field.
"""

from __future__ import annotations

from typing import Any, Literal

Order = Literal["tff", "bff"]
Rate = Literal["field", "frame"]


def frames_per_frame(**knobs: Any) -> int:
    """2 for field rate, 1 for frame rate; the `rate=` fact of every deinterlacer."""
    return 2 if knobs["rate"] == "field" else 1


def kept_parity(index: int, order: str, rate: str) -> tuple[int, int]:
    """Of output frame `index`: the input frame it comes from and the parity of its kept lines (0 top, 1 bottom)."""
    first = 0 if order == "tff" else 1
    return (index // 2, first ^ (index & 1)) if rate == "field" else (index, first)
