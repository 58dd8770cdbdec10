"""YUV <-> RGB and resampling in Torch, on whatever device the picture is.

The numbers are those of ITU-R BT.601-7, BT.709-6 and BT.2020-2: the luma weights Kr and Kb, limited range 16..235
for luma and 16..240 for chroma (times 2**(bits - 8)).  R'G'B' and Y'CbCr are `(T, 3, H, W)`, float32, 0..1 (chroma
-0.5..0.5) for what the range calls black to white; values beyond (super-white, colours outside the RGB cube) are kept,
because a tape has them.

Every change of size, chroma siting included, is one matrix per axis: output sample j lies at input sample `a * j + b`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kernels.colour import LUMA_WEIGHTS
from toolkit.clip import PictureFormat

_BLOCK = 64


def code_values(format: PictureFormat) -> tuple[float, float, float, float]:
    """Black level, luma span, chroma zero and chroma span of a format, in sample values."""
    unit = 1 << (format.bits - 8)
    if format.range == "limited":
        return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit
    return 0.0, float(format.peak), 128.0 * unit, float(format.peak)


def rgb_from_ycc(matrix: str) -> np.ndarray:
    """The 3x3 matrix from Y' in 0..1 and Cb, Cr in -0.5..0.5 to R'G'B'."""
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1.0 - kr - kb
    cr, cb = 2.0 * (1.0 - kr), 2.0 * (1.0 - kb)
    return np.array([[1.0, 0.0, cr], [1.0, -cb * kb / kg, -cr * kr / kg], [1.0, cb, 0.0]])


def ycc_from_rgb(matrix: str) -> np.ndarray:
    """The inverse of `rgb_from_ycc`."""
    return np.linalg.inv(rgb_from_ycc(matrix))


def cubic(x: np.ndarray) -> np.ndarray:
    """Catmull-Rom, support 2: interpolates, and keeps straight ramps straight."""
    x = np.abs(x)
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0.0))


def lanczos3(x: np.ndarray) -> np.ndarray:
    """The sinc windowed by its own first three lobes, support 3."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_SUPPORT = {cubic: 2, lanczos3: 3}


def axis_matrix(inputs: int, outputs: int, a: float, b: float, kernel: Callable) -> np.ndarray:
    """`(outputs, inputs)` matrix whose row j reads around input sample `a * j + b`.

    The kernel is stretched by `a` when that exceeds one, which keeps fine detail from folding over.  Rows sum to one;
    what falls outside is read from the edge sample.
    """
    stretch = max(1.0, a)
    centre = a * np.arange(outputs) + b
    reach = math.ceil(_SUPPORT[kernel] * stretch)
    taps = np.floor(centre)[:, None].astype(int) + np.arange(-reach, reach + 1)[None, :]
    weight = kernel((taps - centre[:, None]) / stretch)
    weight /= weight.sum(1, keepdims=True)
    matrix = np.zeros((outputs, inputs))
    np.add.at(matrix, (np.arange(outputs)[:, None], taps.clip(0, inputs - 1)), weight)
    return matrix


@functools.lru_cache(maxsize=64)
def _bands(inputs: int, outputs: int, a: float, b: float, kernel: Callable, device: str) -> list:
    """The matrix cut into blocks of rows, each with the span of inputs it reads: it is zero elsewhere."""
    matrix, bands = axis_matrix(inputs, outputs, a, b, kernel), []
    for top in range(0, outputs, _BLOCK):
        block = matrix[top : top + _BLOCK]
        used = np.flatnonzero(block.any(0))
        first, last = int(used[0]), int(used[-1]) + 1
        weights = torch.from_numpy(block[:, first:last].astype(np.float32)).to(device)
        bands.append((top, first, last, weights))
    return bands


def resample(x: Tensor, axis: int, outputs: int, a: float, b: float, kernel: Callable = cubic) -> Tensor:
    """Resamples axis -1 or -2 of a float32 tensor to `outputs` samples; sample j is read at `a * j + b`."""
    inputs = x.shape[axis]
    if (outputs, a, b) == (inputs, 1.0, 0.0):
        return x
    shape = (*x.shape[:-1], outputs) if axis == -1 else (*x.shape[:-2], outputs, x.shape[-1])
    out = x.new_empty(shape)
    for top, first, last, weights in _bands(inputs, outputs, a, b, kernel, str(x.device)):
        rows = slice(top, top + len(weights))
        if axis == -1:
            out[..., rows] = x[..., first:last] @ weights.T
        else:
            out[..., rows, :] = weights @ x[..., first:last, :]
    return out


