"""Noise that is measured frame by frame, frequency by frequency, and denoisers that follow it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from kernels.denoise.dft import dft_coloured, dft_threshold
from kernels.measure.noise import noise_level
from kernels.measure.spectrum import noise_spectrum
from toolkit.clip import Batch, PictureFormat
from toolkit.stages import Context, all_stages, deinterlace, denoise
from toolkit.stages.noise import detail_of

FORMAT = PictureFormat(176, 144, (1, 1), field_order="progressive")
FOLLOWING = ("temporal", "nlmeans", "dft_threshold", "motion_mean", "hqdn3d")
FAST = {"nlmeans": {"search": 3, "radius": 0}, "motion_mean": {"radius": 1}, "hqdn3d": {"strength": "auto"}}


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((truth.astype(float) - picture) ** 2))


def panned(count: int, height: int = 144, width: int = 176, speed: int = 2) -> np.ndarray:
    from skimage.data import camera

    return np.stack([camera()[150:, 200 - t * speed :][:height, :width] for t in range(count)])


def noise_of(shape: tuple[int, ...], sigma: float, length: float = 0, seed: int = 0) -> np.ndarray:
    """Normal noise; `length` samples along the line over which it falls to 1 / e, as `toolkit.tape` makes it."""
    drawn = np.random.default_rng(seed).normal(0, sigma, shape)
    if length:
        share = np.exp(-1 / length)
        for x in range(1, shape[-1]):
            drawn[..., x] = share * drawn[..., x - 1] + np.sqrt(1 - share**2) * drawn[..., x]
    return drawn


def added(truth: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)


def batch_of(planes: tuple[np.ndarray, ...], fmt: PictureFormat = FORMAT) -> Batch:
    count = len(planes[0])
    return Batch(planes, np.arange(count), np.ones(count, np.int64), Fraction(1, 25), fmt)


def clip(count: int = 5, luma: float = 8, chroma: float = 4) -> tuple[Batch, Batch]:
    """(truth, noisy) in 4:2:0, chroma as smooth as a tape's."""
    from scipy.ndimage import gaussian_filter

    y = panned(count)
    u = gaussian_filter(y.astype(float), (0, 4, 6))[:, ::2, ::2].round().astype(np.uint8)
    truth = (y, u, 255 - u)
    sigmas = (luma, chroma, chroma)
    seen = tuple(added(p, noise_of(p.shape, s, seed=n)) for n, (p, s) in enumerate(zip(truth, sigmas, strict=True)))
    return batch_of(truth), batch_of(seen)


# The spectrum


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_white_noise_has_its_variance_in_every_wave(radius):
    frames = 128 + noise_of((5, 300, 400), 6).astype(np.float32)
    found = noise_spectrum(frames, radius, (2, 3))
    assert found.shape == (1, radius + 1, 9, 9) and found.dtype == np.float32
    assert np.sqrt(found.mean()) == pytest.approx(6, rel=0.04)
    assert 4.5 < np.sqrt(found.min()) and np.sqrt(found.max()) < 7.5


def test_noise_that_is_smooth_along_the_line_is_strong_in_slow_waves():
    """Against the power that the correlation and the window ask for."""
    frames = 128 + noise_of((3, 300, 400), 6, length=1.6)
    n = np.arange(16)
    window = np.sin(np.pi * (n + 0.5) / 16)
    covariance = np.exp(-np.abs(n[:, None] - n) / 1.6) * np.outer(window, window)
    wave = np.exp(2j * np.pi * np.outer(np.arange(9), n) / 16)
    wanted = 36 * np.einsum("kn,nm,km->k", wave, covariance, wave.conj()).real / 8
    found = noise_spectrum(frames, 1)[1].mean(axis=(0, 1))
    assert np.sqrt(found / wanted) == pytest.approx(1, abs=0.12)
    assert found[1] > 6 * found[8]


def test_what_a_picture_shows_is_not_taken_for_noise():
    truth = panned(3, 240, 300)
    clean, seen = (np.sqrt(noise_spectrum(f, 1)[1].mean()) for f in (truth, added(truth, noise_of(truth.shape, 8))))
    assert clean < 3.5 and seen == pytest.approx(8, rel=0.2)


def test_borders_and_blank_frames_do_not_count():
    inner = 128 + noise_of((3, 160, 200), 6)
    boxed = np.pad(inner, ((0, 0), (80, 80), (100, 100)), constant_values=16)
    assert np.sqrt(noise_spectrum(boxed)[1].mean()) == pytest.approx(6, rel=0.1)
    assert not noise_spectrum(np.full((2, 64, 64), 16, np.uint8)).any()


