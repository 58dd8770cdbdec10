"""YUV to RGB and back, and from one YUV matrix to another, with chroma where it was sited.  Progressive frames only.

Luma weights and quantisation are those of ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance); full range
is that of JFIF / ITU-T T.871.  Chroma is brought to luma's grid by linear interpolation, and back by the triangle as
wide as a chroma sample ([1 2 1] / 4 for "left", [1 3 3 1] / 8 for "center"), both at the exact phase of the siting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from kernels import colour_lines as lines
from kernels.arrays import depth
from kernels.declare import Bits, Halo, Launch, kernel

Matrix = Literal["bt601", "bt709", "bt2020"]
Range = Literal["limited", "full"]
Subsampling = Literal["444", "422", "420", "411", "410"]
Siting = Literal["left", "center", "topleft"]

#: Weights of red and blue in luma.
LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
#: Luma samples per chroma sample along a line and down a column.
STEPS = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "411": (4, 1), "410": (4, 4)}


@dataclass(frozen=True, eq=False)
class Coefficients:
    """One matrix and range at one depth.  `rgb = to_rgb @ (yuv - offset)` and `yuv = to_yuv @ rgb + offset`.

    All in levels; RGB is full range, black at 0 and white at `2**bits - 1`.
    """

    to_rgb: np.ndarray
    to_yuv: np.ndarray
    offset: np.ndarray


@lru_cache(maxsize=64)
def coefficients(matrix: str = "bt601", range: str = "limited", bits: int = 8) -> Coefficients:
    """The numbers of a colour matrix and range at a depth of 8 to 16 bits, float64.  KeyError for unknown names."""
    kr, kb = LUMA_WEIGHTS[matrix]
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    peak, unit = (1 << bits) - 1, 1 << (bits - 8)
    spans = {"limited": (219 * unit, 224 * unit, 16 * unit), "full": (peak, peak, 0)}
    luma_span, chroma_span, black = spans[range]
    to_yuv = np.stack([luma * luma_span, blue * chroma_span, red * chroma_span]) / peak
    made = Coefficients(np.linalg.inv(to_yuv), to_yuv, np.array([black, 128.0 * unit, 128.0 * unit]))
    for table in (made.to_rgb, made.to_yuv, made.offset):
        table.flags.writeable = False
    return made


def chroma_site(subsampling: str, siting: str) -> tuple[float, float]:
    """Where the first chroma sample lies, in luma samples right of and below the first luma sample."""
    x, y = ((step - 1) / 2 for step in STEPS[subsampling])
    return (x if siting == "center" else 0.0), (0.0 if siting == "topleft" else y)


def chroma_shape(shape: tuple[int, ...], subsampling: str) -> tuple[int, int, int]:
    """The shape of the chroma planes beside luma `(T, H, W)`; odd sizes round up."""
    x, y = STEPS[subsampling]
    return shape[0], -(-shape[-2] // y), -(-shape[-1] // x)


def planes_of(shape: tuple[int, ...], knobs: dict[str, Any]) -> list[tuple[int, ...]]:
    luma, chroma = (shape[0], *shape[-2:]), chroma_shape(shape, knobs["subsampling"])
    return [luma, chroma, chroma]


def _rgb_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[0], 3, *shape[-2:]


def lift_taps(size: int, step: int, site: float) -> tuple[np.ndarray, np.ndarray]:
    """For each of `size` luma samples: the chroma sample at or before it (-1: before the first) and the way on to the
    next one, 0 to 1."""
    at = (np.arange(size) - site) / step
    before = np.floor(at)
    return before.astype(np.int64), at - before


def drop_taps(step: int, site: float) -> tuple[int, np.ndarray]:
    """First luma sample, counted from `step * i`, and the weights that chroma sample i is made with."""
    reach = np.arange(-step, 2 * step + 1)
    weights = np.maximum(1 - np.abs(reach - site) / step, 0) / step
    used = np.flatnonzero(weights)
    return int(reach[used[0]]), weights[used]


def lifted(plane: np.ndarray, height: int, width: int, subsampling: str, siting: str) -> np.ndarray:
    """Chroma `(T, h, w)` on luma's grid, float64."""
    plane = plane.astype(np.float64)
    for axis, size, step, site in zip(
        (2, 1), (width, height), STEPS[subsampling], chroma_site(subsampling, siting), strict=True
    ):
        before, way = lift_taps(size, step, site)
        last = plane.shape[axis] - 1
        way = way[:, None] if axis == 1 else way
        a, b = (np.take(plane, np.clip(before + k, 0, last), axis) for k in (0, 1))
        plane = a * (1 - way) + b * way
    return plane


