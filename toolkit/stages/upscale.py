"""Upscalers as stages: plain resampling, the known nets, any weight file, and plug-ins of other packages.

All keep the display aspect ratio and turn BT.601 into BT.709 when the picture grows to HD.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels.declare import Knob, Parameter
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import DeviceMissing, KnobError
from toolkit.stages.base import Context, Stage, require_progressive
from toolkit.upscale.sizes import LARGEST_SCALE, enlarged_format, known_matrix

#: Large pictures leave the CPU few at a time, so that few wait for the encoder: less memory in the same time.
AT_ONCE = max(4, os.cpu_count() or 1)
SIZE = {
    "scale": Parameter("scale", float, 0.0, Knob(0, LARGEST_SCALE, soft=(1, 4), unit="x")),
    "height": Parameter("height", int, 0, Knob(0, 8640, step=2, soft=(480, 2160), unit="lines")),
    "width": Parameter("width", int, 0, Knob(0, 15360, step=2, soft=(640, 3840), unit="samples")),
}


def wanted_size(knobs: dict[str, Any], default: float | None) -> dict[str, Any]:
    """The size knobs as `enlarged_format` and `Upscaler` take them; 0 stands for "not asked for"."""
    asked = {n: knobs[n] for n in ("scale", "height", "width") if knobs.get(n)}
    if "scale" in asked and len(asked) > 1:
        raise KnobError("scale was given together with a height or width", expected="one of the two")
    return asked or ({"scale": default} if default else {})


class Resample(Stage):
    """Enlarges (or shrinks) every plane with a separable filter, chroma kept where it was sited."""

    def __init__(self, name: str, filter: str, doc: str) -> None:
        self.filter = filter
        chroma = Parameter("chroma", str, "420", None, ("420", "source"))
        super().__init__(f"upscale.{name}", {**SIZE, "chroma": chroma}, doc)

    def format_after(self, fmt: PictureFormat, knobs: dict[str, Any]) -> PictureFormat:
        chroma = fmt.subsampling if knobs.get("chroma") == "source" and fmt.subsampling else (1, 1)
        return enlarged_format(fmt, subsampling=chroma, **wanted_size(knobs, 2.0))

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)
        self.format_after(fmt, knobs)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        if device == "cpu":
            small = fmt.replace(width=32, height=32)
            planes = tuple(np.zeros((1, *s), fmt.dtype) for s in small.plane_shapes)
            after = self.format_after(small, {"scale": 2.0})
            # Only a large picture changes its matrix, which another body does.
            self._resample(planes, small, after.replace(matrix=self.format_after(fmt, knobs).matrix))

    def _resample(self, planes: tuple[Any, ...], fmt: PictureFormat, after: PictureFormat) -> tuple[Any, ...]:
        source = known_matrix(fmt)
        if after.matrix != source and len(planes) == 3:
            from kernels.resize_yuv import resize_yuv

            edges = {f"chroma_{edge}": offset for edge, offset in chroma_edges(fmt, after).items()}
            colours = {"source": source, "target": after.matrix, "range": fmt.range, "bits": fmt.bits}
            layout = {**chroma_layout(fmt), "target_subsampling": chroma_layout(after)["subsampling"]}
            size = {"width": after.width, "height": after.height, "filter": self.filter}
            return resize_yuv(*planes, **size, **edges, **colours, **layout)
        from kernels.resize import resize

        out = []
        for n, plane in enumerate(planes):
            height, width = after.plane_shapes[n]
            edges = chroma_edges(fmt, after) if n else {}
            out.append(resize(plane, width=width, height=height, filter=self.filter, bits=fmt.bits, **edges))
        return tuple(out)

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        after = self.format_after(fmt, knobs)
        for batch in batches:
            few = AT_ONCE if context.device == "cpu" else len(batch)
            for start in range(0, len(batch), few):
                piece = batch[start : start + few]
                planes = context.timed(self.name, lambda b=piece: self._resample(b.planes, fmt, after))
                yield piece.replace(planes=planes, format=after)


def chroma_layout(fmt: PictureFormat) -> dict[str, str]:
    """The names kernels.colour gives a format's chroma layout."""
    names = {(1, 1): "420", (1, 0): "422", (2, 0): "411", (0, 0): "444", (2, 2): "410"}
    return {"subsampling": names[fmt.subsampling], "siting": fmt.siting}