def test_spectra_are_refused_for_what_is_no_plane():
    with pytest.raises(TypeError, match="expected a NumPy array"):
        noise_spectrum([[1, 2], [3, 4]])
    for shape in ((1, 8, 64), (0, 32, 32), (32, 32)):
        with pytest.raises(ValueError, match="expected"):
            noise_spectrum(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_white_spectrum_is_the_threshold_for_white_noise(radius):
    truth = panned(3)
    frames = added(truth, noise_of(truth.shape, 8))
    spectrum = np.full((3, radius + 1, 9, 9), 64, np.float32)
    assert np.array_equal(dft_coloured(frames, spectrum, radius=radius), dft_threshold(frames, noise=8, radius=radius))


def test_each_frame_has_its_own_spectrum():
    frames = added(panned(3), noise_of((3, 144, 176), 8))
    spectrum = np.zeros((3, 2, 9, 9), np.float32)
    spectrum[1] = 64
    got = dft_coloured(frames, spectrum)
    assert np.array_equal(got[[0, 2]], frames[[0, 2]])
    assert np.array_equal(got[1], dft_threshold(frames, noise=8)[1])


def test_knowing_the_colour_of_noise_restores_more_than_any_strength_without():
    truth = panned(5)
    frames = added(truth, noise_of(truth.shape, 8, length=1.6))
    plain = max(psnr(truth[2], dft_threshold(frames, noise=n)[2]) for n in (6, 8, 10, 12, 16))
    known = psnr(truth[2], dft_coloured(frames, noise_spectrum(frames, 1))[2])
    assert known > plain + 0.2, f"{known:.2f} dB, without {plain:.2f} dB"


# The level


def test_lines_made_by_a_deinterlacer_do_not_hide_the_noise():
    truth = panned(4, 240, 300, speed=0)
    woven = added(truth, noise_of(truth.shape, 8))
    fmt = PictureFormat(300, 240, None, field_order="tff")
    seen = deinterlace.bwdif()(batch_of((woven,), fmt)).planes[0][2:6]
    made = deinterlace.bwdif()(batch_of((truth,), fmt)).planes[0][2:6]
    true = np.std(seen.astype(float) - made)
    assert noise_level(seen) == pytest.approx(true, rel=0.2)
    assert (noise_level(seen, interlaced=False) < 0.6 * true).all()  # what lines of both kinds together would say


# The stages


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_default_is_near_the_best_that_can_be_set(name):
    """Weak and strong noise with no knob set, beside the best of many absolute strengths, on a small clip."""
    stage = all_stages()[f"denoise.{name}"]
    fast = FAST.get(name, {})
    for sigma in (5, 15):
        truth, seen = clip(5, luma=sigma, chroma=sigma)
        best = max(psnr(truth.planes[0], stage(**{**fast, "noise": sigma * f})(seen).planes[0])
                   for f in (0.5, 0.7, 1.0, 1.4, 2))  # fmt: skip
        default = psnr(truth.planes[0], stage(**fast)(seen).planes[0])
        assert default > best - 0.7, f"noise {sigma}: {default:.2f} dB, best {best:.2f} dB"
        assert default > psnr(truth.planes[0], seen.planes[0]) + 0.5


@pytest.mark.parametrize("name", FOLLOWING)
def test_each_plane_follows_its_own_noise(name):
    """Chroma that is cleaner than luma is not treated as luma is."""
    stage = all_stages()[f"denoise.{name}"](**FAST.get(name, {}))
    truth, seen = clip(4, luma=15, chroma=2)
    got = stage(seen)
    together = stage.stage(**{**stage.knobs, "noise": 15.0, "chroma": 1.0})(seen)
    assert psnr(truth.planes[0], got.planes[0]) > psnr(truth.planes[0], seen.planes[0]) + 2
    for n in (1, 2):
        assert psnr(truth.planes[n], got.planes[n]) > psnr(truth.planes[n], seen.planes[n]) - 0.1
        assert psnr(truth.planes[n], got.planes[n]) > psnr(truth.planes[n], together.planes[n]) + 0.5


@pytest.mark.parametrize("name", FOLLOWING)
def test_neither_batches_nor_cuts_show_in_what_follows_the_noise(name):
    """Noise that grows from frame to frame, so that frames do not share a strength."""
    step = all_stages()[f"denoise.{name}"](**FAST.get(name, {}))
    truth, _ = clip(7)
    planes = tuple(
        np.stack([added(f, noise_of(f.shape, 2.0 * 1.5**t, seed=t)) for t, f in enumerate(p)]) for p in truth.planes
    )
    seen = batch_of(planes)
    whole = step(seen)
    parts = (seen[a:b] for a, b in ((0, 1), (1, 4), (4, 7)))
    got = Batch.join(list(step.stage.apply(parts, seen.format, step.knobs, Context())))
    for a, b in zip(got.planes, whole.planes, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", FOLLOWING)
def test_noise_is_in_levels_of_8_bit_video_at_any_depth(name):
    step = all_stages()[f"denoise.{name}"](**FAST.get(name, {}))
    _, seen = clip(3)
    deep = batch_of(tuple(p.astype(np.uint16) * 4 for p in seen.planes), FORMAT.replace(bits=10))
    for a, b in zip(step(seen).planes, step(deep).planes, strict=True):
        assert np.abs(a - b / 4).mean() < 0.4


def test_what_is_set_is_taken_as_it_is():
    from kernels.denoise.hqdn3d import hqdn3d
    from kernels.denoise.nlmeans import nlmeans
    from kernels.denoise.temporal import temporal

    _, seen = clip(3)
    luma, u, _ = seen.planes
    assert np.array_equal(denoise.temporal(gate=20, radius=1)(seen).planes[0], temporal(luma, gate=20, radius=1))
    assert np.array_equal(denoise.temporal(gate=20, radius=1, chroma=2)(seen).planes[1], temporal(u, gate=40, radius=1))
    fixed = denoise.nlmeans(strength=5, noise=6, search=3, radius=0)(seen).planes[0]
    assert np.array_equal(fixed, nlmeans(luma, strength=5, noise=6, search=3, radius=0))
    assert np.array_equal(denoise.hqdn3d()(seen).planes[0], hqdn3d(luma)[0])
    assert np.array_equal(denoise.hqdn3d()(seen).planes[1], hqdn3d(u, spatial=3.0, temporal=4.5)[0])
    white = denoise.dft_threshold(noise=6, noise_shape="white", radius=1)(seen).planes[0]
    assert np.array_equal(white, dft_threshold(luma, noise=6))


@pytest.mark.parametrize("name", FOLLOWING)
def test_more_is_smoother_and_chroma_can_be_left_alone(name):
    fast = FAST.get(name, {})
    _, seen = clip(3)
    left = []
    for amount in (0.4, 1, 2.5):
        got = all_stages()[f"denoise.{name}"](**fast, amount=amount, chroma=0.0)(seen)
        assert all(np.array_equal(a, b) for a, b in zip(got.planes[1:], seen.planes[1:], strict=True))
        left.append(np.abs(np.diff(got.planes[0].astype(float), axis=2)).mean())
    assert left[0] > left[1] > left[2]


@pytest.mark.parametrize("scene, sigma", [("busy", 4), ("busy", 16), ("soft", 4), ("soft", 16)])
def test_hqdn3d_finds_the_balance_of_space_and_time(scene, sigma):
    """Detail wants less smoothing along the lines: what suits the busy picture costs the soft one up to 2 dB."""
    from scipy.ndimage import gaussian_filter

    truth = panned(8, 240, 280)
    if scene == "soft":
        truth = gaussian_filter(truth.astype(float), (0, 6, 6)).round().astype(np.uint8)
    fmt = PictureFormat(280, 240, None, field_order="progressive")
    seen = batch_of((added(truth, noise_of(truth.shape, sigma)),), fmt)
    grid = [(s, t) for s in (0.7, 1.2, 2, 3, 4.5) for t in (0.8, 1.6, 3)]
    tried = {k: psnr(truth, denoise.hqdn3d(spatial=k[0] * sigma, temporal=k[1] * sigma)(seen).planes[0]) for k in grid}
    told = psnr(truth, denoise.hqdn3d(strength="auto", noise=sigma)(seen).planes[0])
    best = max(tried, key=tried.get)
    assert told > tried[best] - 0.7, f"{told:.2f} dB, {tried[best]:.2f} at {best} times the noise"


def test_detail_is_that_of_the_picture():
    """The same in other bit depths and beside black borders, more in a sharp picture, less beside more noise."""
    picture = added(panned(1, 240, 280), noise_of((1, 240, 280), 4))[0]
    blocks = np.kron(np.random.default_rng(0).integers(60, 180, (30, 35)), np.ones((8, 8), int)).astype(np.uint8)
    plain = detail_of(picture, 4, 8)
    assert detail_of(picture.astype(np.uint16) * 4, 4, 10) == detail_of(picture.astype(np.float32), 4, 8) == plain
    assert detail_of(np.pad(picture, ((120, 120), (0, 0))), 4, 8) == pytest.approx(plain, rel=0.2)
    assert detail_of(blocks, 16, 8) > plain > detail_of(picture, 8, 8)
    assert detail_of(np.full((64, 64), 90, np.uint8), 4, 8) > 0


def test_small_planes_are_denoised_a_little_instead_of_refused():
    tiny = PictureFormat(16, 16, (1, 1), field_order="progressive")
    frames = tuple(np.full((2, *shape), 90, np.uint8) for shape in tiny.plane_shapes)
    for name in FOLLOWING:
        got = all_stages()[f"denoise.{name}"](**FAST.get(name, {}))(batch_of(frames, tiny))
        assert all((p == 90).all() for p in got.planes), name
