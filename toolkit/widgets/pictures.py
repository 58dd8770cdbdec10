"""Frames as the tape bench shows them: woven or field by field, whole or a part, still or as a burst."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import KnobError
from toolkit.media.preview import to_rgb
from toolkit.media.thumbnails import jpeg

#: How a frame of two fields is shown.
VIEWS = {
    "woven": "both fields in one picture, as captured: what moves is combed",
    "separate": "top and bottom field side by side, lines doubled",
    "interleaved": "the fields one after the other, in their order",
}
#: Left, top, width and height as fractions of the picture.
Part = tuple[float, float, float, float]
WIDEST, BURST_WIDTH = 1280, 640  # pixels that are sent of a whole picture, and of one in a burst


def shown_as(batch: Batch, view: str) -> list[np.ndarray]:
    """The first frame of `batch` as one or two RGB pictures uint8 `(H, W, 3)`: the frame, or its fields.

    "separate" gives the top field first, "interleaved" the field that is shown first (top, where that is not known).
    Raises `KnobError` for any other view.
    """
    if view not in VIEWS:
        raise KnobError(f"view is {view!r}", expected=f"one of {', '.join(VIEWS)}", files="")
    one = batch[0:1]
    if view == "woven":
        return [to_rgb(one, fields="weave")[0]]
    # Each field is converted alone, whatever the file says; doubled lines are the samples themselves.
    woven = to_rgb(one.replace(format=one.format.replace(field_order="tff")), fields="weave")[0]
    fields = [woven[parity::2].repeat(2, axis=0)[: woven.shape[0]] for parity in (0, 1)]
    return fields[::-1] if view == "interleaved" and batch.format.field_order == "bff" else fields


def part_shown(form: PictureFormat, zoom: float, centre: Iterable[float]) -> Part:
    """What a zoom about `centre` shows, kept inside the picture and cut at whole samples."""
    cut, share = [], 1 / zoom
    for middle, size in zip(centre, (form.width, form.height), strict=True):
        low = min(max(middle - share / 2, 0.0), 1 - share)
        first, stop = math.floor(low * size), min(size, math.ceil((low + share) * size))
        cut.append((first / size, (stop - first) / size))
    (left, width), (top, height) = cut
    return left, top, width, height


def magnified(batch: Batch, view: str, part: Part) -> list[bytes]:
    """A part of each picture of a view, sample for sample, as PNG."""
    found = []
    for picture in shown_as(batch, view):
        height, width = picture.shape[:2]
        left, right = (round(x * width) for x in (part[0], part[0] + part[2]))
        top, bottom = (round(y * height) for y in (part[1], part[1] + part[3]))
        found.append(png(picture[top:bottom, left:right]))
    return found


def film(batches: Iterable[Batch], view: str) -> tuple[dict[str, Any], list[bytes]]:
    """A burst for the page to play: `steps` of (milliseconds, first picture, pictures), `length`, and small JPEGs.

    In the view "interleaved" each field comes at its own time.
    """
    steps: list[tuple[float, int, int]] = []
    images: list[bytes] = []
    end = 0.0
    for batch in batches:
        begin, length = float(batch.times[0]), float(batch.durations[0] * batch.time_base)
        shown = [whole(p, BURST_WIDTH, quality=80) for p in shown_as(batch, view)]
        if view == "interleaved":
            steps += [(begin + length * n / 2, len(images) + n, 1) for n in range(len(shown))]
        else:
            steps.append((begin, len(images), len(shown)))
        images += shown
        end = begin + length
    first = steps[0][0] if steps else 0.0
    told = [[round(1000 * (t - first), 3), at, n] for t, at, n in steps]
    return {"steps": told, "length": round(1000 * (end - first), 3)}, images


def whole(picture: np.ndarray, widest: int = WIDEST, quality: int = 90) -> bytes:
    """An RGB picture as JPEG, no wider than `widest`."""
    height, width = picture.shape[:2]
    size = (max(1, round(height * widest / width)), widest) if width > widest else None
    return jpeg(picture, size, quality)


def png(picture: np.ndarray) -> bytes:
    """An RGB picture as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "PNG", compress_level=1)
    return out.getvalue()