def chroma_edges(before: PictureFormat, after: PictureFormat) -> dict[str, float]:
    """The `left` and `top` of `kernels.resize.resize` that keep a chroma plane beside its luma."""
    from kernels.resize import chroma_offset
    from toolkit.convert import chroma_place

    def along(axis: int, ratio: float) -> float:
        old, new = (before.subsampling or (0, 0))[axis], (after.subsampling or (0, 0))[axis]
        return chroma_offset(ratio, old, chroma_place(before)[axis], new, chroma_place(after)[axis])

    return {"left": along(0, before.width / after.width), "top": along(1, before.height / after.height)}


class Net(Stage):
    """A neural net, a weight file or a plug-in."""

    PARAMETERS = {
        **SIZE,
        "precision": Parameter("precision", str, "auto", None, ("auto", "float32", "bf16", "fp16")),
        "steady": Parameter("steady", float, 0.0, Knob(0, 0.95, step=0.05, unit="of the frame before", soft=(0, 0.8))),
    }

    def __init__(self, name: str, model: str | None, doc: str, extra: dict[str, Parameter] | None = None) -> None:
        self.model = model
        own = {} if model else {"model": Parameter("model", str, "")}
        super().__init__(f"upscale.{name}", {**own, **self.PARAMETERS, **(extra or {})}, doc)
        self._open: dict[tuple, Any] = {}

    def _upscaler(self, knobs: dict[str, Any], device: str) -> Any:
        from toolkit.upscale import open_upscaler

        key = (tuple(sorted((k, v) for k, v in knobs.items() if k != "steady")), device)
        if key not in self._open:
            model = self.model or knobs.get("model")
            if not model:
                raise KnobError(
                    f"{self.name} was given no model", expected="model=PATH of a weight file, or a model's name"
                )
            options = {k: v for k, v in knobs.items() if k not in (*SIZE, "model", "steady") and v not in ("auto",)}
            upscaler = open_upscaler(model, device=device, **wanted_size(knobs, None), **options)
            self._open.clear()  # one net of this stage in memory at a time
            self._open[key] = upscaler
        return self._open[key]

    def format_after(self, fmt: PictureFormat, knobs: dict[str, Any]) -> PictureFormat:
        return self._upscaler(knobs, self._device).output_format(fmt)

    _device = "cpu"

    def check(self, fmt: PictureFormat, knobs: dict[str, Any]) -> None:
        require_progressive(self.name, fmt)
        self.format_after(fmt, knobs)

    def prepare(self, fmt: PictureFormat, knobs: dict[str, Any], device: str) -> None:
        self._device = device
        self._upscaler(knobs, device)

    def recursive(self, knobs: dict[str, Any]) -> bool:
        return bool(knobs.get("steady"))

    def bytes_per_frame(self, fmt: PictureFormat, knobs: dict[str, Any]) -> int:
        upscaler = self._upscaler(knobs, self._device)
        needed = upscaler.needed(fmt.height, fmt.width) if hasattr(upscaler, "needed") else None
        return needed or 0

    def apply(
        self, batches: Iterator[Batch], fmt: PictureFormat, knobs: dict[str, Any], context: Context
    ) -> Iterator[Batch]:
        from toolkit.upscale import upscale

        upscaler, steady = self._upscaler(knobs, context.device), None
        if knobs.get("steady"):
            from toolkit.upscale.steady import Steady

            steady = Steady(knobs["steady"], context.device)
        memory = context.memory if steady is not None else None
        if memory is not None:
            batches = memory.pieces(batches)
            steady.state = memory.state

        def work(batch: Batch) -> Batch:
            large = upscale(upscaler, batch)
            if steady is None:
                return large
            return large.replace(planes=steady(batch.planes[0], large.planes, fmt.bits, large.format.bits))

        for batch in batches:
            done = context.timed(self.name, lambda b=batch: work(b))
            if memory is not None:
                memory.passed(len(batch), steady.state)
            yield done


def _has_driver() -> bool:
    """Whether NVIDIA's driver can be loaded; asked first, because importing CuPy takes half a second."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda"; Torch and CuPy are asked only when needed.

    Raises `DeviceMissing` when CUDA is asked for and cannot be had.
    """
    if device == "cpu":
        return "cpu"
    if device not in ("auto", "cuda"):
        raise KnobError(f"device is {device!r}", expected="auto, cpu or cuda")
    if device == "auto" and not _has_driver():
        return "cpu"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        why = "no GPU is visible"
    except ImportError:
        count, why = 0, "CuPy is not installed (pip install vhs-toolkit[gpu])"
    except Exception as error:  # CuPy raises its own runtime errors when there is no driver
        count, why = 0, f"no GPU answers ({error})".replace("\n", " ")
    if count:
        return "cuda"
    if device == "cuda":
        raise DeviceMissing(f"CUDA was asked for, and {why}", hint="--device auto or --device cpu")
    return "cpu"
