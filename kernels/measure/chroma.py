"""How far the colour of a picture lies off its luma, found from the edges that both have.

Where two things meet, luma and colour change at the same place, so the edges of chroma, shifted back by the right
amount, fall onto those of luma: registration by correlation of edges (L. G. Brown, "A survey of image registration
techniques", ACM Computing Surveys 24(4), 1992, section 3.2).  Colour may rise where luma falls, so correlation is taken
block by block, and what is summed is its size.  The place of the maximum is refined by a parabola.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.resize import resize

BLOCK = 32  # samples and lines in which luma and chroma are taken to rise together or against each other
SMOOTH = 5  # samples along the edge's direction that are averaged
BORDER = 0.04  # of each side is left out: overscan and head switching
#: (log2 of luma samples per chroma sample, the same down)
_LAYOUTS = {"444": (0, 0), "422": (1, 0), "420": (1, 1), "411": (2, 0), "410": (2, 2)}


@dataclass(frozen=True)
class ChromaPlace:
    """Where chroma lies against luma.

    right, down : in luma samples and lines; the stage `repair.chroma_shift(right=-right, down=-down)` puts it right.
    confidence  : 0 to 1 for both directions, the lesser of the two counts: how far the best place stands out from the
                  others.  Below `CERTAIN` the picture has too few coloured edges to tell.
    """

    right: float
    down: float
    confidence: float

    CERTAIN = 0.25

    @property
    def certain(self) -> bool:
        return self.confidence >= self.CERTAIN

    def __str__(self) -> str:
        told = f"chroma lies {self.right:+.2f} luma samples to the right and {self.down:+.2f} lines down"
        return f"{told}, confidence {self.confidence:.2f}" + ("" if self.certain else " (uncertain)")


def measure_chroma_shift(
    luma: np.ndarray,
    *chroma: np.ndarray,
    subsampling: str = "420",
    siting: str = "left",
    reach: tuple[int, int] = (16, 8),
) -> ChromaPlace:
    """Says how far the chroma planes lie right of and below the luma, in luma samples and lines.

    luma   : `(T, H, W)`, progressive, any real type; a few frames with coloured things are enough.
    chroma : one or two planes `(T, h, w)` in the layout `subsampling` ("420", "422", "411", "410" or "444"), sited
             "left", "center" or "topleft".
    reach  : how far to look, in luma samples and in lines.
    Pictures differ in how their own colour sits on their edges, which shows as up to about one luma sample.
    Raises TypeError / ValueError for other arrays, and for pictures smaller than twice the reach and a block.
    Source: see the module.
    """
    if subsampling not in _LAYOUTS:
        raise ValueError(f"subsampling is {subsampling!r}; expected one of {', '.join(_LAYOUTS)}")
    if siting not in ("left", "center", "topleft"):
        raise ValueError(f"siting is {siting!r}; expected left, center or topleft")
    for plane in (luma, *chroma):
        if not isinstance(plane, np.ndarray):
            raise TypeError(f"got {type(plane).__module__}.{type(plane).__qualname__}; expected NumPy arrays")
    sx, sy = _LAYOUTS[subsampling]
    if not chroma or luma.ndim != 3:
        raise ValueError(f"got luma {luma.shape} and {len(chroma)} chroma planes; expected (T, H, W) and one or two")
    small = (len(luma), -(-luma.shape[1] >> sy), -(-luma.shape[2] >> sx))
    if any(plane.shape != small for plane in chroma):
        raise ValueError(f"chroma is {[p.shape for p in chroma]}; expected {small} for {subsampling}")
    least = 2 * max(reach) + BLOCK
    if not len(luma) or min(luma.shape[1:]) < least:
        raise ValueError(f"luma is {luma.shape}; expected at least one frame of {least}x{least}")
    place = {"left": _offset(sx, siting == "center"), "top": _offset(sy, siting != "topleft")}
    size = {"width": small[2] << sx, "height": small[1] << sy, "filter": "bicubic"}
    large = [resize(p.astype(np.float32), **size, **place) for p in chroma]
    right, sure_across = _best(luma, large, 2, reach[0])
    down, sure_down = _best(luma, large, 1, reach[1])
    return ChromaPlace(right, down, min(sure_across, sure_down))


def _offset(shift: int, centred: bool) -> float:
    """The `left` or `top` of `resize` with which chroma is enlarged to luma's grid."""
    step = 1 << shift
    sited = (step - 1) / 2 if centred else 0.0
    return 0.5 - (sited + 0.5) / step


def _best(luma: np.ndarray, large: list[np.ndarray], axis: int, reach: int) -> tuple[float, float]:
    """Where along `axis` chroma fits luma best, and how far that stands out."""
    height, width = luma.shape[1:]
    dy, dx = max(int(height * BORDER), reach), max(int(width * BORDER), reach)
    rows, columns = (height - 2 * dy) // BLOCK * BLOCK, (width - 2 * dx) // BLOCK * BLOCK
    edges = _edges(luma, axis)[:, dy : dy + rows, dx : dx + columns]
    shifts = np.arange(-reach, reach + 1)
    scores = np.zeros(len(shifts))
    for plane in large:
        other = _edges(plane, axis)
        for n, s in enumerate(shifts):
            y, x = (dy + s, dx) if axis == 1 else (dy, dx + s)
            product = edges * other[:, y : y + rows, x : x + columns]
            blocks = product.reshape(len(product), rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).sum((2, 4))
            scores[n] += np.abs(blocks).sum(dtype=np.float64)
    top = int(scores.argmax())
    if scores[top] == 0 or top in (0, len(shifts) - 1):
        return float(shifts[top]) if scores[top] else 0.0, 0.0
    left, middle, right = scores[top - 1 : top + 2]
    place = float(shifts[top] + 0.5 * (left - right) / (left - 2 * middle + right))
    return place, float(1 - scores.min() / middle)


def _edges(planes: np.ndarray, axis: int) -> np.ndarray:
    """How steeply each place rises along `axis`, seen over a few samples so that noise counts less."""
    kernel = np.convolve(np.ones(SMOOTH) / SMOOTH, [0.5, 0, -0.5]).astype(np.float32)
    reach = len(kernel) // 2
    pad = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
    padded = np.pad(planes.astype(np.float32), pad, mode="edge")
    length = planes.shape[axis]
    taken = [slice(None)] * 3
    out = np.zeros(planes.shape, np.float32)
    for k, weight in enumerate(kernel[::-1]):
        taken[axis] = slice(k, k + length)
        out += weight * padded[tuple(taken)]
    return out
