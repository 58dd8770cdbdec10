"""Element-wise steps between convolutions, each in one pass over memory, on a CPU.

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

#: Above that many threads for one frame Torch's own steps, which use them all, are faster than one pass of one thread.
_MOST_THREADS = 4
_JIT = {"nogil": True, "cache": True, "error_model": "numpy"}


def prelu_into(x: Tensor, slopes: Tensor | None, out: Tensor) -> None:
    """Writes PReLU of the rows `x` `(n, W, C)`, float32 or bfloat16 on the CPU, into `out` of the same shape and type.

    slopes : float32, one per sample of a row, `(W * C,)`; None only copies.
    """
    if slopes is None:
        out.copy_(x)
    elif x.dtype is torch.bfloat16 and x[0].numel() % 2:  # no net in use has an odd number of channels
        out.copy_(torch.where(x > 0, x, (x.float() * slopes.view(x.shape[1:])).to(x.dtype)))
    else:
        body = _prelu_bf16 if x.dtype is torch.bfloat16 else _prelu_float32
        body(_words(x.reshape(len(x), -1)), slopes.numpy(), _words(out.view(len(x), -1)))


def add_share(x: Tensor, y: Tensor, share: float, out: Tensor, fast: Tensor, outer: Tensor | None = None) -> None:
    """Writes `x + share * y`, or with `outer` `outer + share * (x + share * y)`, into `out` and, rounded, into `fast`.

    x, out, outer : float32 `(H, W, C)`, contiguous; may be the same.  y, fast : of one type, float32 or bfloat16.
    """
    if y.dtype is torch.bfloat16 and x[0].numel() % 2 == 0 and torch.get_num_threads() <= _MOST_THREADS:
        more, short = _words(y.reshape(len(x), -1)), _words(fast.view(len(x), -1))
        _add_bf16(_rows(x), more, np.float32(share), _rows(out), short, None if outer is None else _rows(outer))
        return
    if outer is not None:
        x, y = outer, torch.add(x, y, alpha=share)
    torch.add(x, y, alpha=share, out=out)
    fast.copy_(out)


def _rows(x: Tensor) -> np.ndarray:
    return x.view(len(x), -1).numpy()


def _words(x: Tensor) -> np.ndarray:
    """Rows of float32, or of pairs of bfloat16."""
    return (x.view(torch.uint32) if x.dtype is torch.bfloat16 else x).numpy()


@njit(inline="always")
def _rounded(value):
    """The bits of a float32 whose upper half is the nearest bfloat16, ties to even; the lower half is left over.

    A NaN stays one, because those that come from a bfloat16 have a zero tail.
    """
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd))


@njit(**_JIT)
def _prelu_bf16(x, slopes, out):
    """Two neighbours in one 32-bit word: the upper one is a float32 as it lies there, but for its tail."""
    upper, zero = np.uint32(0xFFFF0000), np.float32(0)
    first, second = slopes[::2].copy(), slopes[1::2].copy()
    for r in range(len(x)):
        row, target = x[r], out[r]
        for i in range(len(first)):
            low, high = np.uint32(row[i] << np.uint32(16)), np.uint32(row[i] & upper)
            a, b = low.view(np.float32), high.view(np.float32)
            low = low if a > zero else _rounded(a * first[i])
            high = high if b > zero else _rounded(b * second[i])
            target[i] = np.uint32(np.uint32(high & upper) | np.uint32(low >> np.uint32(16)))


@njit(**_JIT)
def _prelu_float32(x, slopes, out):
    for r in range(len(x)):
        row, target = x[r], out[r]
        for i in range(len(slopes)):
            scaled = row[i] * slopes[i]
            target[i] = row[i] if row[i] > np.float32(0) else scaled


@njit(**_JIT)
def _add_bf16(x, y, share, out, fast, outer):
    """Two neighbours in one word of `y` and `fast`; `outer` may be None."""
    upper = np.uint32(0xFFFF0000)
    for r in range(len(x)):
        row, more, target, short = x[r], y[r], out[r], fast[r]
        for i in range(len(more)):
            low, high = np.uint32(more[i] << np.uint32(16)), np.uint32(more[i] & upper)
            a = row[2 * i] + share * low.view(np.float32)
            b = row[2 * i + 1] + share * high.view(np.float32)
            if outer is not None:
                a, b = outer[r, 2 * i] + share * a, outer[r, 2 * i + 1] + share * b
            target[2 * i], target[2 * i + 1] = a, b
            short[i] = np.uint32(np.uint32(_rounded(b) & upper) | np.uint32(_rounded(a) >> np.uint32(16)))
