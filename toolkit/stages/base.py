"""What a stage is: its name and knobs, what it does to size, rate and times, and how it works through a stream.

`Stage(...)` with knobs and no frames is a `Step`: bound, hashable, and written as a small dictionary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from kernels.declare import Kernel, Parameter
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import KnobError, PictureError, UnknownName
from toolkit.stages.memory import Memory
from toolkit.stream import with_halo


@dataclass
class Context:
    """What a run hands to its stages: the device, and where time is booked (seconds by step).

    memory : of a run that can be gone on with, where a recursive step's state comes from and goes to.
    """

    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=dict)
    memory: Memory | None = None

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of `work()`; its wall time is added to `seconds[name]`."""
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


class Stage:
    """One thing that can be done to a picture.

    name       : "group.name", for instance "denoise.hqdn3d".
    parameters : the knobs, by name.
    before_deinterlacing : belongs in front of the deinterlacer, whatever its group.
    """

    before_deinterlacing = False

    def __init__(self, name: str, parameters: dict[str, Parameter], doc: str) -> None:
        self.name, self.parameters, self.__doc__ = name, parameters, doc

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]

    @property
    def summary(self) -> str:
        return (self.__doc__ or "").strip().splitlines()[0]

    def __call__(self, **knobs: Any) -> Step:
        """This stage with `knobs` set.  Raises `UnknownName` / `KnobError` for what it does not have or take."""
        for name in knobs:
            if name not in self.parameters:
                raise UnknownName(f"knob of {self.name}", name, self.parameters or ["(it has none)"])
        try:
            full = {n: p.check(self.name, knobs.get(n, p.default)) for n, p in self.parameters.items()}
        except (TypeError, ValueError) as error:
            raise KnobError(str(error)) from None
        return Step(self, tuple(full.items()))

    def halo(self, knobs: dict[str, Any]) -> int:
        """How many neighbouring frames (each way) a result depends on."""
        return 0

    def recursive(self, knobs: dict[str, Any]) -> bool:
        """Whether results depend on all frames before, and not on the neighbours in `halo` alone.

        `apply` then begins with the state in `context.memory` and hands it the state after every batch, or a run that
        is gone on with would not end in the same bytes.
        """
        return False

    def format_after(self, fmt: PictureFormat, knobs: dict[str, Any]) -> PictureFormat:
        """What this stage makes of a picture's format."""
        return fmt

    def rate(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int | Fraction:
        """Output frames for one input frame.

        A fraction p / q takes whole groups of q frames, counted from the tape's first, and gives p for each; times are
        then in a p-th of the time base.
        """
        return 1

    def settled(
        self, clip: Clip, fmt: PictureFormat, knobs: dict[str, Any], say: Callable[[str], None]
    ) -> dict[str, Any]:
        """The knobs with what is to be measured on the tape itself put in; `say` is told of it.

        fmt : the picture's format as the run will read it.
        """
        return knobs

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        """Raises `PictureError` when this stage cannot take frames of `fmt`."""

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        """Builds what is costly (nets, compiled kernels) before the tape is opened for the run."""

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        """Working memory per input frame beside input and output, for the plan."""
        return 0

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        """Works through a stream of batches in `fmt`."""
        raise NotImplementedError

    def only(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Batch:
        """The results for the frames `window[0] <= t < window[1]` of `batch`, the others being their neighbours.

        Equal to those of the whole batch; a stage that can leave out the rest is quicker where one frame is shown.
        """
        rate = self.rate(fmt, knobs)
        whole = Batch.join(list(self.apply(iter([batch]), fmt, knobs, context)))
        return whole[window[0] * rate : window[1] * rate]


@dataclass(frozen=True)
class Step:
    """A stage with its knobs set."""

    stage: Stage
    settings: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def knobs(self) -> dict[str, Any]:
        return dict(self.settings)

    def to_dict(self) -> dict[str, Any]:
        return {"stage": self.name, "knobs": self.knobs}

    def __repr__(self) -> str:
        """The call that makes this step, ready to paste; knobs at their defaults are left out."""
        changed = (f"{k}={v!r}" for k, v in self.settings if v != self.stage.parameters[k].default)
        return f"{self.name.replace('-', '_')}({', '.join(changed)})"

    def __call__(self, batch: Batch, device: str = "cpu") -> Batch:
        """The step applied to one batch that stands alone (no neighbours beyond it)."""
        self.stage.check(batch.format, self.knobs)
        return Batch.join(list(self.stage.apply(iter([batch]), batch.format, self.knobs, Context(device))))


def require_progressive(name: str, fmt: PictureFormat) -> None:
    """Raises `PictureError` when the picture is still interlaced."""
    if fmt.interlaced:
        raise PictureError(
            f"{name} was given interlaced frames ({fmt.field_order})",
            expected="progressive frames",
            hint="put a deinterlace step before it, or --field-order progressive if the tape is not interlaced",
        )


class KernelStage(Stage):
    """A kernel applied to each plane for itself.

    name   : of the stage, after its group's; the kernel's when left out.
    hidden : knobs the stage sets itself (bits, order) and does not offer.
    extra  : knobs of the stage beside the kernel's.
    """

    def __init__(
        self,
        group: str,
        kernel: Kernel,
        *,
        name: str = "",
        hidden: tuple[str, ...] = (),
        extra: dict[str, Parameter] | None = None,
    ) -> None:
        self.kernel = kernel
        hidden = (*hidden, "bits")
        shown = {n: p for n, p in kernel.knobs.items() if n not in hidden}
        super().__init__(f"{group}.{name or kernel.name}", {**shown, **(extra or {})}, kernel.__doc__ or "")

    def kernel_knobs(self, plane: int, fmt: PictureFormat, knobs: dict[str, Any]) -> dict[str, Any]:
        """The kernel's knobs for `plane` (0 is luma)."""
        own = {n: v for n, v in knobs.items() if n in self.kernel.knobs}
        return {**own, "bits": fmt.bits} if "bits" in self.kernel.knobs else own

    def recursive(self, knobs: dict[str, Any]) -> bool:
        return self.kernel.recursive

    def halo(self, knobs: dict[str, Any]) -> int:
        return self.kernel.halo(**{n: v for n, v in knobs.items() if n in self.kernel.knobs}).frames

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        for height, width in fmt.plane_shapes:
            least = self.kernel.smallest
            if height < least[0] or width < least[1]:
                raise PictureError(
                    f"{self.name} was given a plane of {width}x{height} (the picture is {fmt.width}x{fmt.height})",
                    expected=f"at least {least[1]}x{least[0]} (width x height) in every plane",
                )

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        # Compiles, or loads from the disk cache, on few lines; of the picture's width, since bodies differ by it.
        if device != "cpu":
            return
        shape = (1, max(self.kernel.smallest[0], 8), max(self.kernel.smallest[1], min(fmt.width, 512)))
        self._run(np.zeros(shape, fmt.dtype), (0, 1), self.kernel_knobs(0, fmt, knobs), None)

    def _run(self, plane: Any, window: tuple[int, int], knobs: dict[str, Any], state: Any) -> tuple[Any, Any]:
        if self.kernel.recursive:
            return self.kernel(plane, state=state, **knobs)
        return self.kernel(plane, window=window, **knobs), None

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        per_plane = [self.kernel_knobs(n, fmt, knobs) for n in range(len(fmt.plane_shapes))]
        memory = context.memory if self.recursive(knobs) else None
        states: list[Any] = [None] * len(per_plane)
        if memory is not None:
            batches = memory.pieces(batches)
            states = memory.begin(context.device) or states

        for batch, window in with_halo(batches, self.halo(knobs)):
            done = context.timed(self.name, lambda b=batch, w=window: self._worked(b, w, fmt, knobs, per_plane, states))
            if memory is not None:
                memory.passed(window[1] - window[0], states)
            yield done

    def only(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Batch:
        if self.recursive(knobs):  # the frames before are more than neighbours
            return super().only(batch, window, fmt, knobs, context)
        per_plane = [self.kernel_knobs(n, fmt, knobs) for n in range(len(fmt.plane_shapes))]
        return self._worked(batch, window, fmt, knobs, per_plane, [None] * len(per_plane))

    def _worked(
        self, batch: Batch, window: tuple[int, int], fmt: PictureFormat, knobs: dict[str, Any],
        per_plane: list[dict[str, Any] | None], states: list[Any],
    ) -> Batch:  # fmt: skip
        """The frames `window` of `batch`; `states` become those after it."""
        planes = []
        for n, (plane, own) in enumerate(zip(batch.planes, per_plane, strict=True)):
            if own is None:  # this plane is left as it is
                planes.append(plane[window[0] : window[1]])
                continue
            out, states[n] = self._run(plane, window, own, states[n])
            planes.append(out)
        return self.rebuilt(batch[window[0] : window[1]], tuple(planes), fmt, knobs)

    def rebuilt(self, batch: Batch, planes: tuple[Any, ...], fmt: PictureFormat, knobs: dict[str, Any]) -> Batch:
        """The output batch of `planes` made from `batch`."""
        return batch.replace(planes=planes, format=self.format_after(fmt, knobs))
