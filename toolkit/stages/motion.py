"""The motion-compensated mean as a stage: noise measured, frames thresholded, motion found in luma, mean along it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages.base import Context, Stage, require_progressive
from toolkit.stages.devices import stacked
from toolkit.stages.noise import AMOUNT, MOST, NOISE, SHAPE, SMALLEST, by_level, scaled, spectrum_of
from toolkit.stream import with_halo


class MotionMean(Stage):
    """Removes noise along the motion: strong on heavy noise, keeps what moves sharp.

    Every plane first loses its weak frequencies (`kernels.denoise.dft.dft_coloured`, radius 1); in the luma so made
    the motion of blocks is found (`kernels.motion.search`), and each frame becomes the mean of itself and its
    neighbours along it (`kernels.motion.mean`).  Chroma moves with luma.

    noise       : standard deviation of the luma's noise; 0 measures it, in each frame and plane.
    noise_shape : "measured" measures the noise in each frequency of space and time (`kernels.measure.spectrum`), as
                  that of a tape is far stronger in some; "white" takes it as equally strong in all.
    amount      : 1 is what fits the noise best on average; 0.7 keeps more texture, 1.4 takes more noise.
    threshold   : frequencies weaker than this many times the noise go; smaller keeps more texture and leaves more to
                  the mean.
    chroma      : noise in the chroma planes, in times what is set or measured.
    planes      : which are changed.
    Other knobs are those of `find_motion` and `motion_mean`.
    """

    def __init__(self) -> None:
        from kernels.denoise.dft import dft_coloured, dft_threshold
        from kernels.motion.mean import motion_mean
        from kernels.motion.search import find_motion

        self.threshold, self.coloured = dft_threshold, dft_coloured
        self.search, self.mean = find_motion, motion_mean
        knobs = {
            "noise": NOISE,
            "noise_shape": SHAPE,
            "amount": AMOUNT,
            "threshold": Parameter("threshold", float, 2.0, Knob(0, 8, unit="times noise", soft=(1, 4))),
            "radius": Parameter("radius", int, 4, find_motion.knobs["radius"].knob),
            "limit": Parameter("limit", float, 14.0, motion_mean.knobs["limit"].knob),
            "block": find_motion.knobs["block"],
            "precision": find_motion.knobs["precision"],
            "smooth": find_motion.knobs["smooth"],
            "chroma": Parameter("chroma", float, 1.0, Knob(0, 4, step=0.05, unit="times luma", soft=(0, 2))),
            "planes": Parameter("planes", str, "all", None, ("all", "luma", "chroma")),
        }
        super().__init__("denoise.motion_mean", knobs, self.__doc__ or "")

    def halo(self, knobs: dict[str, Any]) -> int:
        return knobs["radius"] + 1  # neighbours are thresholded together with theirs

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)
        if min(fmt.height, fmt.width) < SMALLEST:
            raise PictureError(
                f"{self.name} was given a picture of {fmt.width}x{fmt.height}",
                expected=f"at least {SMALLEST}x{SMALLEST} (width x height), to find motion in",
            )

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu":
            small = fmt.replace(width=32, height=32)
            planes = tuple(np.zeros((2, *shape), fmt.dtype) for shape in small.plane_shapes)
            self._Work(self, small, knobs)(planes, (0, 1))

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        # Thresholding pads in float32, twice; search and mean hold four phases of the frames at work.
        samples = fmt.plane_shapes[0][0] * fmt.plane_shapes[0][1]
        return samples * (2 * 4 + 4 + 4 * fmt.dtype.itemsize) * 5 // 4

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        work = self._Work(self, fmt, knobs)
        for batch, window in with_halo(batches, self.halo(knobs)):
            planes = context.timed(self.name, lambda b=batch, w=window: work(b.planes, w))
            yield batch[window[0] : window[1]].replace(planes=planes)

    def only(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Batch:
        planes = self._Work(self, fmt, knobs)(batch.planes, window)
        return batch[window[0] : window[1]].replace(planes=planes)

    class _Work:
        """One run through a stream.  Thresholded frames are kept while later ones need them, by absolute number."""

        def __init__(self, stage: MotionMean, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
            self.stage, self.fmt, self.knobs = stage, fmt, knobs
            self.next = 0  # absolute number of the next frame to make
            self.kept: list[dict[int, Any]] = [{} for _ in fmt.plane_shapes]

        def __call__(self, planes: tuple[Any, ...], window: tuple[int, int]) -> tuple[Any, ...]:
            stage, knobs, fmt = self.stage, self.knobs, self.fmt
            radius, block = knobs["radius"], knobs["block"]
            first, stop = max(window[0] - radius, 0), min(window[1] + radius, len(planes[0]))
            inner, shift = (window[0] - first, window[1] - first), self.next - window[0]
            self.next += window[1] - window[0]
            luma = self._cleaned(0, planes[0], first, stop, shift)
            motion = stage.search(luma, window=inner, radius=radius, block=block, precision=knobs["precision"],
                                  smooth=knobs["smooth"], bits=fmt.bits)  # fmt: skip
            # The mean looks at the vectors of the window alone, but takes as many as there are frames.
            vectors = spread(motion, inner[0], stop - first)
            out = []
            for n, plane in enumerate(planes):
                if knobs["planes"] == ("luma" if n else "chroma") or (n and knobs["chroma"] == 0):
                    out.append(plane[window[0] : window[1]])
                    continue
                clean = luma if n == 0 else self._cleaned(n, plane, first, stop, shift)
                across, down = (fmt.subsampling or (0, 0)) if n else (0, 0)
                out.append(stage.mean(clean, vectors, window=inner, limit=knobs["limit"], radius=radius, block=block,
                                      down=down, across=across, bits=fmt.bits))  # fmt: skip
            return tuple(out)

        def _cleaned(self, n: int, plane: Any, first: int, stop: int, shift: int) -> Any:
            """Frames first .. stop of `plane` without their weak frequencies; `shift` makes numbers absolute."""
            kept = self.kept[n]
            for t in [t for t in kept if t < first + shift]:
                del kept[t]
            missing = [t for t in range(first, stop) if t + shift not in kept]
            if missing:  # they follow each other
                span = missing[0], missing[-1] + 1
                kept.update(zip((t + shift for t in missing), self._thresholded(n, plane, span), strict=True))
            return stacked([kept[t + shift] for t in range(first, stop)])

        def _thresholded(self, n: int, plane: Any, span: tuple[int, int]) -> Any:
            knobs, bits = self.knobs, self.fmt.bits
            share = knobs["amount"] * (knobs["chroma"] if n else 1.0)
            how = {"threshold": knobs["threshold"], "radius": 1}
            if knobs["noise_shape"] == "measured" and min(plane.shape[1:]) >= SMALLEST:
                spectrum = spectrum_of(plane, span, 1, bits)
                if knobs["noise"]:
                    spectrum = scaled(spectrum, knobs["noise"])
                return self.stage.coloured(plane, spectrum * np.float32(share**2), window=span, bits=bits, **how)
            levels = [(knobs["noise"], span)] if knobs["noise"] else by_level(plane, span, bits)
            made = [self.stage.threshold(plane, window=part, noise=min(max(level * share, 0.1), MOST), bits=bits, **how)
                    for level, part in levels]  # fmt: skip
            return [frame for frames in made for frame in frames]


def spread(motion: Any, before: int, count: int) -> Any:
    """The vectors of some frames in an array for `count` frames, the first `before` of them unset."""
    from kernels.arrays import empty_like_backend

    whole = empty_like_backend(motion, (count, *motion.shape[1:]), motion.dtype)
    whole[before : before + len(motion)] = motion
    return whole
