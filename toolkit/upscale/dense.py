"""RRDBNet on a CPU: no step between two convolutions that can be done within one.

The matrix units of a CPU are so fast in bfloat16 that most of the plain net's time went into moving its feature maps
about, above all those of four times the input's size, which no cache holds.  Three things are done otherwise here:

* A LeakyReLU is part of the convolution before it, where the library has that (oneDNN in Torch's builds for x86).
* A convolution behind a nearest-neighbour doubling reads four equal samples four times.  Its nine weights are added up
  to the four that meet different samples, one set for each of the four places in a doubled sample: 4 / 9 of the
  arithmetic, and the doubled picture is never made.
* The steps at twice and four times the input's size run a few rows at a time, and keep the last two rows for the next
  strip, as in `strips.py`.

The last convolution has three outputs, of which vector units waste most: it is one matrix product that gives the nine
taps of each output apart, and nine sums of shifted planes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.upscale.fused import add_share

if TYPE_CHECKING:
    from toolkit.upscale.nets import DenseBlock, RRDBNet

#: Slope of every LeakyReLU in the net, and the share of a block's outcome that is added to its input.
SLOPE, SHARE = 0.2, 0.2
#: Bytes of one strip at the finest size (see benchmarks/README.md), and the fewest input rows of a strip: with less the
#: finest convolution would get no row from the first one.
_STRIP_BYTES, _FEWEST_ROWS = 2 << 20, 4
#: Which of a 3-tap filter's taps fall on the first and the second of the two samples that it meets behind a doubling,
#: for the first and the second place in a doubled sample.
_MEETS = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])


def forward(net: RRDBNet, folded: Tensor, first: Tensor) -> Tensor:
    """The net's picture in float32 from `folded` `(T, C, H, W)` and `first`, its first convolution, in float32."""
    frames, _, height, width = folded.shape
    out = torch.empty((frames, net.channels, 4 * height, 4 * width))
    later = _Later(net)
    for t in range(frames):
        for top, rows in _enlarged(later, _trunk(net, first[t : t + 1])):
            out[t, :, top : top + rows.shape[1]] = rows
    return out


def needed(net: RRDBNet, height: int, width: int) -> int:
    """Peak bytes for one frame whose folded size is that, the picture that comes out not counted."""
    features, each = net.features, net.conv_body.weight.element_size()
    widest = net.body[0].rdb1.conv5.in_channels
    # four maps in float32; what convolutions read and give in their own precision
    trunk = height * width * (4 * 4 * features + each * (2 * features + 2 * widest))
    rows, row = _strip(height, width, features, each)
    return trunk + 2 * (4 * rows + 11) * row * 4


def _strip(height: int, width: int, features: int, each: int) -> tuple[int, int]:
    """Input rows of a strip, and samples in a row at the finest size, for elements of `each` bytes."""
    row = 4 * width * features
    rows = torch.get_num_threads() * _STRIP_BYTES // (4 * row * each)
    return max(_FEWEST_ROWS, min(rows, height)), row


def _nhwc(x: Tensor) -> Tensor:
    """`(1, C, H, W)`, channels last in memory, as `(H, W, C)`."""
    return x[0].permute(1, 2, 0)


def _nchw(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)[None]


@functools.cache
def _fuses(dtype: torch.dtype) -> bool:
    """Does this build of Torch convolve and apply LeakyReLU in one step, and rightly?"""
    if not torch.backends.mkldnn.is_available():
        return False
    random = torch.Generator().manual_seed(0)
    x = torch.randn((1, 16, 8, 8), generator=random).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn((16, 16, 3, 3), generator=random).to(dtype).contiguous(memory_format=torch.channels_last)
    bias = torch.randn(16, generator=random).to(dtype)
    try:
        found = _fused(x, weight, bias, (1, 1), SLOPE).float()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # not in this build, or not on this CPU
        return False
    expected = F.leaky_relu(F.conv2d(x.float(), weight.float(), bias.float(), padding=1), SLOPE)
    return torch.allclose(found, expected, rtol=0.02, atol=0.02)


def _fused(x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int], slope: float) -> Tensor:
    step = torch.ops.mkldnn._convolution_pointwise
    return step(x, weight, bias, padding, (1, 1), (1, 1), 1, "leaky_relu", [slope], "")


