"""Deinterlacers as stages: fields become whole frames, and every frame gets its own time.

At field rate the frames double: the first field of a frame keeps its time, the second comes half a duration later, in
a time base twice as fine.  Progressive clips pass unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages.base import Context, KernelStage


def require_fields(name: str, fmt: PictureFormat) -> None:
    """Raises `PictureError` where the field order is unknown, or the fields are not alike in every plane."""
    if fmt.field_order == "unknown":
        raise PictureError(
            f"{name} was given frames of unknown field order",
            expected="tff, bff or progressive",
            hint="measure it (vhs-toolkit probe) or set it (--field-order)",
        )
    if fmt.interlaced and (fmt.height % 2 or (fmt.subsampling and fmt.height % (2 << fmt.subsampling[1]))):
        rows = 2 << (fmt.subsampling[1] if fmt.subsampling else 0)
        raise PictureError(
            f"{name} was given interlaced frames {fmt.height} lines high",
            expected=f"a multiple of {rows}, so that both fields have as many lines in every plane",
            hint="crop the picture, or --field-order progressive if it is not interlaced",
        )


class Deinterlacer(KernelStage):
    def __init__(self, kernel: Any, **more: Any) -> None:
        super().__init__("deinterlace", kernel, hidden=("order",), **more)

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any]:
        order = fmt.field_order if fmt.interlaced else "tff"
        return {**super().kernel_knobs(plane, fmt, knobs), "order": order}

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_fields(self.name, fmt)
        if fmt.interlaced:
            super().check(fmt, knobs)

    def format_after(self, fmt: PictureFormat, knobs: dict[str, Any]) -> PictureFormat:
        return fmt.replace(field_order="progressive")

    def rate(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        return 2 if fmt.interlaced and knobs.get("rate") == "field" else 1

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        if not fmt.interlaced:
            return iter(batches)
        return super().apply(batches, fmt, knobs, context)

    def only(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Batch:
        return super().only(batch, window, fmt, knobs, context) if fmt.interlaced else batch[window[0] : window[1]]

    def _worked(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any],
        per_plane: list[dict[str, Any] | None], states: list[Any],
    ) -> Batch:  # fmt: skip
        planes = self.kernel.together(batch.planes, window, **per_plane[0])  # all planes have the same knobs
        return self.rebuilt(batch[window[0] : window[1]], planes, fmt, knobs)

    def rebuilt(self, batch: Batch, planes: tuple[Any, ...], fmt: PictureFormat, knobs: dict[str, Any]) -> Batch:
        after = self.format_after(fmt, knobs)
        if self.rate(fmt, knobs) == 1:
            return batch.replace(planes=planes, format=after)
        # In units of half the time base every field's time is a whole number.
        pts = np.stack([2 * batch.pts, 2 * batch.pts + batch.durations], axis=1).reshape(-1)
        return Batch(planes, pts, np.repeat(batch.durations, 2), batch.time_base / 2, after)
