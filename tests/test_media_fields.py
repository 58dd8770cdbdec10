"""Measuring pictures: field order, film cadence and noise, on real footage whose answer is known by construction."""

from __future__ import annotations

import functools

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels.fields import measure_cadence, measure_field_order, split, weave
from kernels.measure.noise import noise_level
from tests._media import real_clip


@functools.cache
def luma(name: str, count: int = 120) -> np.ndarray:
    with av.open(str(real_clip(name))) as container:
        frames = []
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            frames.append(np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width])
            frames[-1] = frames[-1][:480, :640].copy()
            if len(frames) == count:
                break
    return np.array(frames)


def fields_of(clean: np.ndarray, order: str) -> np.ndarray:
    """Interlaced frames whose fields are successive clean frames."""
    early, late = clean[0:-1:2], clean[1::2]
    early = early[: len(late)]
    return weave(early[:, 0::2], late[:, 1::2]) if order == "tff" else weave(late[:, 0::2], early[:, 1::2])


def pulled_down(film: np.ndarray, order: str, skip: int = 0) -> np.ndarray:
    """Film frames given two and three fields in turn."""
    shown = [i for i in range(len(film)) for _ in range(2 + i % 2)][skip:]
    first, second = film[shown[0:-1:2]], film[shown[1::2]]
    return weave(first[:, 0::2], second[:, 1::2]) if order == "tff" else weave(second[:, 0::2], first[:, 1::2])


def noisy(frames: np.ndarray, sigma: float, seed: int = 0, along: int = 1) -> np.ndarray:
    """With Gaussian noise of deviation `sigma`, smooth over `along` samples of a line as a tape's is."""
    if not sigma:
        return frames
    noise = np.random.default_rng(seed).standard_normal((*frames.shape[:2], frames.shape[2] + along - 1), np.float32)
    total = np.cumsum(np.pad(noise, ((0, 0), (0, 0), (1, 0))), axis=2)
    noise = (total[:, :, along:] - total[:, :, :-along]) / np.float32(along**0.5)
    return np.clip(np.rint(frames + np.float32(sigma) * noise), 0, 255).astype(np.uint8)


def runs(frames: np.ndarray, length: int = 12, step: int = 24) -> list[np.ndarray]:
    return [frames[k : k + length] for k in range(0, len(frames) - length + 1, step)]


CLIPS = ["bikes.mp4", "bigbuckbunny.mp4"]


@pytest.mark.parametrize("sigma", [0, 5, 15])
@pytest.mark.parametrize("order", ["tff", "bff", "progressive"])
@pytest.mark.parametrize("name", CLIPS)
def test_field_order_is_told_with_confidence(name, order, sigma):
    clean = luma(name)
    frames = clean[::2] if order == "progressive" else fields_of(clean, order)
    found = measure_field_order(*runs(noisy(frames, sigma, along=4)))
    assert found.order == order and found.confidence > 0.5, found


@pytest.mark.parametrize("sigma", [0, 4, 12])
def test_a_still_picture_tells_nothing(sigma):
    frames = noisy(np.repeat(luma("bikes.mp4")[:1], 24, axis=0), sigma)
    assert measure_field_order(*runs(frames)).confidence < 0.2
    assert measure_cadence(*runs(frames)).confidence < 0.2


def test_confidence_grows_with_what_there_is_to_see():
    frames = fields_of(luma("bigbuckbunny.mp4"), "bff")
    little, much = measure_field_order(frames[20:23]), measure_field_order(*runs(frames))
    assert 0 < little.confidence < much.confidence <= 1
    # A cut has no field order and must not turn the answer.
    cut = np.concatenate([frames[30:33], frames[8:11], frames[40:43]])
    assert measure_field_order(cut).order == "bff"


@pytest.mark.parametrize("dtype, scale", [(np.uint16, 257), (np.float32, 1), (np.float32, 1 / 255)])
def test_field_order_does_not_depend_on_the_scale(dtype, scale):
    frames = fields_of(luma("bikes.mp4"), "tff")[:24]
    plain = measure_field_order(*runs(frames))
    assert measure_field_order(*runs((frames * np.float32(scale)).astype(dtype))).order == plain.order == "tff"


