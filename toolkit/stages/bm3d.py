"""Block matching and three-dimensional filtering as a stage: noise measured, basic estimate, Wiener step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from kernels.declare import Kernel, Knob, Parameter
from toolkit.clip import Batch, PictureFormat
from toolkit.stages.base import Context, Stage, require_progressive
from toolkit.stages.devices import stacked
from toolkit.stages.noise import MOST, measured
from toolkit.stream import with_halo


class Bm3d(Stage):
    """Removes noise from what repeats in the picture and from frame to frame; fine texture stays.

    The basic estimate (`kernels.denoise.bm3d.bm3d`), and with `final` the Wiener step after it (`bm3d_wiener`), each
    plane for itself.  It takes the noise for white; of a tape's, which is smooth along the line, it leaves more than
    `motion_mean` does.

    strength : in times the noise; more removes more.
    noise    : standard deviation of the noise; 0 measures it, in each frame and plane
               (`kernels.measure.noise.noise_level`).
    final    : the second step: better, in twice to three times the time.
    search   : fewer places than the kernel's own default, since in frames around the same thing is found again.
    chroma   : strength on the chroma planes, in times luma's.
    planes   : which are changed.
    Other knobs are those of the kernel.
    """

    def __init__(self) -> None:
        from kernels.denoise.bm3d import bm3d, bm3d_wiener

        self.basic, self.wiener = bm3d, bm3d_wiener
        knobs = {
            "strength": Parameter("strength", float, 1.0, Knob(0.1, 4, unit="times noise", soft=(0.5, 2))),
            "noise": Parameter("noise", float, 0.0, Knob(0, MOST, unit="levels", soft=(0, 25))),
            "radius": Parameter("radius", int, 2, Knob(0, 2, step=1, unit="frames")),
            "step": bm3d.knobs["step"],
            "search": Parameter("search", int, 3, bm3d.knobs["search"].knob),
            "motion": bm3d.knobs["motion"],
            "final": Parameter("final", bool, True),
            "chroma": Parameter("chroma", float, 1.0, Knob(0, 4, step=0.05, unit="times luma", soft=(0, 2))),
            "planes": Parameter("planes", str, "all", None, ("all", "luma", "chroma")),
        }
        super().__init__("denoise.bm3d", knobs, self.__doc__ or "")

    def halo(self, knobs: dict[str, Any]) -> int:
        return 2 * knobs["radius"] * (2 if knobs["final"] else 1)

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu":
            small = fmt.replace(width=32, height=32)
            planes = tuple(np.zeros((1, *shape), fmt.dtype) for shape in small.plane_shapes)
            _Work(self, small, knobs)(planes, (0, 1))

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        # Planes of floats and bytes, two sums, and the basic estimate.
        samples = fmt.plane_shapes[0][0] * fmt.plane_shapes[0][1]
        return samples * (2 * 4 + 1 + 2 * 4 + fmt.dtype.itemsize)

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        work = _Work(self, fmt, knobs)
        for batch, window in with_halo(batches, self.halo(knobs)):
            planes = context.timed(self.name, lambda b=batch, w=window: work(b.planes, w))
            yield batch[window[0] : window[1]].replace(planes=planes)


class _Work:
    """One run through a stream.  What later frames need (basic estimates, noise) is kept, by absolute number."""

    def __init__(self, stage: Bm3d, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        self.stage, self.fmt, self.knobs = stage, fmt, knobs
        self.next = 0  # absolute number of the next frame to make
        self.kept: list[dict[int, Any]] = [{} for _ in fmt.plane_shapes]
        self.levels: list[dict[int, float]] = [{} for _ in fmt.plane_shapes]

    def __call__(self, planes: tuple[Any, ...], window: tuple[int, int]) -> tuple[Any, ...]:
        knobs, shift = self.knobs, self.next - window[0]
        self.next += window[1] - window[0]
        out = []
        for n, plane in enumerate(planes):
            if knobs["planes"] == ("luma" if n else "chroma") or (n and knobs["chroma"] == 0):
                out.append(plane[window[0] : window[1]])
                continue
            reach = 2 * knobs["radius"] if knobs["final"] else 0
            first, stop = max(window[0] - reach, 0), min(window[1] + reach, len(plane))
            for old in (self.kept[n], self.levels[n]):
                for t in [t for t in old if t < first + shift]:
                    del old[t]
            basic = self._basic(n, plane, first, stop, shift)
            out.append(self._final(n, plane, basic, first, window, shift) if knobs["final"] else basic)
        return tuple(out)

    def _settings(self, kernel: Kernel) -> dict[str, Any]:
        return {k: v for k, v in self.knobs.items() if k in kernel.knobs and k != "noise"} | {"bits": self.fmt.bits}

    def _basic(self, n: int, plane: Any, first: int, stop: int, shift: int) -> Any:
        """Basic estimates of frames first .. stop of `plane`; `shift` makes numbers absolute."""
        kept, kernel = self.kept[n], self.stage.basic
        missing = [t for t in range(first, stop) if t + shift not in kept]
        for noise, span in self._runs(n, plane, missing, shift):
            made = kernel(plane, window=span, noise=noise, **self._settings(kernel))
            kept.update(zip((t + shift for t in range(*span)), made, strict=True))
        return stacked([kept[t + shift] for t in range(first, stop)])

    def _final(self, n: int, plane: Any, basic: Any, first: int, window: tuple[int, int], shift: int) -> Any:
        """The second step for the frames in `window`; `basic` begins at frame `first` of `plane`."""
        kernel, made = self.stage.wiener, []
        frames = plane[first : first + len(basic)]
        for noise, (a, b) in self._runs(n, plane, list(range(*window)), shift):
            span = a - first, b - first
            made += list(kernel(frames, basic, window=span, noise=noise, **self._settings(kernel)))
        return stacked(made)

    def _runs(self, n: int, plane: Any, frames: list[int], shift: int) -> Iterator[tuple[float, tuple[int, int]]]:
        """Neighbouring frames of the same noise, and the noise."""
        for noise, group in groupby(frames, key=lambda t: self._noise(n, plane[t], t + shift)):
            run = list(group)
            yield noise, (run[0], run[-1] + 1)

    def _noise(self, n: int, frame: Any, number: int) -> float:
        share = self.knobs["strength"] * (self.knobs["chroma"] if n else 1.0)
        if self.knobs["noise"]:
            return min(max(self.knobs["noise"] * share, 0.1), MOST)
        if number not in self.levels[n]:
            self.levels[n][number] = measured(frame, self.fmt.bits, share)
        return self.levels[n][number]
