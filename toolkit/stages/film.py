"""Film out of video as a stage: fields matched back into film frames, of 3:2 pulldown the repeated ones dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import KnobError, PictureError
from toolkit.stages.base import Context, Stage
from toolkit.stages.deinterlace import require_fields
from toolkit.stages.devices import joined, on_host
from toolkit.stream import with_halo

CYCLE, KEPT = 5, 4  # frames of 3:2 pulldown that hold so many of film
AROUND = 20  # frames before and after a cycle by which its matches are chosen
GROUP = 4 * CYCLE  # frames worked on at once; results do not depend on it
_SURE = 0.5


class Film(Stage):
    """Gives film back frame by frame from interlaced video: 24 frames per second out of 3:2 pulldown.

    Every frame keeps its first field and takes for the second that of itself or a neighbour, as fits best over many
    frames (`kernels.deinterlace.film`).  With 3:2 pulldown the least changed of every five frames so made is dropped,
    and the four that stay are spread evenly over the time of the five.  Frames that comb whatever is taken, because
    they are no film, are made by bwdif.

    cadence : "3:2" or "2:2" (no frame is dropped); "auto" measures it on the tape before the run.
    combed  : a frame of which a larger share combs is made by bwdif.
    """

    def __init__(self) -> None:
        knobs = {
            "cadence": Parameter("cadence", str, "auto", None, ("auto", "3:2", "2:2")),
            "combed": Parameter("combed", float, 0.005, Knob(0, 1, unit="of the picture", soft=(0, 0.05))),
        }
        super().__init__("deinterlace.film", knobs, self.__doc__ or "")

    def settled(self, clip: Clip, fmt: PictureFormat, knobs: dict[str, Any], say: Callable[[str], None]) -> dict:
        if knobs["cadence"] != "auto" or not fmt.interlaced:
            return knobs
        from toolkit.media.probe import cadence_of

        found = cadence_of(clip)
        if found.name not in ("3:2", "2:2") or found.confidence < _SURE:
            raise PictureError(
                f"no film was found in {clip.path}: cadence {found.name} (confidence {found.confidence:.2f})",
                expected="3:2 pulldown, or 2:2",
                hint="deinterlace it with bwdif; or set what it is: --deinterlace film:cadence=3:2",
            )
        say(f"film cadence measured on the picture: {found.name} (confidence {found.confidence:.2f})")
        return {**knobs, "cadence": found.name}

    def halo(self, knobs: dict[str, Any]) -> int:
        return AROUND + 3  # the frame before a cycle is matched too, and a match looks one frame further

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_fields(self.name, fmt)
        if fmt.interlaced and min(min(shape) for shape in fmt.plane_shapes) < 8:
            raise PictureError(
                f"{self.name} was given a picture of {fmt.width}x{fmt.height}",
                expected="at least 8 lines and samples in every plane",
            )

    def format_after(self, fmt: PictureFormat, knobs: dict[str, Any]) -> PictureFormat:
        return fmt.replace(field_order="progressive")

    def rate(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int | Fraction:
        if not fmt.interlaced or knobs["cadence"] == "2:2":
            return 1
        if knobs["cadence"] == "auto":
            raise KnobError(
                f"{self.name} does not know the cadence of the film here",
                expected="cadence 3:2 or 2:2",
                hint="probe measures it; restore does so by itself",
            )
        return Fraction(KEPT, CYCLE)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu" and fmt.interlaced:
            small = fmt.replace(width=32, height=32)
            planes = tuple(np.zeros((2, *shape), fmt.dtype) for shape in small.plane_shapes)
            _Work(small, {**knobs, "combed": -1.0})(planes, (0, 2))

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        return GROUP * 3 * sum(h * w for h, w in fmt.plane_shapes) * fmt.dtype.itemsize

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        if not fmt.interlaced:
            yield from batches
            return
        drops = self.rate(fmt, knobs) != 1
        work = _Work(fmt, knobs)
        for batch, window in with_halo(grouped(batches, GROUP), self.halo(knobs)):
            planes, kept = context.timed(self.name, lambda b=batch, w=window: work(b.planes, w))
            own = batch[window[0] : window[1]].replace(planes=planes, format=self.format_after(fmt, knobs))
            yield dropped(own, kept) if drops else own


def grouped(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same frames, `size` in each batch but the last."""
    waiting: list[Batch] = []
    for batch in batches:
        while len(batch):
            missing = size - sum(map(len, waiting))
            waiting.append(batch[:missing])
            batch = batch[missing:]
            if sum(map(len, waiting)) == size:
                yield Batch.join(waiting)
                waiting = []
    if waiting:
        yield Batch.join(waiting)


