"""What can be compared: a path, a Clip, a demo, or a list of Batches; read frame by frame, as often as needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernels.deinterlace.bob import bob
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import InputUnreadable, RequestError


@dataclass(eq=False)
class Frame:
    """One frame: its number in the clip, its time and length in seconds, and the Batch of one that holds it."""

    index: int
    time: float
    length: float
    batch: Batch
    thumb: np.ndarray | None = None  # low-passed luma, for looking at content
    costs: tuple[float, np.ndarray] | None = None  # content differences, and the clock offset they were taken at
    used: bool = False


class Source:
    """One side of a comparison.  `frames()` can be called again and again and reads from the start each time.

    With `bob` set, interlaced frames come field by field, each field a whole frame at its own time.
    """

    def __init__(self, what: Any, role: str) -> None:
        self.what, self.role, self.bob = what, role, False
        if isinstance(what, (str, Path)):
            self.what, self.name = Clip.open(what), Path(what).name
        elif isinstance(what, Clip):
            self.name = what.path.name
        elif isinstance(what, Batch):
            self.what, self.name = [what], role
        elif isinstance(what, (list, tuple)) and all(isinstance(b, Batch) for b in what):
            self.name = role
            if not what:
                raise InputUnreadable(f"the {role} is an empty list", expected="at least one Batch of frames")
        elif hasattr(what, "batches") and hasattr(what, "format"):
            self.name = type(what).__name__.lower()
        else:
            raise RequestError(
                f"the {role} is {type(what).__name__}", expected="a path, a Clip, a Batch or a list of Batches"
            )

    @property
    def format(self) -> PictureFormat:
        fmt = self.what[0].format if isinstance(self.what, (list, tuple)) else self.what.format
        return fmt.replace(field_order="progressive") if self.bob else fmt

    def batches(self) -> Iterator[Batch]:
        return iter(self.what) if isinstance(self.what, (list, tuple)) else self.what.batches(size=8)

    def frames(self) -> Iterator[Frame]:
        number = 0
        for batch in self.batches():
            if self.bob:
                batch = bobbed(batch)
            times = batch.times
            lengths = batch.durations * float(batch.time_base)
            for i in range(len(batch)):
                yield Frame(number, float(times[i]), float(lengths[i]), batch[i : i + 1])
                number += 1


def bobbed(batch: Batch) -> Batch:
    """Each field of interlaced frames as a frame of its own (cubic line doubling), at its own time."""
    order = batch.format.field_order
    planes = tuple(bob(p, order=order, rate="field", method="cubic", bits=batch.format.bits) for p in batch.planes)
    halves = batch.durations  # in a time base twice as fine
    pts = np.stack([2 * batch.pts, 2 * batch.pts + halves], axis=1).ravel()
    return Batch(
        planes, pts, np.repeat(halves, 2), batch.time_base / 2, batch.format.replace(field_order="progressive")
    )
