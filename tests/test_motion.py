"""What motion search and the mean along it promise: true vectors, less noise without blur, cuts stay cuts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from kernels.motion.mean import motion_mean
from kernels.motion.planes import at_once
from kernels.motion.search import find_motion
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.stages import Context, denoise


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((truth.astype(float) - picture) ** 2))


def noisy(truth: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return np.clip(np.rint(truth + np.random.default_rng(seed).normal(0, sigma, truth.shape)), 0, 255).astype(np.uint8)


def panned(count: int, down: int, right: int, height: int = 144, width: int = 176) -> np.ndarray:
    """A photograph that moves by `down` and `right` samples a frame."""
    from skimage.data import camera

    top, left = 150, 200
    return np.stack([camera()[top - t * down :, left - t * right :][:height, :width] for t in range(count)])


def inside(motion: np.ndarray) -> np.ndarray:
    """The vectors of blocks whose surroundings were in the picture before, too."""
    return motion[:, :, 5:-5, 5:-5, :2].reshape(-1, motion.shape[1], (motion.shape[2] - 10) * (motion.shape[3] - 10), 2)


@pytest.mark.parametrize("block", ["8", "16"])
@pytest.mark.parametrize("down, right", [(0, 0), (3, -5), (-7, 2)])
def test_the_motion_of_a_pan_is_found(block, down, right):
    motion = find_motion(panned(3, down, right), radius=1, block=block)
    before, after = inside(motion)[1]
    for vectors, sign in ((before, -1), (after, 1)):
        assert np.mean((vectors == (sign * 2 * down, sign * 2 * right)).all(-1)) > 0.95
    assert (motion[0, 0, ..., 2] == 32767).all() and (motion[2, 1, ..., 2] == 32767).all()


def test_far_motion_is_found_through_the_pyramid():
    motion = find_motion(panned(3, 9, 21), radius=1, block="16")
    assert np.mean((inside(motion)[1][1] == (18, 42)).all(-1)) > 0.9


def test_half_samples_are_found():
    from skimage.data import camera

    fine = camera()[100:388, 100:452].astype(int)
    frames = np.stack([
        (fine[y : y + 286 : 2, x : x + 350 : 2] + fine[y + 1 : y + 287 : 2, x + 1 : x + 351 : 2]
         + fine[y + 1 : y + 287 : 2, x : x + 350 : 2] + fine[y : y + 286 : 2, x + 1 : x + 351 : 2]) // 4
        for y, x in ((0, 0), (0, 1))
    ]).astype(np.uint8)  # fmt: skip
    vectors = inside(find_motion(frames, block="16"))[0][1]
    assert np.mean((vectors == (0, -1)).all(-1)) > 0.7
    whole = find_motion(frames, block="16", precision="whole")
    assert not (whole[..., :2] % 2).any()
    assert find_motion(frames, block="16")[0, 1, ..., 2].mean() < 0.8 * whole[0, 1, ..., 2].mean()


@pytest.mark.parametrize("radius", [1, 3])
def test_noise_goes_along_the_motion_nearly_as_in_a_still_picture(radius):
    truth = panned(2 * radius + 1, 3, -5)
    motion = find_motion(truth, radius=radius)  # perfect guide: what is left is the mean's own doing
    got = motion_mean(noisy(truth, 8), motion, radius=radius, limit=20)[radius]
    left = np.std(got[40:-40, 40:-40] - truth[radius, 40:-40, 40:-40].astype(float))
    assert left < 1.1 * 8 / np.sqrt(2 * radius + 1)


@pytest.mark.parametrize("radius, block", [(1, "16"), (3, "8")])
def test_clips_longer_than_what_is_worked_on_at_once_equal_the_definition(radius, block):
    """Planes are used again for later frames, on a pyramid of sizes; vectors of far frames begin from nearer ones."""
    frames = noisy(panned(at_once() + 2 * radius + 3, 2, -3, height=72, width=136), 6)
    motion = find_motion(frames, radius=radius, block=block)
    assert np.array_equal(motion, find_motion.definition(frames, radius=radius, block=block))
    got = motion_mean(frames, motion, radius=radius, block=block, limit=40)
    want = motion_mean.definition(frames, motion, radius=radius, block=block, limit=40)
    assert np.abs(got.astype(int) - want).max() <= 1


def test_a_cut_stays_a_cut():
    a, b = panned(3, 0, 1), 255 - panned(3, 0, 1)
    frames = np.concatenate([a, b])
    motion = find_motion(frames, radius=2)
    got = motion_mean(frames, motion, radius=2, limit=4)
    whole = motion_mean(a, find_motion(a, radius=2), radius=2, limit=4)
    assert np.mean((whole[2].astype(float) - got[2]) ** 2) < 2


def test_chroma_moves_with_luma():
    truth = panned(3, 4, -6)
    small = panned(3, 4, -6).reshape(3, 72, 2, 88, 2).mean((2, 4)).round().astype(np.uint8)
    motion = find_motion(truth)
    got = motion_mean(noisy(small, 8), motion, down=1, across=1, limit=20)[1]
    still = motion_mean(noisy(small, 8), motion * np.array([0, 0, 1], np.int16), down=1, across=1, limit=20)[1]
    inner = (slice(10, -10), slice(10, -10))
    assert psnr(small[1][inner], got[inner]) > psnr(small[1][inner], still[inner]) + 3
    assert np.std(got[20:-20, 20:-20] - small[1, 20:-20, 20:-20].astype(float)) < 1.15 * 8 / np.sqrt(3)


# The stage

FORMAT = PictureFormat(176, 144, (1, 1), field_order="progressive")


def clip(count: int = 9, sigma: float = 8) -> tuple[Batch, Batch]:
    """(truth, noisy) in 4:2:0."""
    luma = panned(count, 2, -3)
    chroma = luma.reshape(count, 72, 2, 88, 2).mean((2, 4)).round().astype(np.uint8)
    truth = (luma, chroma, 255 - chroma)
    times = np.arange(count), np.ones(count, int), Fraction(1, 25), FORMAT
    seen = tuple(noisy(p, sigma, n) for n, p in enumerate(truth))
    return Batch(truth, *times), Batch(seen, *times)


def pieces(step, batch: Batch, cuts: tuple[int, ...]) -> Batch:
    edges = (0, *cuts, len(batch))
    parts = (batch[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True))
    return Batch.join(list(step.stage.apply(parts, batch.format, step.knobs, Context())))


@pytest.mark.parametrize("noise", [0, 8])
def test_the_result_does_not_depend_on_the_batches(noise):
    _, seen = clip()
    step = denoise.motion_mean(noise=noise, radius=2)
    whole = step(seen)
    for cuts in ((1, 2, 3, 4, 5, 6, 7, 8), (4,), (1, 7)):
        for a, b in zip(pieces(step, seen, cuts).planes, whole.planes, strict=True):
            assert np.array_equal(a, b), f"cut at {cuts}"


def test_noise_is_measured_when_not_set():
    """Within 0.8 dB of the noise known (1.5 dB in chroma, 88x72 of nothing but texture), far better than the frames."""
    truth, seen = clip()
    measured, known = denoise.motion_mean()(seen), denoise.motion_mean(noise=8)(seen)
    for t, s, m, k in zip(truth.planes, seen.planes, measured.planes, known.planes, strict=True):
        assert psnr(t, m) > psnr(t, s) + 3
        assert psnr(t, m) > psnr(t, k) - (0.8 if t is truth.planes[0] else 1.5)


@pytest.mark.parametrize("planes, changed", [("luma", (True, False, False)), ("chroma", (False, True, True))])
def test_only_the_wanted_planes_change(planes, changed):
    _, seen = clip(4)
    got = denoise.motion_mean(planes=planes)(seen)
    assert tuple(not np.array_equal(a, b) for a, b in zip(got.planes, seen.planes, strict=True)) == changed
    every = denoise.motion_mean()(seen)
    for n in range(3):
        if changed[n]:
            assert np.array_equal(got.planes[n], every.planes[n])


@pytest.mark.parametrize("subsampling", [(2, 0), (1, 0), (0, 0), None])
def test_takes_other_chroma_and_odd_sizes(subsampling):
    fmt = PictureFormat(53, 37, subsampling, bits=10, field_order="progressive")
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(400, 500, (3, *s)).astype(np.uint16) for s in fmt.plane_shapes)
    batch = Batch(planes, np.arange(3), np.ones(3, int), Fraction(1, 25), fmt)
    got = denoise.motion_mean(block="8")(batch)
    for a, b in zip(got.planes, planes, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert a.std() < b.std()


def test_interlaced_and_tiny_pictures_are_refused():
    _, seen = clip(2)
    with pytest.raises(PictureError, match="interlaced"):
        denoise.motion_mean()(seen.replace(format=FORMAT.replace(field_order="tff")))
    fmt = PictureFormat(14, 40, None, field_order="progressive")
    tiny = Batch((np.zeros((1, 40, 14), np.uint8),), np.zeros(1, int), np.ones(1, int), Fraction(1, 25), fmt)
    with pytest.raises(PictureError, match="at least 16x16"):
        denoise.motion_mean()(tiny)
