"""What the denoisers promise: noise goes, pictures stay, moving things leave no ghost."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.denoise.dft import dft_threshold
from kernels.denoise.nlmeans import nlmeans
from kernels.denoise.temporal import temporal


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((truth.astype(float) - picture) ** 2))


def noisy(truth: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return np.clip(np.rint(truth + np.random.default_rng(seed).normal(0, sigma, truth.shape)), 0, 255).astype(np.uint8)


def photograph() -> np.ndarray:
    from skimage.data import camera

    return camera()[100:260, 150:350]


# temporal


@settings(max_examples=40)
@given(
    gate=st.integers(2, 60).map(float), radius=st.integers(1, 3), low=st.integers(0, 120), extra=st.integers(1, 60),
    speed=st.integers(1, 9), thick=st.integers(1, 9), vertical=st.booleans(),
)  # fmt: skip
def test_a_moving_bar_that_differs_by_more_than_the_gate_leaves_no_ghost(
    gate, radius, low, extra, speed, thick, vertical
):
    """Flat ground, a bar that moves `speed` samples a frame and is brighter by more than the gate: nothing changes."""
    frames = np.full((7, 40, 40), low, np.uint8)
    for t in range(7):
        frames[t, :, t * speed % 40 : t * speed % 40 + thick] = low + int(gate) + extra
    if vertical:
        frames = frames.transpose(0, 2, 1)
    assert np.array_equal(temporal(frames, gate=gate, radius=radius), frames)


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("sigma", [2, 4, 8])
def test_noise_neither_opens_nor_closes_the_gate(sigma, radius):
    """A gate of 3.5 standard deviations comes within 12 % of the plain mean of all frames."""
    truth = np.broadcast_to(photograph() // 2 + 60, (2 * radius + 1, 160, 200))
    got = temporal(noisy(truth, sigma), gate=3.5 * sigma, radius=radius)[radius]
    rounding = 1 / 12 + 1 / 12 / (2 * radius + 1)
    assert np.std(got - truth[0].astype(float)) < np.sqrt((1.12 * sigma) ** 2 / (2 * radius + 1) + rounding)


def test_a_cut_stays_a_cut():
    a, b = noisy(np.full((3, 60, 60), 60), 3), noisy(np.full((3, 60, 60), 160), 3, 1)
    both = temporal(np.concatenate([a, b]), gate=12, radius=3)
    assert np.array_equal(both[:3], temporal(a, gate=12, radius=3))
    assert np.array_equal(both[3:], temporal(b, gate=12, radius=3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("radius", [1, 3])
def test_a_clip_that_is_cut_in_groups_and_strips_is_the_definition(dtype, radius):
    """More frames than one thread takes at a time, and more rows; each group takes weights over its own end."""
    truth = np.broadcast_to(photograph()[:110, :75], (13, 110, 75))
    frames = noisy(truth, 5).astype(dtype) * np.array(257 if dtype == "uint16" else 1, dtype)
    got, want = (f(frames, gate=14.3, radius=radius) for f in (temporal, temporal.definition))
    assert np.allclose(got, want, rtol=1e-5 if dtype == "float32" else 0, atol=0)
    assert np.array_equal(temporal(frames, gate=14.3, radius=radius, window=(5, 12)), got[5:12])


# nlmeans


def test_removes_noise_at_least_as_well_as_scikit_image():
    """Both search 15x15 positions; 5x5 patches here, 7x7 there (whose fast mode sums 6x6 of them)."""
    from skimage.restoration import denoise_nl_means

    truth = photograph()[:100, :140]
    for sigma in (10, 20):
        frame = noisy(truth, sigma)
        tries = [h * sigma for h in (0.5, 0.65, 0.8)]
        ours = max(psnr(truth, nlmeans(frame[None], strength=h, noise=sigma)[0]) for h in tries)
        real = frame.astype(np.float32)
        theirs = max(psnr(truth, denoise_nl_means(real, 7, 7, h=h, sigma=sigma, fast_mode=True)) for h in tries)
        assert ours > theirs - 0.05, f"sigma {sigma}: {ours:.2f} dB, scikit-image {theirs:.2f} dB"
        assert ours > psnr(truth, frame) + 3


def test_frames_before_and_after_help():
    truth = np.stack([np.roll(photograph(), t, axis=1) for t in range(3)])
    frames = noisy(truth, 15)
    alone, together = (nlmeans(frames, strength=12, noise=15, search=4, radius=r)[1] for r in (0, 1))
    assert psnr(truth[1], together) > psnr(truth[1], alone) + 0.5


@pytest.mark.parametrize("knobs", [{}, {"noise": 0.0, "strength": 5.0}, {"patch": 1, "search": 2}])
def test_flat_pictures_and_sharp_edges_stay(knobs):
    frames = np.full((1, 40, 50), 40, np.uint8)
    frames[:, :, 25:] = 200
    assert np.array_equal(nlmeans(frames, **knobs), frames)


@settings(max_examples=15)
@given(st.integers(0, 999), st.floats(0.5, 60), st.floats(0, 60), st.sampled_from([10, 12, 16]))
def test_never_leaves_the_range_of_its_input(seed, strength, noise, bits):
    """A mean cannot overshoot; sums of weights that went wrong would."""
    frames = np.random.default_rng(seed).integers(0, 1 << bits, (1, 30, 40)).astype(np.uint16)
    out = nlmeans(frames, strength=strength, noise=noise, search=3, bits=bits)
    assert frames.min() <= out.min() and out.max() <= frames.max()


@pytest.mark.parametrize("bits", [10, 16])
def test_knobs_are_levels_of_8_bit_video(bits):
    """The same picture at more bits gives the same result, scaled."""
    frame = noisy(photograph(), 8)[None]
    deep = frame.astype(np.uint16) << (bits - 8)
    for kernel in (nlmeans, temporal):
        eight, many = kernel(frame).astype(float), kernel(deep, bits=bits) / (1 << (bits - 8))
        assert np.abs(eight - many).max() <= 0.51


# dft_threshold


def test_keeps_texture_that_moves_better_than_patches_do():
    truth = np.stack([np.roll(photograph(), 2 * t, axis=1) for t in range(5)])
    for sigma in (10.0, 20.0):
        frames = noisy(truth, sigma)
        apart = [psnr(truth[2], dft_threshold(frames, noise=sigma, radius=r)[2]) for r in (0, 1, 2)]
        patches = psnr(truth[2], nlmeans(frames, strength=0.8 * sigma, noise=sigma)[2])
        assert apart[1] > patches + 1 and apart[1] > apart[0] + 1 and apart[2] > apart[1], f"{patches:.2f}, {apart}"


@pytest.mark.parametrize("radius", [0, 2])
def test_a_threshold_of_nothing_changes_nothing(radius):
    frames = noisy(np.broadcast_to(photograph(), (3, 160, 200)), 10)
    assert np.abs(dft_threshold(frames, threshold=0, radius=radius).astype(int) - frames).max() == 0


@pytest.mark.parametrize("shape", [(3, 140, 20), (2, 20, 790)])
@pytest.mark.parametrize("radius", [0, 1])
def test_bands_and_runs_of_blocks_meet_without_a_seam(shape, radius):
    """A picture of three bands and one of two runs, which the Numba body adds up apart."""
    frames = np.random.default_rng(4).integers(80, 140, shape, np.uint8)
    whole = dft_threshold(frames, noise=15, radius=radius)
    apart = np.abs(whole.astype(int) - dft_threshold.definition(frames, 15, 2.5, radius, 0))
    assert apart.max() <= 1, f"{apart.max()} levels at {np.argwhere(apart > 1)[:5].tolist()}"
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert np.array_equal(dft_threshold(frames, noise=15, radius=radius), whole)
    finally:
        numba.set_num_threads(threads)


def test_even_grey_keeps_its_level():
    for level in (0, 1, 128, 255):
        frames = np.full((2, 20, 33), level, np.uint8)
        assert np.array_equal(dft_threshold(frames, noise=20), frames)
