"""What lies between a net's convolutions on a CPU, each in one pass over memory.

Convolutions in bfloat16 are so fast on a CPU with matrix units that the element-wise steps between them, each a pass
over memory of its own, took longer than they did.  Here an activation and the copy to where the next convolution
reads it are one pass.  The values are those of Torch's own functions: bfloat16 is computed in float32 and rounded to
the nearest, ties to even.

Tensors are on the CPU, channels last, float32 or bfloat16.  Compiled without threads of its own, so any number of
threads may call it at once.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

_JIT = {"nogil": True, "cache": True, "error_model": "numpy"}


def prelu_into(x: Tensor, slopes: Tensor | None, out: Tensor) -> None:
    """Writes PReLU of the rows `x` `(n, W, C)` into `out` of the same shape.

    slopes : float32, one per sample of a row, `(W * C,)`; None only copies.
    """
    if slopes is None:
        out.copy_(x)
    else:
        _prelu[x.dtype](_bits(x).reshape(len(x), -1), slopes.numpy(), _bits(out).reshape(len(x), -1))


def leaky_cat(x: Tensor, y: Tensor, slope: float) -> Tensor:
    """`torch.cat((x, leaky_relu(y, slope)), 1)` of `(T, C, H, W)`, both channels last."""
    frames, channels, height, width = x.shape
    more = y.shape[1]
    out = torch.empty((frames, channels + more, height, width), dtype=x.dtype, memory_format=torch.channels_last)
    _leaky_cat[x.dtype](_pixels(x), _pixels(y), np.float32(slope), _pixels(out))
    return out


def add_scaled(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """`x + scale * y` for a float32 `x` and a bfloat16 `y` `(T, C, H, W)`, channels last, in float32.

    Torch's own sum of two types converts both in pieces first.
    """
    out = torch.empty_like(x, memory_format=torch.channels_last)
    _add_scaled(_pixels(x).ravel(), _pixels(y).ravel(), np.float32(scale), _pixels(out).ravel())
    return out


def is_fusible(x: Tensor) -> bool:
    """Whether the functions of this module take `x`; otherwise Torch's own are to be used."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and x.dtype in _prelu


def _bits(x: Tensor) -> np.ndarray:
    return (x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy()


def _pixels(x: Tensor) -> np.ndarray:
    """`(T * H * W, C)`."""
    flat = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    return _bits(flat).reshape(-1, x.shape[1])


@njit(inline="always")
def _wide(bits):
    """The float32 whose upper half are the bits of a bfloat16."""
    return np.uint32(np.uint32(np.uint16(bits)) << np.uint32(16)).view(np.float32)


@njit(inline="always")
def _narrow(value):
    """The bits of the nearest bfloat16; a NaN stays one, because those that come from a bfloat16 have a zero tail."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    bits = np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd))
    return np.int16(np.uint32(bits >> np.uint32(16)))


@njit(**_JIT)
def _prelu_bf16(x, slopes, out):
    for r in range(len(x)):
        row, target = x[r], out[r]
        for i in range(len(slopes)):
            value = _wide(row[i])
            scaled = _narrow(value * slopes[i])
            target[i] = row[i] if value > np.float32(0) else scaled


@njit(**_JIT)
def _prelu_float32(x, slopes, out):
    for r in range(len(x)):
        row, target = x[r], out[r]
        for i in range(len(slopes)):
            scaled = row[i] * slopes[i]
            target[i] = row[i] if row[i] > np.float32(0) else scaled


@njit(**_JIT)
def _leaky_cat_bf16(x, y, slope, out):
    first = x.shape[1]
    for p in range(len(x)):
        a, b, target = x[p], y[p], out[p]
        for i in range(first):
            target[i] = a[i]
        rest = target[first:]
        for i in range(len(b)):
            value = _wide(b[i])
            scaled = _narrow(value * slope)
            rest[i] = b[i] if value > np.float32(0) else scaled


@njit(**_JIT)
def _leaky_cat_float32(x, y, slope, out):
    first = x.shape[1]
    for p in range(len(x)):
        a, b, target = x[p], y[p], out[p]
        for i in range(first):
            target[i] = a[i]
        rest = target[first:]
        for i in range(len(b)):
            scaled = b[i] * slope
            rest[i] = b[i] if b[i] > np.float32(0) else scaled


@njit(**_JIT)
def _add_scaled(x, y, scale, out):
    for i in range(len(x)):
        out[i] = x[i] + scale * _wide(y[i])


_prelu = {torch.bfloat16: _prelu_bf16, torch.float32: _prelu_float32}
_leaky_cat = {torch.bfloat16: _leaky_cat_bf16, torch.float32: _leaky_cat_float32}
