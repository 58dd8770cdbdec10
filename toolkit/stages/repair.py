"""Repairs as stages: dropouts, the place of the colour, levels, the torn foot of the picture.

They stand between deinterlacing and denoising.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.stages.base import Context, KernelStage, Stage, require_progressive
from toolkit.stream import with_halo


class HealDropouts(Stage):
    """Heals dropouts: streaks in one frame only, found in luma, replaced in all planes from the frames around.

    Knobs: those of `kernels.repair.dropouts.find_dropouts`, and `agree` of `heal_dropouts`.  Colour is lost where luma
    is, so chroma is healed wherever a streak was found.
    """

    def __init__(self) -> None:
        from kernels.repair.dropouts import find_dropouts, heal_dropouts

        self.find, self.heal = find_dropouts, heal_dropouts
        knobs = {**find_dropouts.knobs, **heal_dropouts.knobs}
        super().__init__("repair.heal_dropouts", {n: p for n, p in knobs.items() if n != "bits"}, self.__doc__ or "")

    def halo(self, knobs: dict[str, Any]) -> int:
        return 2  # a frame is healed from its neighbours where no streak was found in them

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu":
            small = fmt.replace(width=16, height=16)
            planes = tuple(np.zeros((3, *shape), fmt.dtype) for shape in small.plane_shapes)
            self._healed(planes, (1, 2), small, knobs)

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        return 2 * sum(h * w for h, w in fmt.plane_shapes) * fmt.dtype.itemsize

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        for batch, window in with_halo(batches, self.halo(knobs)):
            planes = context.timed(self.name, lambda b=batch, w=window: self._healed(b.planes, w, fmt, knobs))
            yield batch[window[0] : window[1]].replace(planes=planes)

    def only(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Batch:
        planes = self._healed(batch.planes, window, fmt, knobs)
        return batch[window[0] : window[1]].replace(planes=planes)

    def _healed(
        self, planes: tuple[Any, ...], window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any]
    ) -> tuple[Any, ...]:
        first, stop = max(window[0] - 1, 0), min(window[1] + 1, len(planes[0]))
        own = {n: v for n, v in knobs.items() if n in self.find.knobs}
        marks = self.find(planes[0], window=(first, stop), bits=fmt.bits, **own)
        if not marks.any():
            return tuple(p[window[0] : window[1]] for p in planes)
        inner = (window[0] - first, window[1] - first)
        out = []
        for n, plane in enumerate(planes):
            here = marks if n == 0 else on_chroma(marks, fmt)
            healed = self.heal(plane[first:stop], here, window=inner, agree=knobs["agree"], bits=fmt.bits)
            out.append(healed)
        return tuple(out)


def on_chroma(marks: Any, fmt: PictureFormat) -> Any:
    """Marks of luma on the grid of chroma: a chroma sample is marked when one of its luma samples is.

    Where chroma has half the lines, a line of it belongs to lines of luma on both sides of a streak, so marks grow by
    one line each way.
    """
    sx, sy = fmt.subsampling or (0, 0)
    small = _largest_of(_largest_of(marks, 1 << sx).swapaxes(1, 2), 1 << sy).swapaxes(1, 2)
    if sy == 0:
        return small
    grown = small.copy()
    grown[:, 1:] = np.maximum(grown[:, 1:], small[:, :-1])
    grown[:, :-1] = np.maximum(grown[:, :-1], small[:, 1:])
    return grown


def _largest_of(planes: Any, step: int) -> Any:
    """The largest of every `step` columns."""
    out = planes[..., ::step].copy()
    for k in range(1, step):
        part = planes[..., k::step]
        out[..., : part.shape[-1]] = np.maximum(out[..., : part.shape[-1]], part)
    return out


class ChromaShift(Stage):
    """Moves the colour by a fraction of a sample against the luma, to where it belongs.

    right, down : in luma samples and lines; tapes play colour late, so it mostly has to go left: `right=-3`.
                  `kernels.measure.chroma.measure_chroma_shift` says how far it lies off.
    filter      : how chroma is interpolated: the Lanczos window of three lobes, or the cubic of Keys.

    The samples at the edge repeat.  The resampling is `kernels.resize.resize` at its own size.
    """

    def __init__(self) -> None:
        from kernels.declare import Knob, Parameter

        knobs = {
            "right": Parameter("right", float, 0.0, Knob(-32, 32, step=0.05, unit="luma samples", soft=(-8, 8))),
            "down": Parameter("down", float, 0.0, Knob(-16, 16, step=0.05, unit="lines", soft=(-4, 4))),
            "filter": Parameter("filter", str, "lanczos3", None, ("lanczos3", "bicubic")),
        }
        super().__init__("repair.chroma_shift", knobs, self.__doc__ or "")

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        if knobs["down"]:  # along the line every field is moved alike
            require_progressive(self.name, fmt)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu" and fmt.subsampling:
            small = fmt.replace(width=32, height=32)
            self._moved(tuple(np.zeros((1, *shape), fmt.dtype) for shape in small.plane_shapes), small, knobs)

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        for batch in batches:
            yield batch.replace(planes=context.timed(self.name, lambda b=batch: self._moved(b.planes, fmt, knobs)))

    def _moved(self, planes: tuple[Any, ...], fmt: PictureFormat, knobs: dict[str, Any]) -> tuple[Any, ...]:
        from kernels.resize import resize

        if not (fmt.subsampling and (knobs["right"] or knobs["down"])):
            return planes
        sx, sy = fmt.subsampling
        place = {"left": -knobs["right"] / (1 << sx), "top": -knobs["down"] / (1 << sy), "filter": knobs["filter"]}
        luma, *chroma = planes
        sizes = [{"width": p.shape[2], "height": p.shape[1]} for p in chroma]
        return luma, *(resize(p, bits=fmt.bits, **size, **place) for p, size in zip(chroma, sizes, strict=True))


class Levels(KernelStage):
    """Black, white, gamma and saturation; the kernel's knobs, with plane and range set by the picture."""

    def __init__(self) -> None:
        from kernels.repair.levels import levels

        super().__init__("repair", levels, hidden=("plane", "range"))

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any] | None:
        kind = "chroma" if plane else "luma"
        neutral = knobs["saturation"] == 1 if plane else (knobs["black"], knobs["white"], knobs["gamma"]) == (0, 0, 1)
        return None if neutral else {**super().kernel_knobs(plane, fmt, knobs), "plane": kind, "range": fmt.range}

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if self.kernel_knobs(0, fmt, knobs) is not None:
            super().prepare(fmt, knobs, device)


class HeadSwitching(KernelStage):
    """The torn lines at the foot, counted in luma lines; chroma covers the lines that belong to them."""

    def __init__(self) -> None:
        from kernels.repair.foot import head_switching

        super().__init__("repair", head_switching)

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)
        super().check(fmt, knobs)

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any] | None:
        if knobs["lines"] == 0:
            return None
        rows = 1 << fmt.subsampling[1] if plane and fmt.subsampling else 1
        return {"lines": -(-knobs["lines"] // rows)}

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if knobs["lines"]:
            super().prepare(fmt, knobs, device)
