"""Waveform and vectorscope of a frame, as PNG pictures with labelled scales.

Both count samples as they are in the file, before any conversion: levels on a scale of 8 bits, chroma about 128.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from kernels.colour import coefficients
from toolkit.clip import Batch, PictureFormat
from toolkit.media.pixels import tagged
from toolkit.widgets.pictures import Part, png

WHOLE: Part = (0.0, 0.0, 1.0, 1.0)
_PAPER, _LINE, _INK, _TRACE = (14, 17, 20), (62, 68, 74), (186, 192, 198), np.array((150, 255, 170), np.float32)
_COLUMNS, _LEVELS, _LEFT, _TOP = 372, 256, 76, 34  # pixels; about twice what is shown, for sharp text
_SIDE = 512
#: Colours of a 75 % bar signal, as red, green and blue.
_BARS = {"R": (1, 0, 0), "MG": (1, 0, 1), "B": (0, 0, 1), "CY": (0, 1, 1), "G": (0, 1, 0), "YL": (1, 1, 0)}


def waveform_png(batch: Batch, part: Part = WHOLE) -> bytes:
    """Draws how often each luma level occurs in each column of the batch's first frame; PNG.

    part : left, top, width and height of what is looked at, as fractions of the picture.
    The scale is in per cent from black (0) to white (100), which are levels 16 and 235 in limited range, with room on
    both sides for what lies beyond.
    """
    sheet = _waveform_paper(batch.format.range).copy()
    luma = _levels(batch, 0, part)
    column = np.arange(luma.shape[1], dtype=np.int64) * _COLUMNS // luma.shape[1]
    counts = np.bincount((column * _LEVELS + luma).ravel(), minlength=_COLUMNS * _LEVELS)
    # A narrow picture leaves columns empty: each sample is as wide as it must be.
    counts = counts.reshape(_COLUMNS, _LEVELS)[column[np.arange(_COLUMNS) * luma.shape[1] // _COLUMNS]]
    share = counts.T[::-1] * (_COLUMNS / max(1, luma.size))
    area = sheet[_TOP : _TOP + _LEVELS, _LEFT : _LEFT + _COLUMNS]
    np.maximum(area, _glow(share, 0.02), out=area)
    return png(sheet)


def vectorscope_png(batch: Batch, part: Part = WHOLE) -> bytes:
    """Draws how often each pair of chroma values occurs in the batch's first frame; PNG.

    Cb points right and Cr up; grey is in the middle, saturation is the distance from it.  The boxes are where the bars
    of a 75 % colour bar signal lie in the clip's matrix, the line is that of skin (the I axis of SMPTE 170M).
    """
    form = batch.format
    if form.subsampling is None:
        return png(_no_colour())
    sheet = _vector_paper(tagged(form).matrix, form.range).copy()
    u, v = (_levels(batch, n, part) for n in (1, 2))
    counts = np.bincount((u * 256 + v).ravel(), minlength=256 * 256).reshape(256, 256)
    glow = _glow(counts.T[::-1] / max(1, u.size), 0.0005)
    area = sheet[_TOP : _TOP + _SIDE]
    np.maximum(area, glow.repeat(2, axis=0).repeat(2, axis=1), out=area)
    return png(sheet)


def _levels(batch: Batch, plane: int, part: Part) -> np.ndarray:
    """Samples of a part of the first frame, int64 from 0 to 255."""
    samples = np.asarray(batch.planes[plane][0])
    height, width = samples.shape
    left, top = min(int(part[0] * width), width - 1), min(int(part[1] * height), height - 1)
    right, bottom = max(left + 1, round((part[0] + part[2]) * width)), max(top + 1, round((part[1] + part[3]) * height))
    cut = samples[top:bottom, left:right]
    if cut.dtype != np.uint8:
        cut = np.clip(cut / 2.0 ** (batch.format.bits - 8), 0, 255)
    return cut.astype(np.int64)


def _glow(share: np.ndarray, full: float) -> np.ndarray:
    """Shares of samples as light, like a tube's: the root of the count, in 24 steps so that the file stays small."""
    light = np.sqrt(np.minimum(share / full, 1.0))
    light = np.ceil(light * 24) / 24
    return (light[..., None] * _TRACE).astype(np.uint8)


