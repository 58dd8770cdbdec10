"""Upscalers of other packages, and one way to run any upscaler.

A package adds an upscaler by an entry point in the group `vhs_toolkit.upscalers`:

    [project.entry-points."vhs_toolkit.upscalers"]
    my-sdk = "my_package:MySdk"

The entry point is a class or function that takes `scale`, `height`, `width` and `device` and whatever keywords it
documents, and returns an object with the facts and the two methods of `UpscalerLike`.  Everything it raises on purpose
should be one of `toolkit.errors`.  `tests/test_upscale_plugins.py` holds a worked example.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError, RequestError, UnknownName
from toolkit.upscale import weights

GROUP = "vhs_toolkit.upscalers"


@runtime_checkable
class UpscalerLike(Protocol):
    """What every upscaler has.

    name      : shown in progress and reports.
    kind      : "net", "resample" or a word of the plug-in's own ("sdk").
    scale     : output samples per input sample, or None when a height or width was asked for.
    multiple  : input sizes must be multiples of this.
    minimum   : smallest input width and height.
    batchable : whether several frames may be given at once; otherwise it is called with one frame at a time.
    """

    name: str
    kind: str
    scale: float | None
    multiple: int
    minimum: int
    batchable: bool

    def output_format(self, format: PictureFormat) -> PictureFormat:
        """The format of its output for pictures in `format`; raises `PictureError` when they do not fit."""
        ...

    def __call__(self, planes: tuple[np.ndarray, ...], format: PictureFormat) -> tuple[np.ndarray, ...]:
        """Planes `(T, H, W)` of progressive frames, enlarged to `output_format(format)`."""
        ...


_FACTS = ("name", "kind", "scale", "multiple", "minimum", "batchable", "output_format")


def upscalers() -> dict[str, importlib.metadata.EntryPoint]:
    """The installed plug-ins by name.  Nothing is imported."""
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def open_upscaler(name: str, **options: Any) -> UpscalerLike:
    """Makes the upscaler called `name`: a plug-in, a model known by name, or the path of a weight file.

    Raises `UnknownName` when there is none, and what `Upscaler` raises.  A plug-in may not take the name of a model
    that comes with the toolkit.
    """
    found = upscalers()
    if name in found and not _is_model(name):
        return _checked(name, _load(found[name])(**options))
    from toolkit.upscale.engine import Upscaler

    try:
        return Upscaler(name, **options)
    except UnknownName as error:
        if error.kind != "model" or not found:
            raise
        raise UnknownName("upscaler", name, [*weights.table(), *found]) from None


def _is_model(name: str) -> bool:
    try:
        weights.entry(name)
    except UnknownName:
        return False
    return True


def _load(point: importlib.metadata.EntryPoint) -> Callable[..., Any]:
    try:
        return point.load()
    except Exception as error:  # somebody else's import can raise anything
        raise RequestError(
            f"the upscaler {point.name} of {point.value.partition(':')[0]} cannot be imported: {error}",
            hint="install or repair that package",
        ) from error


def _checked(name: str, upscaler: Any) -> UpscalerLike:
    missing = [fact for fact in _FACTS if not hasattr(upscaler, fact)]
    if missing or not callable(upscaler):
        raise RequestError(
            f"the upscaler {name} is not usable: it has no {', '.join(missing) or 'call'}",
            expected="the facts and methods of toolkit.upscale.plugins.UpscalerLike",
        )
    return upscaler


def upscale(upscaler: UpscalerLike, batch: Batch) -> Batch:
    """The frames of `batch` enlarged by any upscaler, with its facts obeyed and its output checked.

    Planes on a GPU are copied to main memory first, except for one that says `on_device`.  Times and durations are
    untouched.  Raises `PictureError` when the frames break the upscaler's size rules or its
    output is not what it announced.
    """
    format = batch.format
    least, step = upscaler.minimum, upscaler.multiple
    if min(format.width, format.height) < least or format.width % step or format.height % step:
        raise PictureError(
            f"{upscaler.name} was given {format.width}x{format.height}",
            expected=f"at least {least} samples and multiples of {step}",
        )
    wanted = upscaler.output_format(format)
    step = max(len(batch), 1) if upscaler.batchable else 1
    given = batch.planes
    if not getattr(upscaler, "on_device", False):
        given = tuple(p if isinstance(p, np.ndarray) else p.get() for p in given)
    parts = [upscaler(tuple(p[at : at + step] for p in given), format) for at in range(0, max(len(batch), 1), step)]
    planes = parts[0] if len(parts) == 1 else tuple(np.concatenate(p) for p in zip(*parts, strict=True))
    shapes = tuple((len(batch), *s) for s in wanted.plane_shapes)
    if tuple(p.shape for p in planes) != shapes or any(p.dtype != wanted.dtype for p in planes):
        raise PictureError(
            f"{upscaler.name} gave planes of {[p.shape for p in planes]} {planes[0].dtype}",
            expected=f"{list(shapes)} {wanted.dtype}",
        )
    return batch.replace(planes=tuple(planes), format=wanted)