@pytest.mark.parametrize("sigma", [0, 8])
@pytest.mark.parametrize("order, skip", [("tff", 0), ("tff", 3), ("bff", 1), ("bff", 4)])
@pytest.mark.parametrize("name", CLIPS)
def test_pulldown_is_recognised_wherever_it_begins(name, order, skip, sigma):
    frames = noisy(pulled_down(luma(name, 100), order, skip), sigma)
    assert measure_cadence(*runs(frames, step=17)).name == "3:2"
    assert measure_field_order(*runs(frames)).order == order


@pytest.mark.parametrize("name", CLIPS)
def test_video_and_two_to_two_are_told_apart(name):
    clean = luma(name)
    assert measure_cadence(*runs(fields_of(clean, "tff"))).name == "none"
    assert measure_cadence(*runs(clean)).name == "2:2"
    shifted = weave(clean[:-1, 0::2], clean[1:, 1::2])  # the fields paired off by one
    assert measure_cadence(*runs(shifted)).name == "2:2"
    assert measure_cadence(clean[:8]).name == "unknown"  # too short for a cycle


@given(arrays(np.uint8, st.tuples(st.integers(0, 3), st.integers(2, 9), st.integers(1, 5))))
def test_split_and_weave_are_inverse(frames):
    top, bottom = split(frames)
    assert np.shares_memory(top, frames) or top.size == 0
    assert np.array_equal(weave(top, bottom), frames)
    with pytest.raises(ValueError, match="do not make frames"):
        weave(top, bottom[:, :, :-1])
    with pytest.raises(ValueError, match="do not make frames"):
        weave(np.zeros((1, 5, 2)), np.zeros((1, 3, 2)))


def test_frames_too_few_or_too_small_are_refused():
    for shape in ((1, 64, 64), (4, 8, 64), (64, 64)):
        with pytest.raises(ValueError, match="expected"):
            measure_field_order(np.zeros(shape, np.uint8))
    with pytest.raises(TypeError, match="expected a NumPy array"):
        measure_cadence([[[0] * 16] * 16] * 12)
    assert measure_field_order().order == "unknown"


# -- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("along", [1, 5])
@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
@pytest.mark.parametrize("name", CLIPS)
def test_noise_is_measured_on_real_pictures(name, sigma, along):
    """Within a level or 12 %, also when it is smooth along the line, and the same when fields differ."""
    clean = luma(name)
    for frames in (clean[10:70:20], fields_of(clean, "tff")[5:35:10]):
        found = noise_level(noisy(frames, sigma, along=along))
        assert np.abs(found - sigma).max() < max(1.0, 0.12 * sigma), found


def test_clean_pictures_are_not_called_noisy():
    for name in CLIPS:
        assert noise_level(luma(name)[::30]).max() < 1.5
    assert noise_level(fields_of(luma("bikes.mp4"), "bff")[::12]).max() < 1.5


def test_bars_and_blank_frames_do_not_count():
    frames = noisy(luma("bikes.mp4")[:2], 6)
    boxed = np.pad(frames, ((0, 0), (80, 80), (0, 0)), constant_values=16)
    assert np.abs(noise_level(boxed) - 6).max() < 0.8
    assert noise_level(np.full((2, 64, 64), 16, np.uint8)).tolist() == [0.0, 0.0]
    ramp = np.broadcast_to(np.arange(128, dtype=np.float32)[:, None] * 1.5, (1, 128, 128))
    assert noise_level(ramp)[0] < 1e-3


def test_noise_is_in_the_levels_of_the_samples():
    frames = noisy(luma("bikes.mp4")[:1], 8)
    eight = noise_level(frames)
    assert noise_level(frames.astype(np.uint16) * 4) == pytest.approx(eight * 4, rel=1e-4)
    assert noise_level(frames.astype(np.float32) / 255) == pytest.approx(eight / 255, rel=1e-4)
    with pytest.raises(TypeError, match="expected a NumPy array"):
        noise_level([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="expected"):
        noise_level(np.zeros((1, 8, 64), np.uint8))
