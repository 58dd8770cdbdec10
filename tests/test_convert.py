"""convert(): colours and places survive a change of size, layout, siting, matrix, range and depth."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.clip import Batch, PictureFormat
from toolkit.convert import chroma_place, convert
from toolkit.errors import PictureError


def blob(fmt: PictureFormat, at=(0.45, 0.55), wide=0.12) -> Batch:
    """A soft spot at the same place of luma and chroma, in fractions of the picture; float32."""
    planes = []
    for i, (height, width) in enumerate(fmt.plane_shapes):
        sx, sy = fmt.subsampling if i else (0, 0)
        px, py = chroma_place(fmt) if i else (0.0, 0.0)
        x = ((np.arange(width) << sx) + px + 0.5) / fmt.width
        y = ((np.arange(height) << sy) + py + 0.5) / fmt.height
        spot = np.exp(-(((x - at[0]) / wide) ** 2)[None] - (((y - at[1]) / wide) ** 2)[:, None])
        planes.append(((60, 128, 128)[i] + (120, 60, -50)[i] * spot).astype(np.float32)[None])
    return Batch(tuple(planes), np.zeros(1, int), np.ones(1, int), Fraction(1, 25), fmt)


LAYOUTS = [(0, 0), (1, 0), (1, 1), (2, 0)]


@settings(max_examples=40)
@given(
    source=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(["left", "center", "topleft"])),
    target=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(["left", "center", "topleft"])),
    sizes=st.tuples(st.sampled_from([64, 96, 144]), st.sampled_from([64, 80, 128])),
    dx=st.floats(-3, 3),
)
def test_luma_and_chroma_stay_together(source, target, sizes, dx):
    """Whatever the layouts, sitings, sizes and shift are, a spot is where it was in every plane."""
    before = PictureFormat(96, 64, source[0], siting=source[1], field_order="progressive")
    after = PictureFormat(*sizes, target[0], siting=target[1], field_order="progressive")
    made = convert(blob(before), after, shift=(dx, 0.0))
    want = blob(after, at=(0.45 + dx / sizes[0], 0.55))
    for got, expected in zip(made.planes, want.planes, strict=True):
        assert np.abs(got - expected)[0, 8:-8, 8:-8].max(initial=0) < 2.0


def test_a_part_of_the_picture_fills_the_target():
    fmt = PictureFormat(96, 64, (1, 1), field_order="progressive")
    made = convert(blob(fmt), fmt.replace(width=48, height=32), box=(16, 16, 64, 48))
    want = blob(fmt.replace(width=48, height=32), at=((0.45 * 96 - 16) / 48, (0.55 * 64 - 16) / 32), wide=0.24)
    # The spot is half as wide in lines as in columns of the part; compare its place only.
    for got, expected in zip(made.planes, want.planes, strict=True):
        assert np.unravel_index(np.abs(got[0] - got[0, 0, 0]).argmax(), got[0].shape) == np.unravel_index(
            np.abs(expected[0] - expected[0, 0, 0]).argmax(), got[0].shape
        )


@pytest.mark.parametrize("to", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_colours_come_back_from_another_matrix_and_range(to, range):
    fmt = PictureFormat(64, 48, (0, 0), matrix="bt601", field_order="progressive")
    there = convert(blob(fmt), fmt.replace(matrix=to, range=range, bits=10))
    back = convert(there, fmt)
    for got, want in zip(back.planes, blob(fmt).planes, strict=True):
        assert np.abs(got - want).max() < 1e-3
    if (to, range) == ("bt709", "limited"):
        red = [np.full((1, 48, 64), v, np.uint8) for v in (81, 90, 240)]
        batch = Batch(tuple(red), np.zeros(1, int), np.ones(1, int), Fraction(1, 25), fmt)
        made = convert(batch, fmt.replace(matrix="bt709"))
        assert [int(p[0, 9, 9]) for p in made.planes] == pytest.approx([63, 102, 240], abs=1)
        assert made.planes[0].dtype == np.uint8


def test_interlaced_lines_are_never_mixed():
    fmt = PictureFormat(64, 48, (1, 1), field_order="tff")
    batch = blob(fmt)
    for to in (fmt.replace(height=96), fmt.replace(subsampling=(1, 0)), fmt.replace(siting="topleft")):
        with pytest.raises(PictureError, match="lines would be mixed"):
            convert(batch, to)
    wide = convert(batch, fmt.replace(width=128))  # along the lines is harmless
    assert wide.planes[0].shape == (1, 48, 128)