def _phase(factor: int, cosited: bool) -> float:
    """Where chroma sample 0 lies among the luma samples."""
    return 0.0 if cosited else (factor - 1) / 2


def _sitings(format: PictureFormat) -> tuple[bool, bool]:
    """Is chroma on luma samples along (x, y)?"""
    return format.siting in ("left", "topleft"), format.siting == "topleft"


def chroma_to_luma_grid(c: Tensor, format: PictureFormat) -> Tensor:
    """Enlarges chroma planes `(..., h, w)` to luma size, each sample where its siting says."""
    (sx, sy), (on_x, on_y) = format.subsampling, _sitings(format)
    c = resample(c, -2, format.height, 1 / (1 << sy), -_phase(1 << sy, on_y) / (1 << sy))
    return resample(c, -1, format.width, 1 / (1 << sx), -_phase(1 << sx, on_x) / (1 << sx))


def mix(x: Tensor, matrix: np.ndarray) -> Tensor:
    """The three planes of `x` `(T, 3, H, W)` mixed by a 3x3 matrix."""
    if np.array_equal(matrix, np.eye(3)):
        return x
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for row, weights in enumerate(matrix):
        plane = torch.mul(x[:, 0], weights[0], out=out[:, row])
        plane.add_(x[:, 1], alpha=weights[1]).add_(x[:, 2], alpha=weights[2])
    return out


def to_ycc(planes: tuple[Tensor, ...], format: PictureFormat) -> Tensor:
    """Planes `(T, H, W)` of sample values to float32 `(T, 3, H, W)`: Y' 0..1, Cb and Cr -0.5..0.5, all at luma size."""
    black, span, zero, chroma_span = code_values(format)
    out = planes[0].new_zeros((len(planes[0]), 3, format.height, format.width), dtype=torch.float32)
    torch.sub(planes[0].float(), black, out=out[:, 0]).div_(span)
    for index, plane in enumerate(planes[1:], start=1):
        out[:, index] = chroma_to_luma_grid((plane.float() - zero) / chroma_span, format)
    return out


def from_ycc(ycc: Tensor, format: PictureFormat) -> tuple[Tensor, ...]:
    """Y'CbCr `(T, 3, h, w)` of any size to planes of sample values in `format`, resampled once on the way.

    Luma and chroma each go straight to their own grid (Lanczos, 3 lobes), so chroma is never resampled twice.
    """
    black, span, zero, chroma_span = code_values(format)
    step_y, step_x = ycc.shape[-2] / format.height, ycc.shape[-1] / format.width
    planes = []
    for index, (height, width) in enumerate(format.plane_shapes):
        fx, fy, px, py = 1, 1, 0.0, 0.0
        if index:
            (sx, sy), (on_x, on_y) = format.subsampling, _sitings(format)
            fx, fy = 1 << sx, 1 << sy
            px, py = _phase(fx, on_x), _phase(fy, on_y)
        # Rows first: they lie together in memory, and there are fewer of them afterwards.
        plane = resample(ycc[:, index], -2, height, fy * step_y, (py + 0.5) * step_y - 0.5, lanczos3)
        plane = resample(plane, -1, width, fx * step_x, (px + 0.5) * step_x - 0.5, lanczos3)
        gain, zero_level = (chroma_span, zero) if index else (span, black)
        planes.append(_quantise(plane, gain, zero_level, format))
    return tuple(planes)


def to_rgb(planes: tuple[Tensor, ...], format: PictureFormat) -> Tensor:
    """Planes `(T, H, W)` of sample values to float32 R'G'B' `(T, 3, H, W)`.  Grey gives three equal planes."""
    return mix(to_ycc(planes, format), rgb_from_ycc(format.matrix))


def from_rgb(rgb: Tensor, format: PictureFormat) -> tuple[Tensor, ...]:
    """R'G'B' `(T, 3, h, w)` of any size to planes of sample values in `format`, resampled once on the way."""
    return from_ycc(mix(rgb, ycc_from_rgb(format.matrix)), format)


def _quantise(plane: Tensor, gain: float, zero: float, format: PictureFormat) -> Tensor:
    """Rounds to the nearest sample value; what the format cannot hold is cut off."""
    out = torch.empty(plane.shape, dtype=torch.uint8 if format.bits == 8 else torch.int32, device=plane.device)
    # On the CPU a few rows at a time, so that they stay in its cache from one step to the next.
    step = _BLOCK if plane.device.type == "cpu" else plane.shape[-2]
    for top in range(0, plane.shape[-2], step):
        rows = plane[:, top : top + step] * gain
        out[:, top : top + step] = rows.add_(zero + 0.5).clamp_(0.0, format.peak + 0.5)
    return out
