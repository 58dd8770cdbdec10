"""Brings progressive frames to another size, chroma layout, colour matrix, range or depth, in planar YUV throughout.

Used where pictures must meet on one grid: clean frames on their way to a made tape, and a result beside its truth.
"""

from __future__ import annotations

import numpy as np

from kernels.colour import LUMA_WEIGHTS, coefficients
from kernels.resize import chroma_offset, resize
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError

Box = tuple[int, int, int, int]


def convert(
    batch: Batch, to: PictureFormat, *, box: Box | None = None, shift: tuple[float, float] = (0.0, 0.0)
) -> Batch:
    """Shows `batch` in another format: the same picture, resampled by Lanczos (3 lobes, widened when shrinking).

    box   : the part of the source that fills the target, in luma samples (left, top, right, bottom), even numbers
            where chroma is subsampled; the whole picture when left out.
    shift : moves the content right and down by so many target luma samples (fractions allowed).

    Chroma is placed by the siting of both formats.  Matrix and range are converted when both are known; "unknown"
    takes over the target's.  Planes keep float32 when they are float32, else get the target's integer type.

    Raises `PictureError` for interlaced frames whose lines would be mixed, for RGB, and for unlike layouts.
    """
    source = batch.format
    box = box or (0, 0, source.width, source.height)
    if (source.subsampling is None) != (to.subsampling is None) or "rgb" in (source.matrix, to.matrix):
        raise PictureError(f"no conversion from {source} to {to}", expected="YUV to YUV or grey to grey")
    grids = [_grid(source, to, i, box, shift) for i in range(len(batch.planes))]
    if source.interlaced and any(g["top"] or g["height"] != g["rows"] for g in grids):
        raise PictureError(
            f"the frames are interlaced ({source.field_order}) and their lines would be mixed",
            expected="progressive frames",
            hint="deinterlace first",
        )
    real = batch.planes[0].dtype.kind == "f"
    unit, gain = np.float32(2 ** (source.bits - 8)), np.float32(2.0 ** (to.bits - source.bits))
    luma_row, chroma_rows = colour_change(source, to)
    recolour = luma_row != (1, 0, 0, 0) or chroma_rows != ((1, 0), (0, 1))
    grey = source.replace(subsampling=(0, 0)) if source.subsampling else source
    lift = _grid(source, grey, 1, (0, 0, source.width, source.height), (0.0, 0.0)) if any(luma_row[1:3]) else None
    out = tuple(np.empty((len(batch), *shape), np.float32 if real else to.dtype) for shape in to.plane_shapes)
    for t in range(len(batch)):
        planes = [np.asarray(p[t : t + 1], np.float32) for p in batch.planes]
        if recolour:
            planes = _recoloured(planes, luma_row, chroma_rows, unit, lift)
        for i, plane in enumerate(planes):
            made = _resampled(plane, grids[i])[0]
            if gain != 1:
                made = made * gain
            out[i][t] = made if real else np.clip(np.rint(made), 0, to.peak)
    return batch.replace(planes=out, format=to)


def _recoloured(planes, luma_row, chroma_rows, unit, lift):
    grey = [p - 128 * unit for p in planes[1:]]
    planes = [luma_row[0] * planes[0] + luma_row[3] * unit]
    if lift and grey:
        planes[0] = planes[0] + sum(w * _resampled(p, lift) for w, p in zip(luma_row[1:3], grey, strict=True))
    if grey:
        planes += [a * grey[0] + b * grey[1] + 128 * unit for a, b in chroma_rows]
    return [p.astype(np.float32) for p in planes]


def colour_change(source: PictureFormat, to: PictureFormat) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """What turns 8-bit `(Y, U - 128, V - 128)` of one matrix and range into another's.

    Returns the luma row `(y, u, v, offset)` and the 2x2 chroma rows: grey stays grey, so chroma never needs luma.
    """
    known = [f.matrix for f in (to, source) if f.matrix in LUMA_WEIGHTS] or ["bt601"]
    mine, theirs = (f.matrix if f.matrix in LUMA_WEIGHTS else known[0] for f in (source, to))
    before, after = coefficients(mine, source.range), coefficients(theirs, to.range)
    if (mine, source.range) == (theirs, to.range):
        return (1.0, 0.0, 0.0, 0.0), ((1.0, 0.0), (0.0, 1.0))
    change = np.round(after.to_yuv @ before.to_rgb, 12)
    offset = float(after.offset[0] - change[0, 0] * before.offset[0])
    return (*change[0].tolist(), offset), tuple(tuple(row[1:].tolist()) for row in change[1:])


def chroma_place(fmt: PictureFormat) -> tuple[float, float]:
    """Where the first chroma sample sits, in luma samples right of and below the first luma sample."""
    sx, sy = fmt.subsampling or (0, 0)
    middle = ((1 << sx) - 1) / 2, ((1 << sy) - 1) / 2
    return (middle[0] if fmt.siting == "center" else 0.0), (0.0 if fmt.siting == "topleft" else middle[1])


def _grid(source: PictureFormat, to: PictureFormat, plane: int, box: Box, shift: tuple[float, float]) -> dict:
    """What `resize` needs for one plane, the part of it to take, and `rows` and `columns` of that part."""
    grid = {}
    for axis, (n_to, edge, size, part) in enumerate(
        ((to.width, "left", "width", "columns"), (to.height, "top", "height", "rows"))
    ):
        low, high = box[axis], box[axis + 2]
        ratio = (high - low) / n_to
        s, s_to = (source.subsampling[axis], to.subsampling[axis]) if plane else (0, 0)
        offset = -shift[axis] * ratio / (1 << s)
        if plane:
            offset += chroma_offset(ratio, s, chroma_place(source)[axis], s_to, chroma_place(to)[axis])
        first, last = low >> s, -(-high >> s)
        grid |= {edge: offset if abs(offset) > 1e-9 else 0.0, size: -(-n_to >> s_to), part: last - first}
        grid["take" + edge] = slice(first, last)
    return grid


def _resampled(plane: np.ndarray, grid: dict) -> np.ndarray:
    plane = plane[:, grid["taketop"], grid["takeleft"]]
    if not grid["left"] and not grid["top"] and (grid["rows"], grid["columns"]) == (grid["height"], grid["width"]):
        return plane
    return resize(plane, width=grid["width"], height=grid["height"], left=grid["left"], top=grid["top"])
