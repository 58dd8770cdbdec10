"""PReLU and the copy to where the next convolution reads it, in one pass over memory, on a CPU.

Convolutions in bfloat16 are so fast on a CPU with matrix units that the element-wise steps between them, each a pass
over memory of its own, took longer than they did.  The values are those of Torch's own functions: bfloat16 is computed
in float32 and rounded to the nearest, ties to even.

Compiled without threads of its own, so any number of threads may call it at once.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

_JIT = {"nogil": True, "cache": True, "error_model": "numpy"}


def prelu_into(x: Tensor, slopes: Tensor | None, out: Tensor) -> None:
    """Writes PReLU of the rows `x` `(n, W, C)`, float32 or bfloat16 on the CPU, into `out` of the same shape and type.

    slopes : float32, one per sample of a row, `(W * C,)`; None only copies.
    """
    if slopes is None:
        out.copy_(x)
    else:
        body = _prelu_bf16 if x.dtype is torch.bfloat16 else _prelu_float32
        body(_bits(x).reshape(len(x), -1), slopes.numpy(), _bits(out).reshape(len(x), -1))


def _bits(x: Tensor) -> np.ndarray:
    return (x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy()


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
