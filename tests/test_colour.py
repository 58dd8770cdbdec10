"""Colour conversion against the standards' own numbers, against swscale, and against where chroma must lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from kernels.colour import (
    STEPS,
    chroma_shape,
    chroma_site,
    coefficients,
    rematrix,
    rgb_to_yuv,
    yuv_to_rgb,
)
from kernels.measure.psnr import psnr
from tests._filter_graph import through

#: 100 % colour bars in 8-bit limited range: R'G'B' -> Y' Cb Cr, as tabulated with BT.601 and BT.709.
BARS = {
    "bt601": {
        (255, 255, 255): (235, 128, 128),
        (255, 255, 0): (210, 16, 146),
        (0, 255, 255): (170, 166, 16),
        (0, 255, 0): (145, 54, 34),
        (255, 0, 255): (106, 202, 222),
        (255, 0, 0): (81, 90, 240),
        (0, 0, 255): (41, 240, 110),
        (0, 0, 0): (16, 128, 128),
    },
    "bt709": {
        (255, 255, 255): (235, 128, 128),
        (255, 255, 0): (219, 16, 138),
        (0, 255, 255): (188, 154, 16),
        (0, 255, 0): (173, 42, 26),
        (255, 0, 255): (78, 214, 230),
        (255, 0, 0): (63, 102, 240),
        (0, 0, 255): (32, 240, 118),
        (0, 0, 0): (16, 128, 128),
    },
}


@pytest.mark.parametrize("matrix", BARS)
def test_colour_bars_have_the_standards_levels(matrix):
    rgb = np.array(list(BARS[matrix]), np.uint8).T[None, :, None]
    want = np.array(list(BARS[matrix].values()))
    yuv = rgb_to_yuv(np.ascontiguousarray(rgb), matrix=matrix, subsampling="444")
    assert np.array_equal(np.stack([p[0, 0] for p in yuv], axis=1), want)
    back = yuv_to_rgb(*yuv, matrix=matrix, subsampling="444")
    assert np.abs(back.astype(int) - rgb).max() <= 2
    # In 10 bits the same colours lie at four times these levels, within the rounding of the 8-bit table.
    deep_rgb = np.rint(rgb * (1023 / 255)).astype(np.uint16)
    deep = rgb_to_yuv(deep_rgb, matrix=matrix, subsampling="444", bits=10)
    assert np.abs(np.stack([p[0, 0] for p in deep], axis=1) - 4 * want).max() <= 2


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("range", ["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_coefficients(matrix, range, bits):
    c = coefficients(matrix, range, bits)
    peak = (1 << bits) - 1
    assert np.allclose(c.to_rgb @ c.to_yuv, np.eye(3))
    white = c.to_yuv @ np.full(3, peak) + c.offset
    unit = 1 << (bits - 8)
    assert white == pytest.approx([235 * unit if range == "limited" else peak, 128 * unit, 128 * unit])
    assert c.to_yuv[0].sum() * peak == pytest.approx(219 * unit if range == "limited" else peak)
    pure_blue = c.to_yuv @ [0, 0, peak]
    assert pure_blue[1] == pytest.approx(112 * unit if range == "limited" else peak / 2)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 999),
    matrix=st.sampled_from(["bt601", "bt709", "bt2020"]),
    range=st.sampled_from(["limited", "full"]),
    bits=st.sampled_from([8, 10, 12, 16]),
)
def test_round_trip_of_444(seed, matrix, range, bits):
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if bits == 8 else np.uint16
    rgb = rng.integers(0, 1 << bits, (1, 3, 5, 33)).astype(dtype)
    rgb[0, :, 0, :8] = np.array(np.meshgrid(*[[0, (1 << bits) - 1]] * 3)).reshape(3, 8)
    knobs = {"matrix": matrix, "range": range, "subsampling": "444", "bits": bits}
    back = yuv_to_rgb(*rgb_to_yuv(rgb, **knobs), **knobs)
    assert np.abs(back.astype(int) - rgb).max() <= 2
    real = rgb.astype(np.float32) * np.float32(255 / ((1 << bits) - 1))
    knobs["bits"] = 8
    assert np.abs(yuv_to_rgb(*rgb_to_yuv(real, **knobs), **knobs) - real).max() < 1e-3


@given(
    source=st.sampled_from(["bt601", "bt709", "bt2020"]),
    target=st.sampled_from(["bt601", "bt709", "bt2020"]),
    range=st.sampled_from(["limited", "full"]),
    target_range=st.sampled_from(["same", "limited", "full"]),
    seed=st.integers(0, 99),
)
def test_rematrix_keeps_the_rgb(source, target, range, target_range, seed):
    rgb = np.random.default_rng(seed).uniform(0, 255, (1, 3, 6, 9)).astype(np.float32)
    yuv = rgb_to_yuv(rgb, matrix=source, range=range, subsampling="444")
    new = rematrix(*yuv, source=source, target=target, range=range, target_range=target_range, subsampling="444")
    to = range if target_range == "same" else target_range
    assert np.abs(yuv_to_rgb(*new, matrix=target, range=to, subsampling="444") - rgb).max() < 1e-3


def test_rematrix_to_the_same_changes_nothing():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 256, (2, 16, 24), dtype=np.uint8)
    u, v = rng.integers(0, 256, (2, 2, 8, 12), dtype=np.uint8)
    for new, old in zip(rematrix(y, u, v, source="bt709", target="bt709"), (y, u, v), strict=True):
        assert np.array_equal(new, old)


@pytest.mark.parametrize("subsampling", list(STEPS))
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_lies_at_its_site(subsampling, siting):
    """Chroma ramps across and down come out on luma's grid, and back, without having moved."""
    height, width = 24, 40
    site_x, site_y = chroma_site(subsampling, siting)
    step_x, step_y = STEPS[subsampling]
    _, rows, columns = chroma_shape((1, height, width), subsampling)
    y = np.full((1, height, width), 120, np.float32)
    u = np.broadcast_to(100 + np.arange(columns) * step_x + site_x, (1, rows, columns)).astype(np.float32)
    v = np.broadcast_to((100 + np.arange(rows) * step_y + site_y)[:, None], (1, rows, columns)).astype(np.float32)
    layout = {"subsampling": subsampling, "siting": siting}
    full = rgb_to_yuv(yuv_to_rgb(y, u, v, **layout), subsampling="444")
    inner = np.s_[0, 8:-8, 8:-8]
    assert np.allclose(full[1][inner], (100 + np.arange(width))[8:-8], atol=1e-2)
    assert np.allclose(full[2][inner], (100 + np.arange(height))[8:-8, None], atol=1e-2)
    back = rgb_to_yuv(yuv_to_rgb(*full, subsampling="444"), **layout)
    crop = np.s_[0, 8 // step_y : -(8 // step_y), 8 // step_x : -(8 // step_x)]
    assert np.allclose(back[1][crop], u[crop], atol=0.05) and np.allclose(back[2][crop], v[crop], atol=0.05)


@pytest.mark.parametrize("matrix, name", [("bt601", "smpte170m"), ("bt709", "bt709")])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_agrees_with_swscale(matrix, name, range):
    """4:4:4, where no chroma filter differs: RGB from swscale's full-precision path is the same within 2 levels."""
    photo = np.ascontiguousarray(data.astronaut()[:96, :128].transpose(2, 0, 1))[None]
    yuv = rgb_to_yuv(photo, matrix=matrix, range=range, subsampling="444")
    sws = (
        f"scale=in_color_matrix={name}:in_range={range}:out_range=full:flags=accurate_rnd+full_chroma_int+full_chroma_inp"
    )
    green, blue, red = through(f"{sws},format=gbrp", list(yuv), "yuv444p")
    mine = yuv_to_rgb(*yuv, matrix=matrix, range=range, subsampling="444")
    assert np.abs(mine[:, 0].astype(int) - red).max() <= 2
    assert np.abs(mine[:, 1].astype(int) - green).max() <= 2
    assert np.abs(mine[:, 2].astype(int) - blue).max() <= 2


@pytest.mark.parametrize("subsampling, layout", [("420", "yuv420p"), ("422", "yuv422p")])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_is_sited_as_in_swscale(subsampling, layout, siting):
    """Linear chroma on both sides: another siting gives less than 49 dB, this one 64 or more."""
    photo = np.ascontiguousarray(data.astronaut()[:128, :192].transpose(2, 0, 1))[None]
    yuv = rgb_to_yuv(photo, subsampling=subsampling, siting=siting)
    flags = "flags=bilinear+accurate_rnd+full_chroma_int"
    sws = f"scale=in_color_matrix=smpte170m:in_range=limited:out_range=full:in_chroma_loc={siting}:{flags}"
    green, blue, red = through(f"{sws},format=gbrp", list(yuv), layout)
    mine = yuv_to_rgb(*yuv, subsampling=subsampling, siting=siting)
    apart = [psnr(np.ascontiguousarray(mine[:, c]), p)[0] for c, p in enumerate((red, green, blue))]
    assert min(apart) > 60


def test_float_keeps_what_lies_beyond_white():
    y = np.full((1, 2, 2), 250, np.float32)
    u = np.full((1, 1, 1), 128, np.float32)
    assert (yuv_to_rgb(y, u, u) > 260).all()
    assert (yuv_to_rgb(*(p.astype(np.uint8) for p in (y, u, u))) == 255).all()


def test_chroma_of_the_wrong_layout_is_refused():
    y, u = np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 4), np.uint8)
    with pytest.raises(ValueError, match=r"yuv_to_rgb: arrays have shapes .*expected \[\(1, 8, 8\), \(1, 4, 4\)"):
        yuv_to_rgb(y, u, u)
    yuv_to_rgb(y, u, u, subsampling="422")