@lru_cache(maxsize=2)
def _waveform_paper(span: str) -> np.ndarray:
    image, draw, font = _paper(_LEFT + _COLUMNS + 64, _TOP + _LEVELS + 12, "waveform: luma from left to right")
    low, high = (16, 235) if span == "limited" else (0, 255)
    for percent in (0, 25, 50, 75, 100):
        level = low + (high - low) * percent / 100
        y = _TOP + round(255 - level)
        draw.line((_LEFT, y, _LEFT + _COLUMNS, y), _INK if percent in (0, 100) else _LINE)
        draw.text((_LEFT - 8, y), f"{percent} %", _INK, font, anchor="rm")
        draw.text((_LEFT + _COLUMNS + 8, y), f"{level:.0f}", _INK, font, anchor="lm")
    return np.asarray(image)


@lru_cache(maxsize=8)
def _vector_paper(matrix: str, span: str) -> np.ndarray:
    image, draw, font = _paper(_SIDE, _TOP + _SIDE, "vectorscope: Cb right, Cr up")

    def at(cb: float, cr: float) -> tuple[float, float]:
        return 2 * cb + 1, _TOP + 2 * (255 - cr) + 1

    x, y = at(128, 128)
    draw.line((x, _TOP, x, _TOP + _SIDE), _LINE)
    draw.line((0, y, _SIDE, y), _LINE)
    full = 112 if span == "limited" else 127
    for share in (0.5, 1.0):
        r = 2 * full * share
        draw.ellipse((x - r, y - r, x + r, y + r), outline=_LINE)
        draw.text((x + r * 0.7071 + 4, y + r * 0.7071 + 4), f"{share:.0%}", _INK, font, anchor="lt")
    table = coefficients(matrix, span, 8)
    for name, rgb in _BARS.items():
        _, cb, cr = table.to_yuv @ (np.array(rgb) * 0.75 * 255) + table.offset
        bx, by = at(cb, cr)
        ink = tuple(90 + 165 * c for c in rgb)
        draw.rectangle((bx - 12, by - 12, bx + 12, by + 12), outline=ink, width=2)
        side = -1 if bx < x else 1
        draw.text((bx + side * 18, by), name, ink, font, anchor="rm" if side < 0 else "lm")
    # I = -sin 33 U + cos 33 V, with U and V in the scale of Cb and Cr.
    skin = np.array((-np.sin(np.radians(33)) * 0.5 / 0.436, np.cos(np.radians(33)) * 0.5 / 0.615))
    end = at(*(128 + skin / np.hypot(*skin) * full))
    draw.line((x, y, *end), (150, 110, 90), 2)
    draw.text((end[0] - 6, end[1] + 10), "skin", (210, 160, 130), font, anchor="rt")
    return np.asarray(image)


@lru_cache(maxsize=1)
def _no_colour() -> np.ndarray:
    image, draw, font = _paper(_SIDE, _TOP + _SIDE, "vectorscope")
    draw.text((_SIDE / 2, _TOP + _SIDE / 2), "the clip has no colour", _INK, font, anchor="mm")
    return np.asarray(image)


def _paper(width: int, height: int, title: str) -> tuple[Any, Any, Any]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    draw.text((8, 6), title, _INK, font)
    return image, draw, font


def describe(form: PictureFormat) -> str:
    """One line on how the scopes' scales are to be read."""
    black, white = (16, 235) if form.range == "limited" else (0, 255)
    return f"black is level {black}, white {white} of 255; boxes are 75 % bars in {tagged(form).matrix}"
