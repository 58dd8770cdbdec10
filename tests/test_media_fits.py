"""What cannot be written is told apart from what can, and the height that is offered can."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.clip import Batch, PictureFormat
from toolkit.errors import OutputRefused
from toolkit.media.encode import Encoding
from toolkit.media.fits import check_fits
from toolkit.media.write import CONTAINERS, Writer
from toolkit.upscale.sizes import target_size


def encoding(form: PictureFormat, codec: str = "h264", **how) -> Encoding:
    return Encoding(form, Fraction(1, 25), kind="matroska", codec=codec, **how)


def refusal(check) -> str:
    try:
        check()
    except OutputRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("codec, order", [("h264", "progressive"), ("h264", "tff"), ("h265", "progressive")])
@pytest.mark.parametrize("subsampling", [(1, 1), (1, 0), (0, 0)])
def test_a_size_is_refused_in_words_where_the_encoder_would_refuse_it(codec, order, subsampling):
    seen = set()
    for width, height in ((w, h) for w in (32, 33) for h in (32, 33, 34, 36)):
        made = encoding(PictureFormat(width, height, subsampling, field_order=order), codec)
        said = refusal(lambda made=made: check_fits(made, made.format))
        assert bool(said) == bool(refusal(made.open)), (width, height, said)
        assert not said or "a multiple of" in said, (width, height, said)
        seen.add(bool(said))
    assert True in seen or subsampling == (0, 0)
    assert False in seen


@settings(max_examples=60, deadline=None)
@given(
    st.integers(16, 4000), st.integers(16, 4000), st.integers(1, 300), st.sampled_from(["h264", "h265", "ffv1"]),
)  # fmt: skip
def test_the_height_that_is_offered_fits(width, height, wanted, codec):
    before = PictureFormat(width, height, (1, 1), field_order="progressive")
    shape = dict(zip(("width", "height"), target_size(before, height=wanted), strict=True))
    said = refusal(lambda: check_fits(encoding(before.replace(**shape), codec), before))
    if offered := re.search(r"--height (\d+)", said):
        across, down = target_size(before, height=int(offered[1]))
        again = refusal(lambda: check_fits(encoding(before.replace(width=across, height=down), codec), before))
        assert "the result would be" not in again


def test_a_picture_beyond_the_encoder_names_its_largest():
    before = PictureFormat(720, 480, field_order="progressive")
    with pytest.raises(OutputRefused, match="at most 16384x16384 for h264; nothing was written; try: --height 10922"):
        check_fits(encoding(before.replace(width=17280, height=11520)), before)


def test_a_setting_that_the_encoder_does_not_take_is_refused():
    form = PictureFormat(720, 480, field_order="progressive")
    with pytest.raises(OutputRefused, match="no option cfr"):
        check_fits(encoding(form, options={"cfr": 18}), form)


@pytest.mark.parametrize("codec", ["h264", "h265", "ffv1", "prores"])
@pytest.mark.parametrize("ending, kind", CONTAINERS.items())
def test_a_container_is_refused_in_words_where_the_writer_would_refuse_it(codec, ending, kind, tmp_path):
    form = PictureFormat(64, 48, field_order="progressive")
    path = tmp_path / f"o{ending}"
    said = refusal(lambda: check_fits(Encoding(form, Fraction(1, 25), kind=kind, codec=codec), form))

    def write():
        with Writer(path, form, Fraction(1, 25), codec=codec) as writer:
            planes = tuple(np.full((4, *shape), 128, np.uint8) for shape in form.plane_shapes)
            writer.write(Batch(planes, np.arange(4), np.ones(4, np.int64), Fraction(1, 25), form))

    assert bool(said) == bool(refusal(write)) == (not path.exists()), said
    assert not said or re.search(rf"kind {kind} cannot hold {codec}; expected a name ending in \.m", said)
