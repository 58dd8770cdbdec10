"""SRVGGNetCompact on a CPU, a few rows of the picture at a time through all layers.

A whole layer of a video frame is tens of megabytes: too large for the caches, and fetched anew from the system for
every layer.  So strips of rows flow through the chain instead.  Each convolution keeps the last two rows it was given;
with them the next strip gives exactly the rows that the whole picture would give, one row later than it came in.
Nothing is computed twice, and the result is that of the plain net.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.upscale.fused import prelu_into

if TYPE_CHECKING:
    from toolkit.upscale.nets import SRVGGNetCompact

#: Bytes of one layer's strip.  Smaller ones lose to the calls they need, larger ones to the caches (see
#: benchmarks/README.md).
_STRIP_BYTES = 9 << 19


def strip_rows(net: SRVGGNetCompact, width: int) -> int:
    """Rows per strip that keep a layer's strip in the cache."""
    row = width * net.features * net.body[0].weight.element_size()
    return max(8, _STRIP_BYTES // row)


def strip_bytes(net: SRVGGNetCompact, width: int) -> int:
    """Memory that the strips of a picture of that width take."""
    layers, rows = net.convs + 2, strip_rows(net, width)
    # the shared rows, a convolution's result, and two rows for every layer
    return (2 * (rows + layers + 3) + 2 * layers) * width * net.features * net.body[0].weight.element_size()


def detail_strips(net: SRVGGNetCompact, x: Tensor, rows: int) -> Iterator[tuple[int, Tensor]]:
    """Yields `(first row, rows of net.detail(x))` from top to bottom for one frame `x` `(1, C, H, W)`.

    The rows are `(n, W, channels)`, channels last in memory too.
    """
    height, width = x.shape[-2:]
    dtype = net.body[0].weight.dtype
    # Slopes repeated along a whole row let PReLU run over long stretches of memory.
    steps = [(conv, slope if slope is None else slope.float().repeat(width)) for conv, slope in _steps(net)]
    # All layers share the memory in which a convolution reads, so that it never leaves the cache.
    shared = torch.empty((rows + len(steps) + 3) * width * max(conv.in_channels for conv, _ in steps), dtype=dtype)
    # What each layer was given last; at first the zero padding above the picture.
    kept = [torch.zeros((1, width, conv.in_channels), dtype=dtype) for conv, _ in steps]
    done = 0
    for top in range(0, height, rows):
        strip, slopes, last = x[0, :, top : top + rows].permute(1, 2, 0), None, top + rows >= height
        for i, (conv, after) in enumerate(steps):
            above, given = len(kept[i]), len(strip)
            have = above + given + last
            h = shared[: have * width * conv.in_channels].view(have, width, conv.in_channels)
            h[:above] = kept[i]
            prelu_into(strip, slopes, h[above : above + given])
            if last:
                h[-1] = 0  # the zero padding below
            kept[i] = h[-2:].clone()
            if have < 3:
                break
            del strip  # its memory is the next one's
            strip = F.conv2d(h.permute(2, 0, 1)[None], conv.weight, conv.bias, padding=(0, 1))[0].permute(1, 2, 0)
            slopes = after
        else:
            yield done, strip
            done += len(strip)


def _steps(net: SRVGGNetCompact) -> list[tuple[nn.Conv2d, Tensor | None]]:
    """Each convolution with the slopes of the PReLU after it."""
    layers = [*net.body, None]
    return [(layers[i], getattr(layers[i + 1], "weight", None)) for i in range(0, len(layers), 2)]


def forward(net: SRVGGNetCompact, x: Tensor, base: Tensor, out: Tensor | None = None) -> Tensor:
    """The enlarged `x` `(T, C, H, W)`: the detail interleaved, plus `base` repeated, in the precision of `base`."""
    frames, _, height, width = x.shape
    channels, scale = net.channels, net.scale
    if out is None:
        out = base.new_empty((frames, channels, height * scale, width * scale))
    rows = strip_rows(net, width)
    for t in range(frames):
        for top, detail in detail_strips(net, x[t : t + 1], rows):
            n = len(detail)
            fine = detail.to(out.dtype).reshape(n, width, channels, scale, scale)
            for c in range(channels):
                target = out[t, c, top * scale : (top + n) * scale].view(n, scale, width, scale)
                torch.add(fine[:, :, c].permute(0, 2, 1, 3), base[t, c, top : top + n, None, :, None], out=target)
    return out
