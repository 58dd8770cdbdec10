"""The two nets of Real-ESRGAN, with the facts a runner needs.

Parameter names are those of the published files, so their state dicts load as they are.  Sources: ESRGAN (Wang et al.,
ECCVW 2018, the residual-in-residual dense block); Real-ESRGAN (Wang et al., ICCVW 2021, the pixel-unshuffled input of
the x2 and x1 nets, and the compact VGG-style net of its version 0.3).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.upscale import dense, strips
from toolkit.upscale.colour import mix


@dataclass(frozen=True)
class Facts:
    """What a runner must know about a net; it never asks for the net's name.

    architecture : the field's name of the architecture.
    scale        : output samples per input sample, along each axis.
    radius       : how many input samples away a sample can still change an output sample; None when unbounded.
    overlap      : default overlap of tiles in input samples; `radius` where that is small, else measured.
    multiple     : input sizes must be multiples of this.
    minimum      : smallest input width and height.
    macs         : multiply-adds per input pixel; None when unknown.
    bytes_per_pixel : peak bytes of activations per input pixel and byte of element size; None when unknown.
    precisions   : the element types in which the net was found to hold its accuracy.
    """

    architecture: str
    scale: int
    radius: int | None
    overlap: int
    multiple: int = 1
    minimum: int = 1
    macs: int | None = None
    bytes_per_pixel: int | None = None
    precisions: tuple[str, ...] = ("float32", "bf16", "fp16")


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class SRVGGNetCompact(nn.Module):
    """A plain chain of 3x3 convolutions at input size that adds detail to the nearest-neighbour enlargement.

    `features` channels, `convs` inner convolutions, each followed by PReLU; the last convolution gives
    `channels * scale**2` planes that are interleaved into the large picture.  RGB in 0..1, `(T, 3, H, W)`.
    """

    def __init__(self, features: int = 64, convs: int = 16, scale: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.features, self.convs, self.scale, self.channels = features, convs, scale, channels
        body: list[nn.Module] = [_conv(channels, features), nn.PReLU(features)]
        for _ in range(convs):
            body += [_conv(features, features), nn.PReLU(features)]
        body.append(_conv(features, channels * scale * scale))
        self.body = nn.ModuleList(body)
        self.base = np.eye(channels)

    @property
    def facts(self) -> Facts:
        radius = self.convs + 2
        return Facts(
            architecture="SRVGGNetCompact",
            scale=self.scale,
            radius=radius,
            overlap=radius,
            macs=sum(m.weight.numel() for m in self.body if isinstance(m, nn.Conv2d)),
            # input and output of one layer, then the picture twice while it is interleaved
            bytes_per_pixel=max(3 * self.features, self.features + 3 * self.channels * self.scale**2),
        )

    def detail(self, x: Tensor) -> Tensor:
        """What is added to the enlarged input, still as `channels * scale**2` planes at input size."""
        for layer in self.body:
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        # The sum is made in the precision of `x`, so a float32 picture keeps its precision around a bf16 net.
        base = mix(x, self.base)
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return strips.forward(self, x, base)
        detail = F.pixel_shuffle(self.detail(x.to(self.body[0].weight.dtype)), self.scale)
        return detail.to(x.dtype) + F.interpolate(base, scale_factor=self.scale, mode="nearest")

    def in_colour(self, into: np.ndarray, out: np.ndarray) -> SRVGGNetCompact:
        """The same net for pictures in another colour space: `into` leads from there to R'G'B', `out` from R'G'B' on.

        All the net does to colour it does in its first and last convolution and in the sum, and all three are
        linear, so the two matrices are multiplied into them and no picture has to be converted.
        """
        net = copy.deepcopy(self).requires_grad_(False)
        first, last = net.body[0], net.body[-1]
        into_, out_ = (torch.from_numpy(m).to(first.weight.device, torch.float64) for m in (into, out))
        squares = self.scale**2
        first.weight.copy_(torch.einsum("fcyx,cd->fdyx", first.weight.double(), into_))
        weight = last.weight.double().unflatten(0, (self.channels, squares))
        last.weight.copy_(torch.einsum("dc,csfyx->dsfyx", out_, weight).flatten(0, 1))
        last.bias.copy_((out_ @ last.bias.double().view(self.channels, squares)).flatten())
        net.base = out @ self.base @ into
        return net


def _exact(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv(x)` in float32 when its weights are bfloat16, whose eight bits are too few for a picture.

    In bands of rows, because a float32 copy of a whole 4x feature map would be the largest thing in memory.
    """
    if conv.weight.dtype is not torch.bfloat16:
        return conv(x.to(conv.weight.dtype))
    weight, bias, bands = conv.weight.float(), conv.bias.float(), []
    for top in range(0, x.shape[2], _BAND):
        above, below = int(top > 0), int(top + _BAND < x.shape[2])
        band = x[:, :, top - above : top + _BAND + below].float()
        bands.append(F.conv2d(F.pad(band, (0, 0, 1 - above, 1 - below)), weight, bias, padding=(0, 1)))
    return torch.cat(bands, 2)


