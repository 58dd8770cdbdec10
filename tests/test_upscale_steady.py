"""The option against flicker: it steadies what should be steady, follows motion, and leaves cuts and corners alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data

from kernels.measure.flicker import flicker
from kernels.measure.psnr import psnr
from toolkit.clip import Batch, PictureFormat
from toolkit.stages import upscale
from toolkit.upscale.steady import Steady, motion, moved


def scene(frames=5, speed=(1.0, 2.0), size=(64, 96)):
    """A photograph moving by `speed` samples a frame: enlarged truth `(T, 2H, 2W)` and the small picture of it."""
    photo = ndimage.zoom(data.camera().astype(np.float64), 2, order=1)[300:700, 300:800]
    large = []
    for t in range(frames):
        piece = ndimage.shift(photo, (-2 * speed[0] * t, -2 * speed[1] * t), order=3, mode="nearest")
        large.append(piece[: 2 * size[0], : 2 * size[1]])
    large = np.stack(large).clip(0, 255)
    small = large.reshape(frames, size[0], 2, size[1], 2).mean((2, 4))
    return np.rint(large).astype(np.uint8), np.rint(small).astype(np.uint8)


def invented(truth, deviation=6.0, seed=0):
    """The truth with texture of the net's own making, another one in every frame."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.standard_normal(truth.shape), (0, 1, 1))
    return np.rint(truth + texture / texture.std() * deviation).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("speed", [(0, 0), (-2.5, 1.25), (0, 5)])
def test_invented_texture_flickers_less_and_comes_closer_to_the_truth(speed):
    truth, small = scene(speed=speed)
    shaky = invented(truth)
    calm = Steady(0.6)(small, (shaky,))[0]
    before, after = flicker(shaky, truth)[2:].mean(), flicker(calm, truth)[2:].mean()
    assert after < 0.7 * before
    assert psnr(calm, truth)[2:].mean() > psnr(shaky, truth)[2:].mean() + 1.5


def test_without_flicker_moving_detail_is_kept():
    truth, small = scene(speed=(-2.5, 1.25))
    calm = Steady(0.6)(small, (truth,))[0]
    assert psnr(calm, truth)[1:].min() > 38


def test_a_cut_leaves_no_ghost():
    first, small = scene(frames=2)
    other, small_other = 255 - first, 255 - small
    calm = Steady(0.9)(np.concatenate([small, small_other]), (np.concatenate([first, other]),))[0]
    assert np.abs(calm[2].astype(int) - other[0]).mean() < 0.5


def test_what_was_uncovered_stays_as_it_is():
    """A bright bar moves off a dark ground: where it was, nothing of it remains."""
    small = np.full((4, 64, 96), 40, np.uint8)
    for t in range(4):
        small[t, 20:44, 10 + 20 * t : 20 + 20 * t] = 200
    large = small.repeat(2, 1).repeat(2, 2)
    calm = Steady(0.9)(small, (large,))[0]
    assert np.abs(calm[3].astype(int) - large[3])[40:88, 100:120].max() <= 3


@settings(max_examples=10)
@given(x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_motion_is_found_to_a_fraction_of_a_sample(x, y):
    photo = ndimage.gaussian_filter(data.camera().astype(np.float64), 1.5)[100:260, 150:350]
    one, two = (photo, ndimage.shift(photo, (-y, -x), order=3, mode="nearest"))
    before, now = (torch.from_numpy(p[20:84, 20:116].astype(np.float32).copy())[None, None] for p in (one, two))
    vectors = motion(now, before)[0].numpy()
    inner = vectors[:, 1:-1, 1:-1]
    assert abs(np.median(inner[0]) * 96 - x) < 0.3 and abs(np.median(inner[1]) * 64 - y) < 0.3
    again = moved(before, motion(now, before))
    error = (again - now)[..., 8:-8, 8:-8].abs().mean()
    assert error < max(2.0, 0.35 * (before - now)[..., 8:-8, 8:-8].abs().mean())


@pytest.mark.parametrize("dtype, bits", [(np.uint8, 8), (np.uint16, 10)])
def test_batches_join_without_a_seam_and_inputs_stay(dtype, bits):
    truth, small = scene()
    shaky, small = (p.astype(dtype) << (bits - 8) for p in (invented(truth), small))
    kept = shaky.copy()
    whole = Steady(0.5)(small, (shaky, shaky[:, ::2, ::2]), bits)
    pieces, parts = Steady(0.5), []
    for lo, hi in ((0, 1), (1, 4), (4, 5)):
        parts.append(pieces(small[lo:hi], (shaky[lo:hi], shaky[lo:hi, ::2, ::2]), bits))
    for n in range(2):
        assert np.array_equal(np.concatenate([p[n] for p in parts]), whole[n]) and whole[n].dtype == dtype
    assert np.array_equal(shaky, kept) and int(whole[0].max()) < 1 << bits


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 40)])
def test_sizes_that_are_no_multiple_of_a_block(size):
    small = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    large = small.repeat(3, 1).repeat(3, 2)
    assert Steady(0.5)(small, (large,))[0].shape == large.shape


def test_the_stage_has_it_off_by_default_and_takes_it():
    truth, small = scene(frames=4)
    small = (small + np.random.default_rng(1).normal(0, 4, small.shape)).clip(0, 255).astype(np.uint8)
    form = PictureFormat(96, 64, field_order="progressive", matrix="bt601")
    chroma = np.full((4, 32, 48), 128, np.uint8)
    batch = Batch((small, chroma, chroma), np.arange(4), np.ones(4, int), Fraction(1, 25), form)
    step = upscale.realesr_animevideov3(scale=2)
    assert step.knobs["steady"] == 0
    plain = step(batch).planes[0]
    calm = upscale.realesr_animevideov3(scale=2, steady=0.6)(batch).planes[0]
    assert np.array_equal(plain[0], calm[0]) and not np.array_equal(plain[1:], calm[1:])
    assert flicker(calm, truth)[1:].mean() < flicker(plain, truth)[1:].mean()
