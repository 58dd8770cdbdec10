"""Denoisers as stages: each plane for itself, as strong as its noise asks for, or as they are told.

The noise is measured in each frame and plane (`toolkit.stages.noise`); a knob that is set is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernels.declare import Kernel, Knob, Parameter
from toolkit.clip import PictureFormat
from toolkit.stages.base import KernelStage, require_progressive
from toolkit.stages.devices import joined
from toolkit.stages.noise import (
    AMOUNT,
    NOISE,
    SHAPE,
    SMALLEST,
    by_level,
    by_level_and_detail,
    level_of,
    scaled,
    spectrum_of,
)

_DOC = """

    As a stage it adjusts itself to the noise:
    {follows} : 0 follows the noise; anything else is taken as it is (on chroma times `chroma`).
    noise  : standard deviation of the luma's noise in levels; 0 measures it, in each frame and plane.
    amount : 1 is what fits the noise best on average; 0.7 keeps more texture, 1.4 takes more noise.
    chroma : share of the strength on chroma planes; 0 leaves them as they are.
    """


@dataclass(frozen=True)
class Following:
    """A kernel's knobs, some of them in times the noise of a frame.

    level : the noise where it is known; 0 measures it.
    times : knob -> what it is in times the noise.
    """

    kernel: Kernel
    knobs: dict[str, Any]
    times: dict[str, float]
    level: float
    bits: int

    def at(self, level: float) -> dict[str, Any]:
        """All knobs for noise of `level`, within their ranges."""
        spans = {n: self.kernel.knobs[n].knob for n in self.times}
        found = {n: min(max(share * level, spans[n].low), spans[n].high) for n, share in self.times.items()}
        return {**self.knobs, **found}


class Denoiser(KernelStage):
    """A denoising kernel.

    strengths : knob -> what it is in times the noise where it follows it.  On the chroma planes these knobs are
                multiplied by the knob `chroma`; at 0 chroma stays as it is.
    better    : defaults that differ from the kernel's.
    """

    def __init__(
        self,
        kernel: Kernel,
        strengths: dict[str, float] | None = None,
        chroma: float = 1.0,
        better: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.strengths = strengths or {}
        share = Parameter("chroma", float, chroma, Knob(0, 4, step=0.05, unit="times luma", soft=(0, 2)))
        own = {"noise": NOISE, "amount": AMOUNT} if self.strengths else {}
        super().__init__("denoise", kernel, extra={**own, "chroma": share}, **more)
        for name in self.strengths.keys() - {"noise"}:
            old = kernel.knobs[name].knob
            free = Knob(0, old.high, step=old.step, unit=old.unit, soft=(0, (old.soft or (0, old.high))[1]))
            self.parameters[name] = Parameter(name, float, 0.0, free)
        for name, value in (better or {}).items():
            old = self.parameters[name]
            self.parameters[name] = Parameter(name, old.kind, value, old.knob, old.choices)
        if self.strengths:
            follows = ", ".join(n for n in self.strengths if n != "noise")
            self.__doc__ = (self.__doc__ or "").rstrip() + _DOC.format(follows=follows)

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        # On interlaced frames the lines above and below belong to another moment.
        require_progressive(self.name, fmt)
        super().check(fmt, knobs)

    def halo(self, knobs: dict[str, Any]) -> int:
        return super().halo({n: v for n, v in knobs.items() if n not in self.strengths})  # 0 means nothing to a kernel

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        super().prepare(fmt, knobs, device)
        if device == "cpu" and self.strengths:
            level_of(np.zeros((SMALLEST, SMALLEST), fmt.dtype), fmt.bits)

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> Any:
        share = knobs["chroma"] if plane else 1.0
        if share == 0:
            return None
        own = super().kernel_knobs(plane, fmt, knobs)
        times = {}
        for name, factor in self.strengths.items():
            value, limit = own.pop(name), self.kernel.knobs[name].knob
            if value and name != "noise":  # what is set there is the level that the others follow
                own[name] = min(max(value * share, limit.low), limit.high)
            else:
                times[name] = factor * share * knobs["amount"]
        return Following(self.kernel, own, times, knobs["noise"], fmt.bits) if times else own

    def _run(self, plane: Any, window: tuple[int, int], knobs: Any, state: Any) -> tuple[Any, Any]:
        if not isinstance(knobs, Following):
            return super()._run(plane, window, knobs, state)
        if knobs.level:
            return super()._run(plane, window, knobs.at(knobs.level), state)
        made = []
        for level, span in by_level(plane, window, knobs.bits):
            part = plane[span[0] : span[1]] if self.kernel.recursive else plane
            out, state = super()._run(part, span, knobs.at(level), state)
            made.append(out)
        return joined(made), state


class Smoother(Denoiser):
    """hqdn3d, whose knobs mean what FFmpeg's mean unless `strength` is "auto"."""

    TIMES = {"spatial": 2.2, "temporal": 2.6}

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, self.TIMES, chroma=0.75)
        for name in self.TIMES:
            self.parameters[name] = kernel.knobs[name]
        self.parameters["strength"] = Parameter("strength", str, "set", None, ("set", "auto"))
        self.__doc__ = (kernel.__doc__ or "").rstrip() + """

    As a stage:
    strength : "set" takes `spatial` and `temporal` as FFmpeg does; "auto" has both follow the noise of each frame and
               plane; on luma the more detail there is beside it, the less in space and the more over time.
    noise    : "auto": standard deviation of the luma's noise in levels; 0 measures it.
    amount   : "auto": 1 is what fits the noise best on average.
    chroma   : share of the strength on chroma planes, 0.75 with FFmpeg; 0 leaves them as they are.
    """

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> Any:
        if knobs["strength"] == "auto":
            # What is measured on chroma is chroma's own: FFmpeg's share of it is the whole.
            knobs = {**knobs, "spatial": 0.0, "temporal": 0.0}
            if not knobs["noise"]:
                knobs["chroma"] /= 0.75
            follows = super().kernel_knobs(plane, fmt, knobs)
            if plane:
                return follows
            return Detailed(follows.kernel, follows.knobs, follows.times, follows.level, follows.bits)
        share = knobs["chroma"] if plane else 1.0
        if share == 0:
            return None
        own = KernelStage.kernel_knobs(self, plane, fmt, knobs)
        return {**own, **{n: min(own[n] * share, self.kernel.knobs[n].knob.high) for n in self.TIMES}}

    def _run(self, plane: Any, window: tuple[int, int], knobs: Any, state: Any) -> tuple[Any, Any]:
        if not isinstance(knobs, Detailed):
            return super()._run(plane, window, knobs, state)
        made = []
        for level, detail, (first, stop) in by_level_and_detail(plane, window, knobs.bits, knobs.level):
            part = plane[first:stop]
            out, state = super()._run(part, (0, stop - first), knobs.beside(detail).at(level), state)
            made.append(out)
        return joined(made), state


