"""What BM3D promises: even grey stays, repeated texture comes out of the noise, threads and batches do not matter."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest

from kernels.denoise.bm3d import bm3d, bm3d_wiener, candidates
from kernels.denoise.nlmeans import nlmeans
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages import Context, denoise


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((truth.astype(float) - picture) ** 2))


def noisy(truth: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return np.clip(np.rint(truth + np.random.default_rng(seed).normal(0, sigma, truth.shape)), 0, 255).astype(np.uint8)


def photograph() -> np.ndarray:
    from skimage.data import camera

    return camera()[100:228, 150:310]


def pan(count: int, down: int = 2, across: int = -3) -> np.ndarray:
    from skimage.data import camera

    corners = [(100 + down * t, 150 + across * t) for t in range(count)]
    return np.stack([camera()[y : y + 128, x : x + 160] for y, x in corners])


@pytest.mark.parametrize("level", [0, 3, 128, 255])
def test_even_grey_keeps_its_level(level):
    """Dark grey too, where the mean of a group is below the threshold."""
    frames = np.full((3, 20, 33), level, np.uint8)
    assert np.array_equal(bm3d(frames, noise=40, radius=1), frames)
    assert np.array_equal(bm3d_wiener(frames, frames, noise=40, radius=1), frames)


def test_a_threshold_of_nothing_changes_nothing():
    frames = noisy(np.broadcast_to(photograph(), (3, 128, 160)), 10)
    assert np.array_equal(bm3d(frames, threshold=0, radius=1), frames)


@pytest.mark.parametrize("sigma", [10, 20])
def test_better_than_patches_and_the_second_step_better_still(sigma):
    truth = photograph()[None]
    frames = noisy(truth, sigma)
    basic = bm3d(frames, noise=sigma)
    final = bm3d_wiener(frames, basic, noise=sigma)
    patches = nlmeans(frames, strength=0.8 * sigma, noise=sigma)
    told = [round(psnr(truth, p), 2) for p in (frames, patches, basic, final)]
    assert told[2] > told[1] + 0.3 and told[3] > told[2] + 0.1, f"noisy, patches, basic, final: {told}"


def test_frames_around_help_also_along_motion():
    truth = pan(5)
    frames = noisy(truth, 20)
    told = [psnr(truth[2], bm3d(frames, noise=20, radius=r, window=(2, 3))[0]) for r in (0, 1, 2)]
    assert told[1] > told[0] + 0.8 and told[2] > told[1] + 0.2, told


def test_smaller_steps_are_better():
    truth = photograph()[None]
    told = [psnr(truth, bm3d(noisy(truth, 20), noise=20, step=s)) for s in ("8", "4", "2")]
    assert told[1] > told[0] + 0.2 and told[2] > told[1], told


def test_a_cut_leaves_no_ghost():
    """What is nowhere alike is not mixed: each side of a cut is about as good as alone."""
    a, b = photograph(), 255 - photograph()[::-1, ::-1]
    truth = np.stack([a, a, b, b])
    frames = noisy(truth, 10)
    both, alone = bm3d(frames, noise=10, radius=1), bm3d(frames[:2], noise=10, radius=1)
    assert psnr(truth[1], both[1]) > psnr(truth[1], alone[1]) - 0.1


def test_the_number_of_threads_does_not_matter():
    frames = np.random.default_rng(3).uniform(0, 255, (3, 150, 90)).astype(np.float32)
    before = numba.get_num_threads()
    try:
        made = []
        for count in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(count)
            basic = bm3d(frames, noise=20, radius=1)
            made.append((basic, bm3d_wiener(frames, basic, noise=20, radius=1)))
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("bits", [10, 16])
def test_knobs_are_levels_of_8_bit_video(bits):
    frame = noisy(photograph() // 2 + 60, 8)[None]  # far from white, where 16 bits have room above the whitest byte
    deep = frame.astype(np.uint16) << (bits - 8)
    eight, many = bm3d(frame, noise=8).astype(float), bm3d(deep, noise=8, bits=bits) / (1 << (bits - 8))
    assert np.abs(eight - many).max() <= 0.51


def test_candidates_are_told_apart_by_number():
    """Numbers must fit beside the sum of differences, and the frame itself comes first where sums are equal."""
    knobs = {n: p.knob.high for n, p in bm3d.knobs.items() if p.knob}
    assert knobs["motion"] * knobs["radius"] <= 16
    found = candidates(max(knobs["search"], 16), knobs["radius"])
    assert len(found) <= 1 << 18 and 64 * 255 < 1 << 14
    assert [f for f, *_ in found[1 :: 33 * 33]] == [0, -1, 1, -2, 2]
    assert len({tuple(f) for f in found[1:]}) == len(found) - 1


# The stage


FORMAT = PictureFormat(96, 80, (1, 1), field_order="progressive")


def clip(count: int, sigma: float = 8) -> tuple[Batch, Batch]:
    """(truth, noisy) in 4:2:0."""
    luma = pan(count)[:, :80, :96]
    chroma = luma.reshape(count, 40, 2, 48, 2).mean((2, 4)).round().astype(np.uint8)
    truth = (luma, chroma, 255 - chroma)
    times = np.arange(count), np.ones(count, int), Fraction(1, 25), FORMAT
    return Batch(truth, *times), Batch(tuple(noisy(p, sigma, n) for n, p in enumerate(truth)), *times)


def pieces(step, batch: Batch, cuts: tuple[int, ...]) -> Batch:
    edges = (0, *cuts, len(batch))
    parts = (batch[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True))
    return Batch.join(list(step.stage.apply(parts, batch.format, step.knobs, Context())))


@pytest.mark.parametrize("knobs", [{}, {"noise": 8}, {"final": False, "radius": 2}])
def test_the_result_does_not_depend_on_the_batches(knobs):
    _, seen = clip(10)
    step = denoise.bm3d(step="8", **knobs)
    whole = step(seen)
    for cuts in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (4,), (1, 7)):
        for a, b in zip(pieces(step, seen, cuts).planes, whole.planes, strict=True):
            assert np.array_equal(a, b), f"cut at {cuts}"


def test_noise_is_measured_when_not_set():
    truth, seen = clip(3)
    measured, known = denoise.bm3d()(seen), denoise.bm3d(noise=8)(seen)
    for t, s, m, k in zip(truth.planes, seen.planes, measured.planes, known.planes, strict=True):
        assert psnr(t, m) > psnr(t, s) + 2
        assert psnr(t, m) > psnr(t, k) - (0.5 if t is truth.planes[0] else 1)


@pytest.mark.parametrize("sigma", [6, 14])
def test_no_radius_is_much_better_than_the_default(sigma):
    truth = pan(9)
    fmt = PictureFormat(160, 128, None, field_order="progressive")
    seen = Batch((noisy(truth, sigma),), np.arange(9), np.ones(9, int), Fraction(1, 25), fmt)
    told = psnr(truth, denoise.bm3d()(seen).planes[0])
    others = {r: psnr(truth, denoise.bm3d(noise=sigma, radius=r)(seen).planes[0]) for r in (0, 1, 2)}
    assert told > max(others.values()) - 0.5, f"{told:.2f} dB; by radius {others}"


@pytest.mark.parametrize("planes, changed", [("luma", (True, False, False)), ("chroma", (False, True, True))])
def test_only_the_wanted_planes_change(planes, changed):
    _, seen = clip(2)
    got = denoise.bm3d(planes=planes)(seen)
    assert tuple(not np.array_equal(a, b) for a, b in zip(got.planes, seen.planes, strict=True)) == changed


@pytest.mark.parametrize("subsampling", [(2, 0), (1, 0), None])
def test_takes_other_chroma_and_odd_sizes(subsampling):
    fmt = PictureFormat(53, 37, subsampling, bits=10, field_order="progressive")
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(400, 500, (2, *s)).astype(np.uint16) for s in fmt.plane_shapes)
    batch = Batch(planes, np.arange(2), np.ones(2, int), Fraction(1, 25), fmt)
    for a, b in zip(denoise.bm3d(noise=20)(batch).planes, planes, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert a.std() < b.std()


def test_interlaced_pictures_are_refused():
    _, seen = clip(2)
    with pytest.raises(PictureError, match="interlaced"):
        denoise.bm3d()(seen.replace(format=FORMAT.replace(field_order="tff")))
