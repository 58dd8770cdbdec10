"""Denoisers as stages: each plane for itself, chroma with its own share of the strength."""

from __future__ import annotations

from typing import Any

from kernels.declare import Kernel, Knob, Parameter
from toolkit.clip import PictureFormat
from toolkit.stages.base import KernelStage, require_progressive


class Denoiser(KernelStage):
    """A denoising kernel.

    strengths : its knobs that are multiplied by the knob `chroma` on the chroma planes; at 0 chroma stays as it is.
    """

    def __init__(self, kernel: Kernel, strengths: tuple[str, ...], chroma: float = 1.0, **more: Any) -> None:
        self.strengths = strengths
        share = Parameter("chroma", float, chroma, Knob(0, 4, step=0.05, unit="times luma", soft=(0, 2)))
        super().__init__("denoise", kernel, extra={"chroma": share}, **more)

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        # On interlaced frames the lines above and below belong to another moment.
        require_progressive(self.name, fmt)
        super().check(fmt, knobs)

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any] | None:
        own = super().kernel_knobs(plane, fmt, knobs)
        if plane == 0:
            return own
        if knobs["chroma"] == 0:
            return None
        for name in self.strengths:
            limit = self.parameters[name].knob
            own[name] = min(max(own[name] * knobs["chroma"], limit.low), limit.high)
        return own
