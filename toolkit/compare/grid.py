"""Pictures to judge by: contact sheets of samples x results with magnified regions, and before / after stills."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.colour import yuv_to_rgb
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.compare.source import Source
from toolkit.errors import InputUnreadable, OutputRefused, PictureError, RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

#: A part of the picture as fractions of it: left, top, width, height.
Region = tuple[float, float, float, float]
_INK, _PAPER, _GAP, _TEXT = (235, 235, 235), (24, 24, 26), 6, 18


def to_rgb(batch: Batch) -> np.ndarray:
    """Frames as RGB `(T, H, W, 3)` uint8, by the format's matrix, range and siting.

    Interlaced frames are shown as captured, both fields woven; each field is converted on its own, so their chroma
    does not mix.  An unknown matrix is taken as BT.601 up to 576 lines, else BT.709.
    """
    fmt = batch.format
    if fmt.matrix == "rgb" or fmt.subsampling not in _LAYOUTS:
        raise PictureError(f"no way to show {fmt}", expected="planar YUV or grey")
    planes = [_eight_bit(p, fmt) for p in batch.planes]
    if fmt.subsampling is None:
        planes += [np.full_like(planes[0], 128)] * 2
    if not fmt.interlaced or fmt.height < 4:
        return _converted(planes, fmt)
    out = np.empty((*planes[0].shape, 3), np.uint8)
    for parity in (0, 1):
        out[:, parity::2] = _converted([p[:, parity::2] for p in planes], fmt)
    return out


_LAYOUTS = {None: "444", (0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411", (2, 2): "410"}


def _eight_bit(plane: Any, fmt: PictureFormat) -> np.ndarray:
    plane = plane.get() if hasattr(plane, "get") else plane
    if plane.dtype == np.uint8:
        return plane
    return np.clip(np.rint(plane * 2.0 ** (8 - fmt.bits)), 0, 255).astype(np.uint8)


def _converted(planes: list[np.ndarray], fmt: PictureFormat) -> np.ndarray:
    matrix = fmt.matrix if fmt.matrix != "unknown" else "bt601" if fmt.height <= 576 else "bt709"
    rgb = yuv_to_rgb(*planes, matrix=matrix, range=fmt.range, subsampling=_LAYOUTS[fmt.subsampling], siting=fmt.siting)
    return rgb.transpose(0, 2, 3, 1)


def frames_at(source: Any, times: Iterable[float]) -> list[Batch]:
    """The frame on display nearest to each of `times` (seconds), as Batches of one; in the order asked for."""
    times = list(times)
    side = source if isinstance(source, Source) else Source(source, "clip")
    found: dict[float, tuple[float, Batch]] = {}
    clip = side.what if isinstance(side.what, Clip) else None
    for t in times:
        if clip is not None and clip.rate:
            # A few frames around where a constant rate puts it; the loop below has the last word.
            guess = max(0, round((t - clip.start) * clip.rate))
            for batch in clip.batches(size=4, frames=(max(0, guess - 1), guess + 3)):
                _keep_nearest(found, [t], batch)
    half = 0.5 / float(clip.rate) if clip is not None and clip.rate else 0.0
    missing = [t for t in times if t not in found or found[t][0] > half + 1e-3]
    if missing:
        last = max(missing)
        for batch in side.batches():
            _keep_nearest(found, missing, batch)
            if batch.times[0] > last:
                break
    if any(t not in found for t in times):
        raise InputUnreadable(f"{side.name} has no frames to show")
    return [found[t][1] for t in times]


def _keep_nearest(found: dict[float, tuple[float, Batch]], times: list[float], batch: Batch) -> None:
    for t in times:
        i = int(np.argmin(np.abs(batch.times - t)))
        distance = abs(float(batch.times[i]) - t)
        if t not in found or distance < found[t][0]:
            found[t] = distance, batch[i : i + 1].replace(planes=tuple(p[i : i + 1].copy() for p in batch.planes))


def contact_sheet(
    sources: Mapping[str, Any],
    times: Sequence[float],
    *,
    regions: Sequence[Region] = (),
    height: int = 480,
    path: str | Path | None = None,
    overwrite: bool = False,
) -> Image:
    """One picture of all `sources` (a column each, with its name) at all `times` (a row each).

    sources : name -> path, Clip, demo or list of Batches; of any size, each shown at its display aspect.
    regions : parts to magnify, below each row; fractions of the picture (left, top, width, height).  Samples are
              shown as they are, as squares.
    height  : of each picture; 480 shows every line of an NTSC frame.
    path    : also written there as PNG; an existing file only with `overwrite`.

    Raises `RequestError` for no sources, times or such a region, `OutputRefused` for a path that cannot be written.
    """
    from PIL import Image, ImageDraw

    _check_path(path, overwrite)
    if not sources or not times:
        raise RequestError("a contact sheet needs sources and times", expected="at least one of each")
    for region in regions:
        _check(region)
    columns = {name: [_rgb_image(b) for b in frames_at(what, times)] for name, what in sources.items()}
    widths = {name: max(2, round(height * float(images[0][1]))) for name, images in columns.items()}
    heights = [height] + [round(min(widths.values()) * _shape(r)) for r in regions]
    sheet = Image.new(
        "RGB",
        (
            sum(widths.values()) + _GAP * (len(widths) + 1),
            _TEXT + 2 * _GAP + len(times) * (sum(heights) + len(heights) * _GAP + _TEXT),
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    x = _GAP
    for name, images in columns.items():
        _label(draw, (x, _GAP), name)
        y = _TEXT + 2 * _GAP
        for t, (image, _) in zip(times, images, strict=True):
            _label(draw, (x, y), f"{t:.3f} s")
            y += _TEXT
            sheet.paste(_scaled(image, (widths[name], height)), (x, y))
            outline = ImageDraw.Draw(sheet)
            for region in regions:
                left, top, wide, high = region
                box = (left * widths[name], top * height, (left + wide) * widths[name], (top + high) * height)
                outline.rectangle([x + box[0], y + box[1], x + box[2], y + box[3]], outline=(255, 220, 0))
            y += height + _GAP
            for region, high in zip(regions, heights[1:], strict=True):
                sheet.paste(_scaled(_part(image, region), (widths[name], high)), (x, y))
                y += high + _GAP
        x += widths[name] + _GAP
    return _saved(sheet, path)


def before_after(
    before: Any,
    after: Any,
    path: str | Path | None = None,
    *,
    time: float | None = None,
    region: Region | None = None,
    labels: tuple[str, str] = ("before", "after"),
    truth: Any = None,
    height: int = 480,
    overwrite: bool = False,
) -> Image:
    """The same moment before and after (and the truth, when given), with one part magnified below.

    path   : also written there as PNG; an existing file only with `overwrite`.
    time   : seconds; the middle of `before` when left out.
    region : what to magnify; where the two differ most, away from the edges, when left out.
    """
    _check_path(path, overwrite)
    if time is None:
        time = _middle(before)
    sources = {labels[0]: before, labels[1]: after} | ({"truth": truth} if truth is not None else {})
    if region is None:
        region = _most_different(*(frames_at(s, [time])[0] for s in (before, after)))
    return contact_sheet(sources, [time], regions=[region], height=height, path=path, overwrite=overwrite)


def _middle(source: Any) -> float:
    side = Source(source, "clip")
    if isinstance(side.what, Clip) and side.what.duration:
        return side.what.start + side.what.duration / 2
    times = [f.time for f in side.frames()]
    return times[len(times) // 2]


def _most_different(a: Batch, b: Batch, size: float = 0.25) -> Region:
    """The square-ish part, `size` of the picture each way, where two frames differ most."""
    from scipy.ndimage import uniform_filter

    pictures = []
    for batch in (a, b):
        luma = batch.planes[0][0].astype(np.float32) * 2.0 ** (8 - batch.format.bits)
        rows, columns = (np.arange(n) * s // n for n, s in zip((96, 128), luma.shape, strict=True))
        pictures.append(uniform_filter(luma, max(1, luma.shape[0] // 96))[np.ix_(rows, columns)])
    apart = uniform_filter(np.abs(pictures[0] - pictures[1]), (int(96 * size), int(128 * size)), mode="constant")
    apart[:14], apart[82:], apart[:, :18], apart[:, 110:] = 0, 0, 0, 0
    y, x = np.unravel_index(np.argmax(apart), apart.shape)
    return (
        float(np.clip(x / 128 - size / 2, 0.02, 0.98 - size)),
        float(np.clip(y / 96 - size / 2, 0.02, 0.93 - size)),
        size,
        size,
    )


def _check(region: Region) -> None:
    left, top, wide, high = region
    if not (0 <= left < 1 and 0 <= top < 1 and 0 < wide <= 1 - left + 1e-9 and 0 < high <= 1 - top + 1e-9):
        raise RequestError(f"region {region} is not in the picture", expected="fractions: left, top, width, height")


def _shape(region: Region) -> float:
    """Height over width of a region of a 4:3 picture."""
    return region[3] * 3 / (region[2] * 4)


def _rgb_image(batch: Batch) -> tuple[np.ndarray, Any]:
    return to_rgb(batch)[0], batch.format.dar


def _part(image: np.ndarray, region: Region) -> np.ndarray:
    height, width = image.shape[:2]
    left, top = int(region[0] * width), int(region[1] * height)
    return image[top : top + max(1, math.ceil(region[3] * height)), left : left + max(1, math.ceil(region[2] * width))]


def _scaled(image: np.ndarray, size: tuple[int, int]) -> Image:
    """Shrunk by Lanczos; where it grows, each sample becomes a rectangle."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    for axis in (0, 1):
        target = (size[0], picture.height) if axis == 0 else (picture.width, size[1])
        if target != picture.size:
            grows = size[axis] > 1.5 * picture.size[axis]
            picture = picture.resize(target, Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS)
    return picture


def _label(draw: Any, at: tuple[int, int], text: str) -> None:
    from PIL import ImageFont

    draw.text(at, text, _INK, ImageFont.load_default(14))


def _check_path(path: str | Path | None, overwrite: bool) -> None:
    """Raises `OutputRefused` before any frame is read."""
    if path is None:
        return
    if Path(path).suffix.lower() != ".png":
        raise OutputRefused(f"{Path(path).name} is not a PNG", expected="a name ending in .png")
    if Path(path).exists() and not overwrite:
        raise OutputRefused(f"{path} exists", expected="a new name", hint="overwrite=True")


def _saved(sheet: Image, path: str | Path | None) -> Image:
    if path is not None:
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            sheet.save(part, format="PNG")
            os.replace(part, path)
        except OSError as error:
            raise OutputRefused(f"{path} cannot be written: {error.strerror}", hint="another folder") from error
        finally:
            part.unlink(missing_ok=True)
    return sheet
