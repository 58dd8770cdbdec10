"""Repairs of the tape's own lines: jitter, rainbows and dot crawl, halos.

The first two compare frames of the tape line by line, so they stand before deinterlacing, which mixes the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages.base import Context, KernelStage, Stage
from toolkit.stages.devices import on_host
from toolkit.stream import with_halo


class Dehalo(KernelStage):
    """Takes away the light and dark rims that sharpening left beside edges, along the line.

    Luma alone: a recorder's sharpening does not touch the colour.  Knobs: those of `kernels.repair.halo.dehalo`; with
    `share` 0 it is measured, in each frame (`halo_share`), and pictures that were not sharpened stay as they are.
    """

    def __init__(self) -> None:
        from kernels.repair.halo import dehalo

        super().__init__("repair", dehalo)
        self.__doc__ = type(self).__doc__
        self.parameters["share"] = replace(self.parameters["share"], default=0.0)

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any] | None:
        return None if plane else super().kernel_knobs(plane, fmt, knobs)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        super().prepare(fmt, {**knobs, "share": 0.1}, device)
        super().prepare(fmt, knobs, device)

    def _run(self, plane: Any, window: tuple[int, int], knobs: dict[str, Any], state: Any) -> tuple[Any, Any]:
        if knobs["share"]:
            return super()._run(plane, window, knobs, state)
        from kernels.repair.halo import halo_share

        out = plane[window[0] : window[1]].copy()
        shares = halo_share(on_host(out), knobs["width"], knobs["bits"])
        for share in np.unique(shares[shares > 0]):
            frames = np.flatnonzero(shares == share)
            for run in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1):
                first, stop = int(run[0]), int(run[-1]) + 1
                out[first:stop] = self.kernel(out[first:stop], **{**knobs, "share": float(share)})
        return out, None


class FrameComb(KernelStage):
    """Every plane: luma has the dots, chroma the rainbows."""

    before_deinterlacing = True

    def __init__(self) -> None:
        from kernels.repair.comb import frame_comb

        super().__init__("repair", frame_comb)


class Dejitter(Stage):
    """Puts lines back that the tape played a little too early or too late.

    Each line of luma is measured against the same line of the frames before and after
    (`kernels.repair.jitter`); colour moves with it.  It works best before deinterlacing.

    reach  : the largest displacement that is looked for.
    sure   : a line is moved only when that takes away more than this part of its difference from the frames around.
    passes : how often lines are measured anew against frames that are steadier by then.
    """

    before_deinterlacing = True

    def __init__(self) -> None:
        from kernels.repair.jitter import line_costs

        knobs = {
            "reach": line_costs.knobs["reach"],
            "sure": Parameter("sure", float, 0.15, Knob(0.01, 0.5, step=0.01, unit="of the difference")),
            "passes": Parameter("passes", int, 2, Knob(1, 4, step=1)),
        }
        super().__init__("repair.dejitter", knobs, self.__doc__ or "")

    def halo(self, knobs: dict[str, Any]) -> int:
        return knobs["passes"]

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        from kernels.repair.jitter import line_costs

        least = line_costs.smallest[1]
        if fmt.width < least:
            raise PictureError(f"{self.name} was given {fmt.width} samples a line", expected=f"at least {least}")

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu":
            small = fmt.replace(width=64, height=8)
            planes = tuple(np.zeros((2, *shape), fmt.dtype) for shape in small.plane_shapes)
            self._steadied(planes, (0, 1), small, knobs)

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        return 2 * fmt.height * fmt.width * fmt.dtype.itemsize

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        for batch, window in with_halo(batches, self.halo(knobs)):
            planes = context.timed(self.name, lambda b=batch, w=window: self._steadied(b.planes, w, fmt, knobs))
            yield batch[window[0] : window[1]].replace(planes=planes)

    def _steadied(
        self, planes: tuple[Any, ...], window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any]
    ) -> tuple[Any, ...]:
        from kernels.repair.jitter import displacements, line_costs, shift_lines

        luma, shifts = planes[0], None
        for _ in range(knobs["passes"]):
            costs = on_host(line_costs(luma, reach=knobs["reach"], bits=fmt.bits))
            found = displacements(costs, sure=knobs["sure"], fields=fmt.interlaced)
            shifts = found if shifts is None else shifts + found
            luma = shift_lines(planes[0], _beside(planes[0], shifts), bits=fmt.bits)  # once, from the tape itself
        first, stop = window
        out = [luma[first:stop]]
        for plane in planes[1:]:
            own = _beside(plane, chroma_shifts(shifts[first:stop], fmt))
            out.append(shift_lines(plane[first:stop], own, bits=fmt.bits))
        return tuple(out)


def chroma_shifts(shifts: np.ndarray, fmt: PictureFormat) -> np.ndarray:
    """Displacements of luma lines, `(T, H, 1)`, as those of the chroma lines, in chroma samples."""
    sx, sy = fmt.subsampling
    height = fmt.plane_shapes[1][0]
    line = np.arange(height)
    if sy == 0:
        rows = [line]
    elif fmt.interlaced:  # two lines of one field share a line of chroma
        rows = [4 * (line // 2) + line % 2 + 2 * k for k in range(1 << sy)]
    else:
        rows = [(line << sy) + k for k in range(1 << sy)]
    last = shifts.shape[1] - 1
    mean = np.mean([shifts[:, np.minimum(r, last)] for r in rows], axis=0, dtype=np.float32)
    return np.ascontiguousarray(mean / np.float32(1 << sx))


def _beside(plane: Any, shifts: np.ndarray) -> Any:
    from kernels.arrays import beside

    return beside(plane, shifts)
