"""Judges results: alignment, metrics, contact sheets.

found = compare("truth.mkv", "restored.mp4")      # paths, Clips, demos or lists of Batches
print(found)                                      # what was aligned and how, then a line per plane
found.table                                       # one row per frame and plane
some = sample("tape.mkv", bursts=3, length=12)     # short runs of frames, in memory
contact_sheet({"tape": "tape.mkv", "restored": "restored.mp4"}, times=[0.5, 1.5], path="sheet.png")
stacked_video({"tape": "tape.mkv", "restored": "restored.mp4"}, "both.mp4")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.compare.align import Alignment, Finding
    from toolkit.compare.comparison import Comparison
    from toolkit.compare.grid import before_after, contact_sheet, frames_at, to_rgb
    from toolkit.compare.metrics import compare
    from toolkit.compare.samples import Sample, sample
    from toolkit.compare.video import Stacked, stacked_video
    from toolkit.compare.viewers import viewer_scores

_WHERE = {
    "Alignment": "align",
    "Comparison": "comparison",
    "Finding": "align",
    "Sample": "samples",
    "Stacked": "video",
    "before_after": "grid",
    "compare": "metrics",
    "contact_sheet": "grid",
    "frames_at": "grid",
    "sample": "samples",
    "stacked_video": "video",
    "to_rgb": "grid",
    "viewer_scores": "viewers",
}
__all__ = [
    "Alignment", "Comparison", "Finding", "Sample", "Stacked", "before_after", "compare", "contact_sheet", "frames_at",
    "sample", "stacked_video", "to_rgb", "viewer_scores",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
