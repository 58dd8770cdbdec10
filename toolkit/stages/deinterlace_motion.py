"""The motion-compensated deinterlacer as a stage: guessed frames, motion between them, missing lines from along it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages.deinterlace import Deinterlacer
from toolkit.stages.devices import stacked
from toolkit.stages.motion import spread
from toolkit.stages.noise import SMALLEST

#: The knobs of `motion_fill` by which the parts of a sample are weighed.
WEIGHTS = ("limit", "fit", "rough", "made", "own", "pull")


class MotionDeinterlacer(Deinterlacer):
    """Fills the missing lines with what the fields around have sampled, along the motion: the sharpest, and slow.

    bwdif guesses the frames of all fields; in their luma, its lines softened (`kernels.motion.soften`), the motion of
    blocks is found (`kernels.motion.search`), and each field takes its missing lines from its neighbours along it
    (`kernels.motion.fill`).  The frames so made are the next round's guess.  Chroma moves with luma.  The sampled lines
    stay as they are.

    rounds : how often motion is found and lines are filled.
    chroma : weight of the guess (`own`) in the chroma planes, in times luma's: what is soft is guessed well.
    Other knobs are those of `find_motion` and `motion_fill`.
    """

    def __init__(self) -> None:
        from kernels.deinterlace.bwdif import bwdif
        from kernels.motion.fill import motion_fill
        from kernels.motion.search import find_motion
        from kernels.motion.soften import soften_lines

        self.search, self.fill, self.soften = find_motion, motion_fill, soften_lines
        knobs = {
            "rounds": Parameter("rounds", int, 2, Knob(1, 4, step=1, unit="times")),
            **{n: motion_fill.knobs[n] for n in ("radius", "block", *WEIGHTS)},
            "chroma": Parameter("chroma", float, 4.0, Knob(0.1, 40, unit="times luma", soft=(0.5, 8), scale="log")),
            "smooth": find_motion.knobs["smooth"],
        }
        super().__init__(bwdif, name="motion", extra=knobs)
        self.__doc__ = type(self).__doc__

    def halo(self, knobs: dict[str, Any]) -> int:
        return knobs["rounds"] * _reach(knobs) + 1  # the guess looks one frame further

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        super().check(fmt, knobs)
        if fmt.interlaced and min(fmt.height, fmt.width) < SMALLEST:
            raise PictureError(
                f"{self.name} was given a picture of {fmt.width}x{fmt.height}",
                expected=f"at least {SMALLEST}x{SMALLEST} (width x height), to find motion in",
            )

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu" and fmt.interlaced:
            small = fmt.replace(width=32, height=32)
            planes = tuple(np.zeros((2, *shape), fmt.dtype) for shape in small.plane_shapes)
            _Rounds(self, small, knobs)(planes, (0, 2))

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        # Two frames of guess for each round, and of both the four phases that search and filling look at.
        samples = sum(h * w for h, w in fmt.plane_shapes)
        return samples * (2 * knobs["rounds"] + 2 * 4) * fmt.dtype.itemsize + 2 * 4 * samples

    def guess_weight(self, plane: int, knobs: dict[str, Any]) -> float:
        """The weight of the guess in `plane` (0 is luma), as the kernel takes it."""
        own = self.fill.knobs["own"].knob
        return min(max(knobs["own"] * (knobs["chroma"] if plane else 1.0), own.low), own.high)

    def _worked(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any],
        per_plane: list[dict[str, Any] | None], states: list[Any],
    ) -> Batch:  # fmt: skip
        if states[0] is None:
            states[0] = _Rounds(self, fmt, knobs)
        return self.rebuilt(batch[window[0] : window[1]], states[0](batch.planes, window), fmt, knobs)


class _Rounds:
    """One run through a stream.  Each round's guesses are kept while later frames need them, by absolute number."""

    def __init__(self, stage: MotionDeinterlacer, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        self.stage, self.fmt, self.knobs = stage, fmt, knobs
        self.next = 0  # absolute number of the next frame to make
        self.kept: list[dict[int, tuple[Any, ...]]] = [{} for _ in range(knobs["rounds"])]

    def __call__(self, planes: tuple[Any, ...], window: tuple[int, int]) -> tuple[Any, ...]:
        shift, reach, count = self.next - window[0], _reach(self.knobs), len(planes[0])
        self.next += window[1] - window[0]
        spans = [window]  # of each round, what the next one looks at
        for _ in self.kept:
            spans.insert(0, (max(spans[0][0] - reach, 0), min(spans[0][1] + reach, count)))
        for k, kept in enumerate(self.kept):
            first, stop = spans[k]
            for t in [t for t in kept if t < first + shift]:
                del kept[t]
            missing = [t for t in range(first, stop) if t + shift not in kept]
            if missing:  # they follow each other
                made = self._made(k, planes, (missing[0], missing[-1] + 1), shift, "field")
                kept.update((t + shift, tuple(plane[n] for plane in made)) for n, t in enumerate(missing))
        return self._made(len(self.kept), planes, window, shift, self.knobs["rate"])

    def _made(self, k: int, planes: tuple[Any, ...], span: tuple[int, int], shift: int, rate: str) -> tuple[Any, ...]:
        """Both fields' frames `(T, 2, H, W)` of the frames `span` after `k` rounds; of the last round, the result."""
        stage, fmt, knobs = self.stage, self.fmt, self.knobs
        facts = {"order": fmt.field_order, "bits": fmt.bits}
        if k == 0:
            made = tuple(stage.kernel(plane, window=span, rate="field", **facts) for plane in planes)
            return tuple(plane.reshape(-1, 2, *plane.shape[1:]) for plane in made)
        reach, radius, block = _reach(knobs), knobs["radius"], knobs["block"]
        first, stop = max(span[0] - reach, 0), min(span[1] + reach, len(planes[0]))
        guess = [stacked([self.kept[k - 1][t + shift][n] for t in range(first, stop)]) for n in range(len(planes))]
        inner = span[0] - first, span[1] - first
        luma = stage.soften(guess[0].reshape(-1, *guess[0].shape[2:]))
        vectors = stage.search(luma, window=(2 * inner[0], 2 * inner[1]), radius=radius, block=block,
                               smooth=knobs["smooth"], bits=fmt.bits)  # fmt: skip
        vectors = spread(vectors, 2 * inner[0], len(luma))
        vectors = vectors.reshape(-1, 2, *vectors.shape[1:])
        out = []
        for n, plane in enumerate(planes):
            across, down = (fmt.subsampling or (0, 0)) if n else (0, 0)
            weights = {name: knobs[name] for name in WEIGHTS}
            weights["own"] = stage.guess_weight(n, knobs)
            filled = stage.fill(plane[first:stop], guess[n], vectors, window=inner, rate=rate, radius=radius,
                                block=block, down=down, across=across, **weights, **facts)  # fmt: skip
            out.append(filled if k == len(self.kept) else filled.reshape(-1, 2, *filled.shape[1:]))
        return tuple(out)


def _reach(knobs: dict[str, Any]) -> int:
    """How many frames away the farthest field is that a round looks at."""
    return (knobs["radius"] + 1) // 2
