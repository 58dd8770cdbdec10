"""deinterlace.motion: nearer to the truth than bwdif on every scene, and exact on what stands still."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest

import toolkit
from kernels.deinterlace.bwdif import bwdif
from kernels.motion.fill import motion_fill
from kernels.motion.search import motion_shape
from tests import _media as m
from tests._repair import clean, psnr
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import PictureError
from toolkit.pipeline import Pipeline
from toolkit.stages import Context, deinterlace
from toolkit.tape import Tape

#: dB by which luma must come nearer to the truth than bwdif does; what was measured, less a third.
GAIN = {"garage": 3.0, "table": 1.1, "rocket": 1.2, "bigbuckbunny.mp4": 2.8, "bikes.mp4": 2.0}
ENDS = 4  # frames with too few neighbours to be judged


@functools.cache
def recorded(scene: str, noise: float = 0.0) -> tuple[Batch, Batch]:
    """A tape without other faults, and its truth."""
    truth = clean(scene)
    tape = Tape.only(luma_noise=noise, luma_noise_length=120.0, seed=7) if noise else Tape.ideal()
    return tape.record(truth).tape, truth


def gains(scene: str, noise: float = 0.0, **knobs) -> list[float]:
    """By how many dB each plane is nearer to the truth than bwdif's."""
    tape, truth = recorded(scene, noise)
    results = deinterlace.motion(**knobs)(tape), deinterlace.bwdif()(tape)
    inner = slice(ENDS, -ENDS)
    ours, other = ([psnr(t[inner], p[inner]) for t, p in zip(truth.planes, r.planes, strict=True)] for r in results)
    return [a - b for a, b in zip(ours, other, strict=True)]


@pytest.mark.parametrize("scene", GAIN)
def test_every_scene_comes_nearer_to_the_truth_than_with_bwdif(scene):
    luma, *chroma = gains(scene)
    assert luma > GAIN[scene], f"{luma:.2f} dB over bwdif"
    assert min(chroma) > 0.3, f"chroma {chroma} dB over bwdif"


@pytest.mark.parametrize("scene", ["table", "bigbuckbunny.mp4"])
def test_noise_does_not_take_the_gain_away(scene):
    assert gains(scene, noise=4.0)[0] > 0.7


def still(count: int = 8, height: int = 64, width: int = 96) -> Batch:
    """Fine detail that one field alone cannot show."""
    from skimage.data import camera

    picture = camera()[100 : 100 + 4 * height : 4, 150 : 150 + 4 * width : 4]
    return batch_of(np.stack([picture] * count))


def batch_of(luma: np.ndarray, order: str = "tff") -> Batch:
    fmt = PictureFormat(luma.shape[2], luma.shape[1], None, field_order=order)
    return Batch((luma,), np.arange(len(luma)), np.ones(len(luma), int), Fraction(1, 25), fmt)