def _drop(plane: np.ndarray, subsampling: str, siting: str) -> np.ndarray:
    """A full chroma plane `(T, H, W)` on the grid of `subsampling`, float64."""
    for axis, step, site in zip((2, 1), STEPS[subsampling], chroma_site(subsampling, siting), strict=True):
        first, weights = drop_taps(step, site)
        size = plane.shape[axis]
        centres = step * np.arange(-(-size // step)) + first
        plane = sum(w * np.take(plane, np.clip(centres + k, 0, size - 1), axis) for k, w in enumerate(weights))
    return plane


def _levels(values: np.ndarray, like: np.ndarray, bits: int) -> np.ndarray:
    if like.dtype.kind == "f":
        return values.astype(np.float32)
    return np.clip(np.floor(values + 0.5), 0, (1 << bits) - 1).astype(like.dtype)


@kernel(
    halo=Halo(pixels=2), tolerance=1, inputs=planes_of,
    outputs=lambda shapes, dtype, knobs: [(_rgb_shape(shapes[0]), dtype)],
)  # fmt: skip
def yuv_to_rgb(
    y, u, v,
    matrix: Matrix = "bt601",
    range: Range = "limited",
    subsampling: Subsampling = "420",
    siting: Siting = "left",
    bits: Bits = 0,
):  # fmt: skip
    """Shows planar YUV as full-range RGB.

    y    : `(T, H, W)` uint8, uint16 or float32.
    u, v : chroma planes of the layout `subsampling`, sited as `siting` says.
    bits : the depth of uint16 planes, 8 to 16.
    Returns `(T, 3, H, W)`, same dtype and depth; integers are rounded half up and limited to black and white, float32
    keeps what lies beyond.
    """
    bits = depth(y, bits)
    c = coefficients(matrix, range, bits)
    chroma = (lifted(p, *y.shape[1:], subsampling, siting) for p in (u, v))
    yuv = np.stack([y.astype(np.float64), *chroma], axis=1) - c.offset[:, None, None]
    return _levels(np.einsum("rc,tcyx->tryx", c.to_rgb, yuv), y, bits)


@kernel(
    halo=Halo(pixels=8), tolerance=1, inputs=lambda shape, knobs: [_rgb_shape(shape)],
    outputs=lambda shapes, dtype, knobs: [(s, dtype) for s in planes_of(shapes[0], knobs)],
)  # fmt: skip
def rgb_to_yuv(
    rgb,
    matrix: Matrix = "bt601",
    range: Range = "limited",
    subsampling: Subsampling = "420",
    siting: Siting = "left",
    bits: Bits = 0,
):
    """Shows full-range RGB as planar YUV.

    rgb : `(T, 3, H, W)` uint8, uint16 or float32; `bits` is the depth of uint16 frames, 8 to 16.
    Returns `(y, u, v)`, same dtype and depth: luma `(T, H, W)`, chroma of the layout `subsampling`, odd sizes rounded
    up; integers are rounded half up and limited to `0 .. 2**bits - 1`.
    """
    bits = depth(rgb, bits)
    c = coefficients(matrix, range, bits)
    yuv = np.einsum("cr,tryx->tcyx", c.to_yuv, rgb.astype(np.float64)) + c.offset[:, None, None]
    planes = yuv[:, 0], _drop(yuv[:, 1], subsampling, siting), _drop(yuv[:, 2], subsampling, siting)
    return tuple(_levels(p, rgb, bits) for p in planes)


@kernel(
    halo=Halo(pixels=2), tolerance=1, inputs=planes_of,
    outputs=lambda shapes, dtype, knobs: [(s, dtype) for s in planes_of(shapes[0], knobs)],
)  # fmt: skip
def rematrix(
    y, u, v,
    source: Matrix = "bt601",
    target: Matrix = "bt709",
    range: Range = "limited",
    target_range: Literal["same", "limited", "full"] = "same",
    subsampling: Subsampling = "420",
    siting: Siting = "left",
    bits: Bits = 0,
):  # fmt: skip
    """Keeps the colours of planar YUV while it changes from one colour matrix (and range) to another.

    Grey stays grey, so the new chroma follows from the old chroma alone and keeps its grid; the new luma takes the
    chroma interpolated at its place.  Arguments as in `yuv_to_rgb`; `range` is the source's.
    Returns `(y, u, v)`, shapes and dtype unchanged.
    """
    bits = depth(y, bits)
    change, offset = matrix_change(source, target, range, target_range, bits)
    wide = (lifted(p, *y.shape[1:], subsampling, siting) for p in (u, v))
    luma = np.einsum("c,ctyx->tyx", change[0], np.stack([y.astype(np.float64), *wide])) + offset[0]
    chroma = np.einsum("rc,ctyx->rtyx", change[1:, 1:], np.stack([u, v]).astype(np.float64))
    chroma += offset[1:, None, None, None]
    return tuple(_levels(p, y, bits) for p in (luma, *chroma))


def matrix_change(source: str, target: str, range: str, target_range: str, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """`new = change @ old + offset`, in levels."""
    old = coefficients(source, range, bits)
    new = coefficients(target, range if target_range == "same" else target_range, bits)
    change = new.to_yuv @ old.to_rgb
    change[1:, 0] = 0  # rounding noise: grey has no colour in either
    return change, new.offset - change @ old.offset


def lift_facts(height: int, width: int, subsampling: str, siting: str, fixed: bool) -> tuple[Any, ...]:
    (step_x, step_y), (site_x, site_y) = STEPS[subsampling], chroma_site(subsampling, siting)
    rows, row_ways = lift_taps(height, step_y, site_y)
    first, ways = lift_taps(step_x, step_x, site_x)
    row_ways, ways = (lines.filter_weights(np.stack([1 - w, w], axis=1), fixed) for w in (row_ways, ways))
    return rows, row_ways, first, ways


@yuv_to_rgb.cpu
def _(y, u, v, out, start, matrix, range, subsampling, siting, bits):
    c, fixed = coefficients(matrix, range, bits), y.dtype == np.uint8
    change = lines.mixing(c.to_rgb, -c.to_rgb @ c.offset, fixed, y.dtype.kind == "f", bits)
    lines.to_rgb(y, u, v, start, lift_facts(*y.shape[1:], subsampling, siting, fixed), change, out)


@rematrix.cpu
def _(y, u, v, out, start, source, target, range, target_range, subsampling, siting, bits):
    fixed = y.dtype == np.uint8
    change = lines.mixing(*matrix_change(source, target, range, target_range, bits), fixed, y.dtype.kind == "f", bits)
    lines.to_other(y, u, v, start, lift_facts(*y.shape[1:], subsampling, siting, fixed), change, *out)


@rgb_to_yuv.cpu
def _(rgb, out, start, matrix, range, subsampling, siting, bits):
    c, fixed = coefficients(matrix, range, bits), rgb.dtype == np.uint8
    (step_x, step_y), (site_x, site_y) = STEPS[subsampling], chroma_site(subsampling, siting)
    (first_x, across), (first_y, down) = drop_taps(step_x, site_x), drop_taps(step_y, site_y)
    across, down = lines.filter_weights(across, fixed), lines.filter_weights(down, fixed)
    change = lines.mixing(c.to_yuv, c.offset, fixed, rgb.dtype.kind == "f", bits)
    lines.to_yuv(rgb, start, (step_x, step_y, first_x, across, first_y, down), change, *out)


# CUDA plans.  The tables are small enough to travel as scalars: three rows of weights and offsets.


def _scalars(matrix: np.ndarray, offset: np.ndarray) -> list[np.float32]:
    return [np.float32(x) for x in np.column_stack([matrix, offset]).ravel()]


def lift_scalars(subsampling: str, siting: str) -> list[np.generic]:
    (step_x, step_y), (site_x, site_y) = STEPS[subsampling], chroma_site(subsampling, siting)
    return [np.int32(step_x), np.int32(step_y), np.float32(site_x), np.float32(site_y)]


def _grid(width: int, height: int, count: int) -> tuple[int, int, int]:
    return -(-width // 128), height, count


def _to_rgb_plan(arrays, out, start, matrix, range, subsampling, siting, bits) -> list[Launch]:
    c, i = coefficients(matrix, range, bits), np.int32
    y, u = arrays[:2]
    sizes = i(start), i(y.shape[1]), i(y.shape[2]), i(u.shape[1]), i(u.shape[2]), i((1 << bits) - 1)
    facts = [*lift_scalars(subsampling, siting), *_scalars(c.to_rgb, -c.to_rgb @ c.offset)]
    grid = _grid(y.shape[2], y.shape[1], out.shape[0])
    return [Launch("yuv_to_rgb", grid, (128, 1, 1), (*arrays, out, *sizes, *facts))]


def _rematrix_plan(arrays, out, start, source, target, range, target_range, subsampling, siting, bits) -> list[Launch]:
    i = np.int32
    y, u = arrays[:2]
    sizes = i(start), i(y.shape[1]), i(y.shape[2]), i(u.shape[1]), i(u.shape[2]), i((1 << bits) - 1)
    facts = [*lift_scalars(subsampling, siting), *_scalars(*matrix_change(source, target, range, target_range, bits))]
    grid = _grid(y.shape[2], y.shape[1], out[0].shape[0])
    return [Launch("rematrix", grid, (128, 1, 1), (*arrays, *out, *sizes, *facts))]


def _to_yuv_plan(arrays, out, start, matrix, range, subsampling, siting, bits) -> list[Launch]:
    c, i = coefficients(matrix, range, bits), np.int32
    rgb, (y, u, v) = arrays[0], out
    count, height, width = y.shape
    sizes = i(start), i(height), i(width), i(u.shape[1]), i(u.shape[2]), i((1 << bits) - 1)
    facts = [*lift_scalars(subsampling, siting), *_scalars(c.to_yuv, c.offset)]
    return [
        Launch("rgb_to_luma", _grid(width, height, count), (128, 1, 1), (rgb, y, *sizes, *facts)),
        Launch("rgb_to_chroma", _grid(u.shape[2], u.shape[1], count), (128, 1, 1), (rgb, u, v, *sizes, *facts)),
    ]


yuv_to_rgb.cuda("colour.cu", _to_rgb_plan)
rematrix.cuda("colour.cu", _rematrix_plan)
rgb_to_yuv.cuda("colour.cu", _to_yuv_plan)