def _activated(x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """LeakyReLU of a convolution."""
    if _fuses(x.dtype):
        return _fused(x, weight, bias, padding, SLOPE)
    return F.leaky_relu_(F.conv2d(x, weight, bias, padding=padding), SLOPE)


def _trunk(net: RRDBNet, first: Tensor) -> Tensor:
    """What the doublings start from, `(H, W, C)` in the precision of the convolutions."""
    dtype = net.conv_body.weight.dtype
    first = _nhwc(first.contiguous(memory_format=torch.channels_last))
    given, inner, fast = first.clone(), torch.empty_like(first), first.to(dtype, copy=True)
    # Each convolution reads in one of the two while its input is copied to the other, beside what it gives.
    memory = [fast.new_empty(fast[..., 0].numel() * net.body[0].rdb1.conv5.in_channels) for _ in range(2)]
    for group in net.body:
        add_share(given, _block(group.rdb1, fast, memory), SHARE, inner, fast)
        add_share(inner, _block(group.rdb2, fast, memory), SHARE, inner, fast)
        add_share(inner, _block(group.rdb3, fast, memory), SHARE, given, fast, outer=given)
    add_share(first, _nhwc(net.conv_body(_nchw(fast))), 1.0, inner, fast)
    return fast


def _block(block: DenseBlock, x: Tensor, memory: list[Tensor]) -> Tensor:
    """What a dense block adds to its input `(H, W, C)`, before its share is taken."""
    seen = x
    for i, conv in enumerate((block.conv1, block.conv2, block.conv3, block.conv4)):
        grown = _nhwc(_activated(_nchw(seen), conv.weight, conv.bias))
        shape = (*x.shape[:2], seen.shape[2] + grown.shape[2])
        wider = memory[i % 2][: math.prod(shape)].view(shape)
        seen = torch.cat((seen, grown), 2, out=wider)
    return _nhwc(block.conv5(_nchw(seen)))


class _Later:
    """The weights behind the trunk, in the form in which they are used."""

    def __init__(self, net: RRDBNet) -> None:
        self.up1, self.up2, self.hr = _doubling(net.conv_up1), _doubling(net.conv_up2), net.conv_hr
        self.features, self.channels = net.features, net.channels
        # float32, because the eight bits of bfloat16 are too few for a picture
        self.taps = net.conv_last.weight.float().permute(2, 3, 0, 1).reshape(9 * net.channels, -1)
        self.bias = net.conv_last.bias.float().view(-1, 1, 1)


def _doubling(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weights `(4 * outputs, inputs, 2, 2)` and bias for `conv` behind a doubling, by place in the doubled sample."""
    weight = torch.einsum("pat,qbs,oits->pqoiab", _MEETS, _MEETS, conv.weight.float()).flatten(0, 2)
    return weight.to(conv.weight.dtype, memory_format=torch.channels_last), conv.bias.repeat(4)


class _Window:
    """The rows that a convolution reads: the last two of before, new ones, and zeros beyond the picture's borders.

    They lie in `memory`, which windows share that are not in use at the same time: so it stays in the cache.
    """

    def __init__(self, memory: Tensor, width: int, channels: int, dtype: torch.dtype) -> None:
        self.memory = memory.view(dtype)
        self.kept = torch.zeros((1, width, channels), dtype=dtype)

    def room(self, new: int) -> Tensor:
        """Where `new` rows are to be written."""
        held, shape = len(self.kept), self.kept.shape[1:]
        rows = held + new + 1
        self.rows = self.memory[: rows * shape.numel()].view(rows, *shape)
        self.rows[:held] = self.kept
        return self.rows[held:-1]

    def read(self, last: bool) -> Tensor:
        """All rows, after the new ones were written; valid until the memory's next use."""
        if last:
            self.rows[-1] = 0
        else:
            self.rows = self.rows[:-1]
        self.kept = self.rows[-2:].clone()
        return self.rows


def _double(window: Tensor, weights: tuple[Tensor, Tensor], target: _Window) -> None:
    """Writes the rows of twice the size for all rows of `window` but the outer two into the room of `target`."""
    weight, bias = weights
    rows, width, channels = len(window) - 2, window.shape[1], weight.shape[0] // 4
    found = _nhwc(_activated(_nchw(window), weight, bias, (0, 1))).unflatten(2, (2, 2, channels))
    large = target.room(2 * rows).view(rows, 2, width, 2, channels)
    for y in (0, 1):
        for x in (0, 1):
            large[:, y, :, x] = found[y : y + rows, x : x + width, y, x]


def _enlarged(later: _Later, x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yields `(first row, rows (C, n, 4 W))` of the picture from the trunk's `x` `(H, W, C)`, top to bottom."""
    height, width, features = x.shape
    step, row = _strip(height, width, features, x.element_size())
    memory = torch.empty((4 * step + 11) * row * 4, dtype=torch.uint8)
    coarse, double, quad = (_Window(memory, n * width, features, x.dtype) for n in (1, 2, 4))
    final = _Window(memory, 4 * width, features, torch.float32)
    done = 0
    for top in range(0, height, step):
        rows, last = x[top : top + step], top + step >= height
        coarse.room(len(rows)).copy_(rows)
        _double(coarse.read(last), later.up1, double)
        _double(double.read(last), later.up2, quad)
        fine = _nhwc(_activated(_nchw(quad.read(last)), later.hr.weight, later.hr.bias, (0, 1)))
        final.room(len(fine)).copy_(fine)
        picture = _last(final.read(last), later)
        yield done, picture
        done += picture.shape[1]


def _last(window: Tensor, later: _Later) -> Tensor:
    """The last convolution for all rows of `window` but the outer two, as planes `(C, n, W)`."""
    height, width, _ = window.shape
    taps = (later.taps @ window.view(height * width, -1).T).view(3, 3, later.channels, height, width)
    out = later.bias + taps[0, 1, :, :-2]
    for y in range(3):
        rows = slice(y, y + height - 2)
        if y:
            out += taps[y, 1, :, rows]
        out[..., 1:] += taps[y, 0, :, rows, :-1]
        out[..., :-1] += taps[y, 2, :, rows, 1:]
    return out