class DenseBlock(nn.Module):
    """Five convolutions, each seeing all earlier results; a fifth of the outcome is added to the input.

    The sum has the precision of `x`, which may be finer than that of the convolutions.
    """

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 5):
            setattr(self, f"conv{i}", _conv(features + (i - 1) * growth, growth))
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x.to(self.conv1.weight.dtype)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, F.leaky_relu_(conv(seen), 0.2)), 1)
        return torch.add(x, self.conv5(seen), alpha=0.2)


class RRDB(nn.Module):
    """Three dense blocks in a row; a fifth of the outcome is added to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=0.2)


class RRDBNet(nn.Module):
    """The generator of ESRGAN: `blocks` residual-in-residual dense blocks, then two nearest-neighbour doublings.

    The trunk always enlarges four times; for scale 2 and 1 the input is first folded 2x2 or 4x4 into channels.
    RGB in 0..1, `(T, 3, H, W)`.
    """

    def __init__(
        self, features: int = 64, blocks: int = 23, growth: int = 32, scale: int = 4, channels: int = 3
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise ValueError(f"RRDBNet is defined for scale 1, 2 and 4, not {scale}")
        self.features, self.blocks, self.growth, self.scale, self.channels = features, blocks, growth, scale, channels
        self.fold = 4 // scale
        self.conv_first = _conv(channels * self.fold**2, features)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        self.conv_up1 = _conv(features, features)
        self.conv_up2 = _conv(features, features)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, channels)

    @property
    def facts(self) -> Facts:
        at_input = sum(p.numel() for n, p in self.named_parameters() if p.dim() == 4 and n.startswith(_TRUNK))
        at_double = self.conv_up1.weight.numel()
        at_quad = sum(c.weight.numel() for c in (self.conv_up2, self.conv_hr, self.conv_last))
        # Steps of the trunk: 15 per block, the first and the last convolution; then four finer and finer ones.
        return Facts(
            architecture="RRDBNet",
            scale=self.scale,
            radius=self.fold * (15 * self.blocks + 2 + 2),
            overlap=RRDB_OVERLAP * self.fold,
            multiple=self.fold,
            minimum=self.fold,
            macs=(at_input + 4 * at_double + 16 * at_quad) // self.fold**2,
            # three 4x feature maps while a finest convolution runs: two of the net's, one of the library's;
            # `dense`, on a CPU, needs less
            bytes_per_pixel=3 * self.features * 16 // self.fold**2 + 4 * self.features,
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            folded = F.pixel_unshuffle(x, self.fold) if self.fold > 1 else x
            return dense.forward(self, folded, _exact(self.conv_first, folded).float()).to(x.dtype)
        return self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        """The net step by step, as it was published."""
        dtype, fast = x.dtype, self.conv_first.weight.dtype
        first = _exact(self.conv_first, F.pixel_unshuffle(x, self.fold) if self.fold > 1 else x)
        x = (first + self.conv_body(self.body(first).to(fast))).to(fast)
        x = F.leaky_relu_(self.conv_up1(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        x = F.leaky_relu_(self.conv_up2(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return _exact(self.conv_last, F.leaky_relu_(self.conv_hr(x), 0.2)).to(dtype)


_TRUNK = ("conv_first", "body", "conv_body")
#: Rows convolved at once where precision asks for float32.
_BAND = 128
#: Overlap of tiles for RRDB nets in trunk samples; see benchmarks/bench_upscale.py --overlap.
RRDB_OVERLAP = 32
