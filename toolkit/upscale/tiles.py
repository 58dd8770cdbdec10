"""A picture through a net in pieces, without seams.

Each tile is read with `overlap` more input samples on every side that has them, and only its core is kept.  At the
picture's own border nothing is added: there the net's zero padding stands where it stands for the whole picture, so
a net of finite radius gives the same samples tiled as untiled when `overlap` is its radius or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.upscale.nets import Facts


@dataclass(frozen=True)
class Tile:
    """Core and read area of a tile, `(top, bottom, left, right)` in input samples."""

    core: tuple[int, int, int, int]
    area: tuple[int, int, int, int]


def _cuts(length: int, tile: int, multiple: int) -> list[tuple[int, int]]:
    """`length` in nearly equal pieces of at most `tile` (rounded down to `multiple`) samples."""
    tile = max(tile // multiple, 1) * multiple
    pieces = -(-length // tile)
    step = -(-length // pieces)
    step = -(-step // multiple) * multiple
    return [(at, min(at + step, length)) for at in range(0, length, step)]


def tiles(height: int, width: int, tile: int | tuple[int, int], overlap: int, multiple: int = 1) -> Iterator[Tile]:
    """Cuts a picture into tiles whose cores cover every sample exactly once; reads start at multiples of `multiple`."""
    overlap = -(-overlap // multiple) * multiple
    rows, columns = (tile, tile) if isinstance(tile, int) else tile
    for top, bottom in _cuts(height, rows, multiple):
        for left, right in _cuts(width, columns, multiple):
            yield Tile(
                (top, bottom, left, right),
                (max(top - overlap, 0), min(bottom + overlap, height),
                 max(left - overlap, 0), min(right + overlap, width)),
            )  # fmt: skip


def pad_to_rules(rgb: Tensor, facts: Facts) -> Tensor:
    """Extends a picture to the right and below, by mirroring, until it obeys the net's size rules."""
    height, width = rgb.shape[-2:]

    def extra(size: int) -> int:
        return -(-max(size, facts.minimum) // facts.multiple) * facts.multiple - size

    right, below = extra(width), extra(height)
    if not (right or below):
        return rgb
    # Reflection is only defined up to size - 1; smaller pictures repeat their edge.
    mode = "reflect" if right < width and below < height else "replicate"
    return F.pad(rgb, (0, right, 0, below), mode=mode)


def run_tiled(
    net: Callable[[Tensor], Tensor],
    rgb: Tensor,
    facts: Facts,
    tile: int | tuple[int, int] | None,
    overlap: int,
    each: Callable[[Callable[[tuple[int, Tile]], None], list[tuple[int, Tile]]], object] | None = None,
) -> Tensor:
    """`net(rgb)` for `rgb` `(T, 3, H, W)`, computed in tiles of `tile` samples (None: in one piece).

    `tile` may be `(height, width)`.  By default tile follows tile, all frames at once; `each(work, items)` does
    every frame and tile for itself, in its own way.
    """
    height, width = rgb.shape[-2:]
    padded, scale = pad_to_rules(rgb, facts), facts.scale
    rows, columns = (tile, tile) if isinstance(tile, int) else tile or padded.shape[-2:]
    if rows >= padded.shape[-2] and columns >= padded.shape[-1]:
        return net(padded)[..., : height * scale, : width * scale]
    out = torch.empty((len(rgb), 3, height * scale, width * scale), dtype=rgb.dtype, device=rgb.device)

    def work(piece: Tile, frames: slice = slice(None)) -> None:
        (top, bottom, left, right), (above, below, before, after) = piece.core, piece.area
        large = net(padded[frames, :, above:below, before:after])
        target = out[frames, :, top * scale : bottom * scale, left * scale : right * scale]
        y, x = (top - above) * scale, (left - before) * scale
        target.copy_(large[..., y : y + target.shape[-2], x : x + target.shape[-1]])

    pieces = list(tiles(padded.shape[-2], padded.shape[-1], (rows, columns), overlap, facts.multiple))
    if each is not None:
        each(lambda item: work(item[1], slice(item[0], item[0] + 1)), [(t, p) for t in range(len(rgb)) for p in pieces])
    else:
        for piece in pieces:
            work(piece)
    return out
