"""Takes the flicker out of enlarged frames: each is drawn towards the one before it, moved along the motion.

A net looks at every frame for itself, so what it invents changes from frame to frame.  Motion is estimated where it can
be trusted, on the small pictures that went in: block matching by the sum of absolute differences over overlapped
blocks, every displacement tried, to a fraction of a sample by a parabola through the best one and its neighbours.  The
enlarged frame before, as it was given out, is moved by that, and blended in wherever the small pictures agree, moved
likewise; where they do not (something was uncovered, a cut) the frame stays as it is.

A recursive filter along motion trajectories: Dubois and Sabri, "Noise reduction in image sequences using
motion-compensated temporal filtering", IEEE Transactions on Communications 32, 1984.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.upscale import transfer

BLOCK = 8  # input samples
REACH = 6  # input samples a frame, each way
GATE = 6.0  # levels of 8-bit video by which the small pictures may differ
#: Levels a sample that one more sample of displacement must gain; without it flat areas move at random.
LAZINESS = 0.05


class Steady:
    """Blends `strength` (0 to 1) of the frame before into each enlarged frame, along motion.

    Call it with successive batches of one clip, in order; it remembers the last frame.
    """

    def __init__(self, strength: float, device: str = "cpu") -> None:
        self.strength, self.device = strength, device
        self._small: Tensor | None = None
        self._large: list[Tensor] = []

    @property
    def state(self) -> list[np.ndarray] | None:
        """What it remembers of the last frame, float32 `(H, W)` each; None before the first.  Set it to go on."""
        if self._small is None:
            return None
        return [t[0, 0].cpu().numpy() for t in (self._small, *self._large)]

    @state.setter
    def state(self, state: list[np.ndarray] | None) -> None:
        self._small, self._large = None, []
        if state is not None:
            self._small, *self._large = (self._tensor(s) for s in state)

    def __call__(
        self, small: Any, large: tuple[np.ndarray, ...], bits: int = 8, large_bits: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """small: luma `(T, H, W)`, NumPy or CuPy, that went into the net; large: the planes that came out.

        bits, large_bits : of either's samples; `large_bits=None` means the same.
        Returns planes like `large`.
        """
        out = tuple(np.empty_like(p) for p in large)
        peak, unit = (1 << (large_bits or bits)) - 1, 1 << (bits - 8)
        with torch.inference_mode():
            for t in range(len(small)):
                now = self._tensor(small[t]) / unit
                planes = [self._tensor(p[t]) for p in large]
                if self._small is not None and self._small.shape == now.shape:
                    planes = self._blended(now, planes)
                self._small, self._large = now, planes
                for whole, plane in zip(out, planes, strict=True):
                    whole[t] = (plane[0, 0] + 0.5).clamp_(0, peak + 0.5).cpu().numpy().astype(whole.dtype)
        return out

    def _tensor(self, plane: Any) -> Tensor:
        return transfer.send(plane.astype(np.float32), self.device)[None, None]

    def _blended(self, now: Tensor, planes: list[Tensor]) -> list[Tensor]:
        vectors = motion(now, self._small)
        apart = F.avg_pool2d((now - moved(self._small, vectors)).abs(), 5, 1, 2, count_include_pad=False)
        share = self.strength * torch.exp(-((apart / GATE) ** 2))
        out = []
        for plane, before in zip(planes, self._large, strict=True):
            weight = F.interpolate(share, plane.shape[-2:], mode="bilinear", align_corners=False)
            out.append(torch.lerp(plane, moved(before, vectors), weight))
        return out


def motion(now: Tensor, before: Tensor, block: int = BLOCK, reach: int = REACH) -> Tensor:
    """Where each block of `now` lies in `before`: `(1, 2, rows, columns)` of (x, y), in shares of width and height.

    now, before : `(1, 1, H, W)` float32, in levels of 8-bit video.
    """
    height, width = now.shape[-2:]
    low, right = -height % block, -width % block
    now = F.pad(now, (0, right, 0, low), mode="replicate")
    around = F.pad(before, (reach, reach + right, reach, reach + low), mode="replicate")
    side, costs = 2 * reach + 1, []
    for y in range(side):
        for x in range(side):
            apart = (now - around[..., y : y + now.shape[-2], x : x + now.shape[-1]]).abs_()
            cost = F.avg_pool2d(apart, 2 * block, block, block // 2, count_include_pad=False)
            costs.append(cost + LAZINESS * (abs(x - reach) + abs(y - reach)))
    table = torch.cat(costs, 1)[0]  # (side * side, rows, columns)
    best = table.argmin(0)
    y, x = best // side, best % side

    def fine(place: Tensor, step: int) -> Tensor:
        inner = (place > 0) & (place < side - 1)
        middle = torch.where(inner, best, best.clamp(step, side * side - 1 - step))
        left, top, after = (table.gather(0, (middle + d)[None])[0] for d in (-step, 0, step))
        bend = left - 2 * top + after
        offset = torch.where(bend > 1e-6, (left - after) / (2 * bend.clamp(min=1e-6)), torch.zeros_like(bend))
        return torch.where(inner, offset.clamp(-0.5, 0.5), torch.zeros_like(offset))

    dx, dy = x - reach + fine(x, 1), y - reach + fine(y, side)
    return torch.stack([dx / width, dy / height])[None].float()


def moved(picture: Tensor, vectors: Tensor) -> Tensor:
    """`picture` `(1, 1, h, w)` of any size, read where `vectors` of `motion` point."""
    height, width = picture.shape[-2:]
    field = F.interpolate(vectors, (height, width), mode="bilinear", align_corners=False)[0]
    x = torch.arange(width, device=picture.device) + field[0] * width
    y = torch.arange(height, device=picture.device)[:, None] + field[1] * height
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)[None]
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=True)