def test_what_stands_still_comes_back_exactly():
    """Not near the ends: bwdif guesses the first and the last field from itself alone, and its neighbours see that."""
    frames = still()
    got = deinterlace.motion()(frames).planes[0]
    assert np.array_equal(got[7:-7], np.repeat(frames.planes[0], 2, axis=0)[7:-7])


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_sampled_lines_stay_and_frame_rate_is_every_second_frame(order):
    tape = recorded("table")[0]
    tape = batch_of(tape.planes[0][:, :96, :160], order)
    got = deinterlace.motion()(tape)
    for n, frame in enumerate(got.planes[0]):
        parity = (n & 1) ^ (order == "bff")
        assert np.array_equal(frame[parity::2], tape.planes[0][n // 2, parity::2])
    slow = deinterlace.motion(rate="frame")(tape)
    assert np.array_equal(slow.planes[0], got.planes[0][::2])
    assert len(slow) == len(tape) and np.array_equal(slow.times, got.times[::2])


@pytest.mark.parametrize("radius", [1, 3])
def test_batches_of_any_size_give_the_same_frames(radius):
    tape = recorded("bigbuckbunny.mp4")[0]
    step = deinterlace.motion(radius=radius, block="8")
    fmt = tape.format
    whole = step(tape)
    for cut in (1, 3):
        pieces = iter([tape[k : k + cut] for k in range(0, len(tape), cut)])
        again = Batch.join(list(step.stage.apply(pieces, fmt, step.knobs, Context("cpu"))))
        for a, b in zip(whole.planes, again.planes, strict=True):
            assert np.array_equal(a, b)
    only = step.stage.only(tape, (2, 4), fmt, step.knobs, Context("cpu"))
    assert np.array_equal(only.planes[0], whole.planes[0][4:8])
    halo = step.stage.halo(step.knobs)  # a run that is gone on with begins so many frames early
    if 1 + halo < len(tape):
        later = step(tape[1:])
        assert np.array_equal(later.planes[0][2 * halo :], whole.planes[0][2 * (1 + halo) :])


def test_vectors_that_lead_astray_are_found_out():
    """Blocks that claim to fit and do not: what the field itself shows keeps them out."""
    tape = recorded("garage")[0].planes[0][:, :128, :192]
    guess = bwdif(tape)
    motion = np.zeros(motion_shape(guess.shape, 3, 16), np.int16)
    motion[..., :2] = np.random.default_rng(1).integers(-40, 40, motion[..., :2].shape)
    motion[..., 2] = 30
    pair = guess.reshape(-1, 2, *guess.shape[1:])
    motion = motion.reshape(-1, 2, *motion.shape[1:])
    wary, trusting = (psnr(guess, motion_fill(tape, pair, motion, fit=fit)) for fit in (0.5, 255.0))
    assert wary > trusting + 6, f"{wary:.1f} dB from the guess, {trusting:.1f} where everything fits"


@pytest.mark.parametrize("subsampling, bits", [((1, 0), 10), ((2, 0), 8), ((0, 0), 8)])
def test_takes_other_chroma_and_depths(subsampling, bits):
    fmt = PictureFormat(70, 48, subsampling, bits=bits, field_order="tff")
    picture = still(1).planes[0][0].astype(np.uint16) << (bits - 8)
    planes = tuple(
        np.stack([np.roll(picture, 2 * t, axis=1)[: shape[0], : shape[1]] for t in range(4)]).astype(fmt.dtype)
        for shape in fmt.plane_shapes
    )
    got = deinterlace.motion()(Batch(planes, np.arange(4), np.ones(4, int), Fraction(1, 25), fmt))
    for a, b in zip(got.planes, planes, strict=True):
        assert a.shape == (8, *b.shape[1:]) and a.dtype == b.dtype and a.max() < 1 << bits


def test_progressive_frames_pass_and_others_are_refused_by_name():
    frames = still(2)
    as_film = frames.replace(format=frames.format.replace(field_order="progressive"))
    assert np.array_equal(deinterlace.motion()(as_film).planes[0], frames.planes[0])
    with pytest.raises(PictureError, match="deinterlace.motion.*unknown field order"):
        deinterlace.motion()(frames.replace(format=frames.format.replace(field_order="unknown")))
    with pytest.raises(PictureError, match="deinterlace.motion.*14x40.*at least 16x16"):
        deinterlace.motion()(batch_of(np.zeros((2, 40, 14), np.uint8)))


def test_a_real_tape_is_restored_with_it(tmp_path):
    run = toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mkv", pipeline=Pipeline([deinterlace.motion(rounds=1)]),
                          frames=(0, 6), field_order="tff", audio="none")  # fmt: skip
    assert run.frames_out == 12 and all(c.ok for c in run.checks)


def woven(truth: np.ndarray) -> Batch:
    """Pictures as the fields of a tape."""
    frames = truth[0::2].copy()
    frames[:, 1::2] = truth[1::2, 1::2]
    return batch_of(frames)


@pytest.mark.parametrize("odd", [0, 1])
def test_a_cut_stays_a_cut(odd):
    """Also between the two fields of a frame: not one field is further from the truth than bwdif's."""
    a, b = (clean(scene).planes[0] for scene in ("bigbuckbunny.mp4", "table"))
    truth = np.concatenate([a[: 6 + odd], b[: 6 - odd]])
    ours, other = (step(woven(truth)).planes[0] for step in (deinterlace.motion(), deinterlace.bwdif()))
    for n in range(1, len(truth) - 1):
        assert psnr(truth[n], ours[n]) > psnr(truth[n], other[n]), f"field {n}"


def test_a_fade_keeps_the_gain():
    """One part in a hundred darker with every field: neighbours are a little too bright or too dark everywhere."""
    truth = np.rint(np.linspace(1, 0.86, 14)[:, None, None] * clean("bigbuckbunny.mp4").planes[0]).astype(np.uint8)
    ours, other = (step(woven(truth)).planes[0][2:-2] for step in (deinterlace.motion(), deinterlace.bwdif()))
    assert psnr(truth[2:-2], ours) > psnr(truth[2:-2], other) + 2.5