class Detailed(Following):
    """hqdn3d's knobs for luma, whose detail counts beside the noise.

    Smoothing along lines costs most where there is much to see; where there is little, smoothing over time gains least.
    More than the noise asks for is never smoothed over time: what is busy may move.  The numbers are fitted to two
    clips and the demo, with white noise and as tapes, and were judged on others (benchmarks/README.md).
    """

    def beside(self, detail: float) -> Following:
        """The knobs for a frame of so much detail."""
        shares = {n: times / Smoother.TIMES[n] for n, times in self.times.items()}  # of what fits
        factors = {"spatial": 2.0 * detail**-0.4, "temporal": 2.6 * min(detail, 1.0) ** 0.55}
        return replace(self, times={n: share * factors[n] for n, share in shares.items()})


class Spectral(Denoiser):
    """dft_threshold, and with noise that is measured frequency by frequency dft_coloured in its place."""

    def __init__(self, kernel: Kernel, coloured: Kernel) -> None:
        super().__init__(kernel, {"noise": 1.0}, better={"radius": 2})
        self.coloured = coloured
        self.parameters["noise_shape"] = SHAPE
        self.__doc__ = (kernel.__doc__ or "").rstrip() + """

    As a stage it adjusts itself to the noise:
    noise       : 0 measures it, in each frame and plane; anything else is the luma's, times `chroma` the chroma's.
    noise_shape : "measured" measures the noise in each frequency of space and time (`kernels.measure.spectrum`), as
                  that of a tape is far stronger in some; "white" takes it as equally strong in all.
    amount      : 1 is what fits the noise best on average; 0.7 keeps more texture, 1.4 takes more noise.
    """

    def _run(self, plane: Any, window: tuple[int, int], knobs: Any, state: Any) -> tuple[Any, Any]:
        if not isinstance(knobs, Coloured) or min(plane.shape[1:]) < SMALLEST:
            return super()._run(plane, window, knobs, state)
        spectrum = spectrum_of(plane, window, knobs.knobs["radius"], knobs.bits)
        if knobs.level:
            spectrum = scaled(spectrum, knobs.level)
        spectrum = spectrum * np.float32(knobs.times["noise"] ** 2)
        return self.coloured(plane, spectrum, window=window, **knobs.knobs), state

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> Any:
        own = super().kernel_knobs(plane, fmt, knobs)
        if own is None or knobs["noise_shape"] == "white":
            return own
        return Coloured(own.kernel, own.knobs, own.times, own.level, own.bits)


class Coloured(Following):
    """A kernel's knobs for noise that is measured frequency by frequency."""