def dropped(batch: Batch, kept: np.ndarray) -> Batch:
    """The frames that are kept, those of whole cycles spread evenly over their time; a quarter of the time base."""
    pts, durations = KEPT * batch.pts, KEPT * batch.durations
    for first in range(0, len(batch) - CYCLE + 1, CYCLE):
        last = first + CYCLE - 1
        each = int(batch.pts[last] + batch.durations[last] - batch.pts[first])
        own = first + np.flatnonzero(kept[first : last + 1])
        pts[own], durations[own] = KEPT * batch.pts[first] + each * np.arange(KEPT), each
    planes = tuple(p[kept] for p in batch.planes)
    return Batch(planes, pts[kept], durations[kept], batch.time_base / KEPT, batch.format)


class _Work:
    """One run through a stream.  Costs of matches are kept while later cycles need them, by absolute number."""

    def __init__(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        self.fmt, self.knobs = fmt, knobs
        self.next = 0  # absolute number of the next frame to make
        self.costs: dict[int, np.ndarray] = {}

    def __call__(self, planes: tuple[Any, ...], window: tuple[int, int]) -> tuple[tuple[Any, ...], np.ndarray]:
        """The frames of the window, and which of them are kept."""
        from kernels.deinterlace.film import keep_of_cycle, weave_matches

        order, total = self.fmt.field_order, len(planes[0])
        costs, changes, made = self._costs(planes[0], window), [], []
        for first in range(*window, CYCLE):
            stop = min(first + CYCLE, window[1])
            low, high = max(first - 1, 0), min(stop + 1, total)  # with the neighbours that lend a field
            offsets = self._offsets(costs, first - 1, stop)
            lead = max(low - 1, 0)
            parts = [weave_matches(p[lead:high], offsets[lead:high], order)[low - lead :] for p in planes]
            head = first - low
            changes.append(self._change(parts[0][: stop - low], head))
            made.append([p[head : stop - low] for p in parts])
        whole = [joined(parts) for parts in zip(*made, strict=True)]
        self._mend(whole, planes, window)
        return tuple(whole), keep_of_cycle(np.concatenate(changes), CYCLE)

    def _change(self, luma: Any, head: int) -> np.ndarray:
        """How much each of the frames from `head` on differs from the one before; not asked where none is dropped."""
        from kernels.deinterlace.film import change

        if self.knobs["cadence"] == "2:2":
            return np.zeros(len(luma) - head)
        return on_host(change(luma, bits=self.fmt.bits, window=(head, len(luma))))

    def _costs(self, luma: Any, window: tuple[int, int]) -> np.ndarray:
        from kernels.deinterlace.film import OFFSETS, match_combing

        shift = self.next - window[0]
        self.next += window[1] - window[0]
        for number in [n for n in self.costs if n < shift]:
            del self.costs[number]
        # At a rim that is not the clip's end the neighbour is missing; no cycle looks as far.
        missing = [t for t in range(len(luma)) if t + shift not in self.costs]
        if missing:
            first, stop = missing[0], len(luma)
            low = max(first - 1, 0)
            own = (first - low, stop - low)
            found = match_combing(luma[low:], order=self.fmt.field_order, bits=self.fmt.bits, window=own)
            self.costs.update(zip((t + shift for t in range(first, stop)), on_host(found), strict=True))
        table = np.array([self.costs[t + shift] for t in range(len(luma))]).reshape(-1, len(OFFSETS))
        self.costs.pop(len(luma) - 1 + shift)  # made without the frame after it
        return table

    def _offsets(self, costs: np.ndarray, first: int, stop: int) -> np.ndarray:
        """Where the second field of the frames first .. stop comes from, chosen among the frames around them."""
        from kernels.deinterlace.film import choose_matches

        low, high = max(first - AROUND, 0), min(stop + AROUND, len(costs))
        chosen = np.zeros(len(costs), np.int8)
        chosen[low:high] = choose_matches(costs[low:high])
        return chosen

    def _mend(self, made: list[Any], planes: tuple[Any, ...], window: tuple[int, int]) -> None:
        """Puts bwdif's frames in the place of those that comb."""
        from kernels.deinterlace.bwdif import bwdif
        from kernels.measure.combing import combing

        share = on_host(combing(made[0], bits=self.fmt.bits))
        for t in np.flatnonzero(share > self.knobs["combed"]):
            at = window[0] + int(t)
            low, high = max(at - 2, 0), at + 3
            for plane, source in zip(made, planes, strict=True):
                plane[t : t + 1] = bwdif(
                    source[low:high], order=self.fmt.field_order, rate="frame", bits=self.fmt.bits,
                    window=(at - low, at - low + 1),
                )  # fmt: skip
