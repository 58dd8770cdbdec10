"""Jitter, rainbows and halos on made tapes with known truth: each repair raises PSNR, and leaves clean tapes alone."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from kernels.repair.comb import frame_comb
from kernels.repair.halo import dehalo
from kernels.repair.jitter import displacements, line_costs, shift_lines
from tests import cuda_host
from tests._repair import LOSS, SCENES, clean, psnr
from toolkit.clip import Batch, PictureFormat
from toolkit.convert import convert
from toolkit.errors import PictureError
from toolkit.pipeline import Pipeline
from toolkit.settings import changed, spoken
from toolkit.stages import Context, stage
from toolkit.stages.signal import chroma_shifts
from toolkit.tape import Tape

BWDIF = stage("deinterlace.bwdif")()
#: Each repair with the fault it is for.
REPAIRS = {
    stage("repair.dehalo")(width=2): {"sharpening": 9.0},  # 360 samples hold a line of 720, so half the width
    stage("repair.dejitter")(): {"jitter": 120.0},
}
GAIN = 0.5  # dB of luma, at least


@functools.cache
def recorded(scene: str, **faults) -> Batch:
    return Tape.only(**faults).record(clean(scene)).tape


@functools.cache
def shown(scene: str, *steps, **faults) -> tuple[float, ...]:
    """PSNR of each plane against the truth, played with `steps` and deinterlaced; the outermost frames left out."""
    played = Pipeline([*steps, BWDIF])(recorded(scene, **faults)).planes
    return tuple(psnr(t[1:-1], p[1:-1]) for t, p in zip(clean(scene).planes, played, strict=True))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("step", [*REPAIRS, stage("repair.frame_comb")()], ids=lambda s: s.name)
def test_clean_tapes_are_left_alone(step, scene):
    for before, after in zip(shown(scene), shown(scene, step), strict=True):
        assert after >= before - LOSS


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("step", REPAIRS, ids=lambda s: s.name)
def test_a_repair_raises_psnr_on_its_fault(step, scene):
    """Chroma moves with luma; the soft picture of bikes.mp4 has no rims that sharpening could raise."""
    faults = REPAIRS[step]
    before, after = shown(scene, **faults), shown(scene, step, **faults)
    soft = step.name == "repair.dehalo" and scene == "bikes.mp4"
    assert after[0] >= before[0] + (0 if soft else GAIN)
    assert all(a >= b for a, b in zip(after[1:], before[1:], strict=True))


# Halos


def step_with_rims(width: int = 64) -> np.ndarray:
    line = np.where(np.arange(width) < 32, 60, 160)
    line[28:32], line[32:36] = 48, 172
    return np.broadcast_to(line.astype(np.uint8), (1, 4, width))


def test_rims_go_and_the_step_and_what_only_looks_like_a_rim_stay():
    rims = step_with_rims()
    assert np.array_equal(dehalo(rims)[0, 0], np.where(np.arange(64) < 32, 60, 160))
    assert (dehalo(rims, strength=0.5)[0, 0, 32:36] == 166).all()
    thin = np.full((1, 4, 64), 60, np.uint8)
    thin[..., 30:33] = 160  # a line, no step
    one_sided = step_with_rims().copy()
    one_sided[..., 28:32] = 60  # a light line at an edge: no dark rim on the other side
    for picture in (thin, one_sided):
        assert np.array_equal(dehalo(picture), picture)


def test_colour_has_no_halo_and_fields_are_taken_as_they_are():
    tape = recorded("table", sharpening=9.0)
    done = stage("repair.dehalo")(width=2)(tape)
    assert np.array_equal(done.planes[1], tape.planes[1]) and not np.array_equal(done.planes[0], tape.planes[0])


# Jitter


@pytest.mark.parametrize("dtype, bits", [("uint8", 8), ("uint16", 10), ("float32", 8)])
def test_lines_are_moved_by_fractions_in_every_body(dtype, bits):
    """A tone moved by a part of a sample is the tone there; both bodies are the definition's samples."""
    x, peak = np.arange(200), (1 << bits) - 1
    shifts = np.linspace(-3.3, 3.7, 24, dtype=np.float32).reshape(2, 12, 1)

    def tone(at):
        frames = peak * (0.5 + 0.3 * np.sin(at / 5))
        return frames.astype(dtype) if dtype == "float32" else np.rint(frames).astype(dtype)

    moved = tone(x - shifts)
    want = shift_lines.definition(moved, shifts, bits=bits)
    back = shift_lines(moved, shifts, bits=bits)
    off = np.abs(want[..., 10:-10].astype(float) - tone(x + 0 * shifts)[..., 10:-10]).max()
    assert off < (0.012 * peak if bits == 8 else 0.01 * peak)
    for got in (back, cuda_host.call(shift_lines, [moved, shifts], bits=bits)):
        np.testing.assert_allclose(got.astype(float), want.astype(float), atol=0 if dtype != "float32" else 2e-3)


def test_displacements_are_found_to_a_fraction_of_a_sample():
    rng = np.random.default_rng(4)
    line = np.convolve(rng.normal(0, 60, 400), np.hanning(9) / 4, "same") + 128
    still = np.clip(np.broadcast_to(line, (3, 60, 400)), 0, 255).astype(np.float32)
    true = np.zeros((3, 60, 1), np.float32)
    true[1, 5:55:3, 0] = rng.uniform(-2, 2, 17)  # what most lines do would be motion
    found = displacements(line_costs(shift_lines(still, -true)))
    assert np.abs(found[1] - 2 / 3 * true[1]).max() < 0.12
    assert not displacements(line_costs(still)).any()


def test_even_motion_and_one_frame_are_no_jitter():
    frames = np.stack([np.roll(clean("table").planes[0][0], 3 * t, axis=1) for t in range(5)])
    assert np.abs(displacements(line_costs(frames))[1:-1]).max() < 0.3
    assert not displacements(line_costs(frames[:1])).any()


@pytest.mark.parametrize("order", ["tff", "progressive"])
def test_chroma_lines_move_with_the_luma_lines_they_belong_to(order):
    fmt = PictureFormat(64, 8, (1, 1), field_order=order)
    shifts = np.arange(8, dtype=np.float32).reshape(1, 8, 1)
    want = [1.0, 2.0, 5.0, 6.0] if order == "tff" else [0.5, 2.5, 4.5, 6.5]
    assert (2 * chroma_shifts(shifts, fmt)).ravel().tolist() == want


def test_dejitter_gives_the_same_frames_whatever_the_batches():
    step, tape = stage("repair.dejitter")(), recorded("garage", jitter=120.0)
    whole = step(tape)
    for size in (1, 3):
        parts = iter([tape[i : i + size] for i in range(0, len(tape), size)])
        again = Batch.join(list(step.stage.apply(parts, tape.format, step.knobs, Context())))
        assert all(np.array_equal(a, b) for a, b in zip(again.planes, whole.planes, strict=True))


# Rainbows and dot crawl


@functools.cache
def held(scene: str, standard: str = "ntsc") -> Batch:
    """One clean frame for many fields, 720 samples wide, in which the right quarter goes on moving."""
    moving = clean(scene, 22)
    planes = []
    for plane in moving.planes:
        still = plane[:1].repeat(len(plane), axis=0)
        still[:, :, 3 * plane.shape[2] // 4 :] = plane[:, :, 3 * plane.shape[2] // 4 :]
        planes.append(still)
    fmt = moving.format.replace(width=720, height=moving.format.height)
    return convert(moving.replace(planes=tuple(planes)), fmt)


@pytest.mark.parametrize("standard", ["ntsc", "pal"])
@pytest.mark.parametrize("scene", ["table", "bigbuckbunny.mp4"])
def test_rainbows_and_dot_crawl_go_where_nothing_moves(scene, standard):
    truth = held(scene)
    tape = Tape.only(standard=standard, composite=1.0).record(truth).tape
    step = stage("repair.frame_comb")(standard=standard)
    combed, ends = step(tape), step.stage.halo(step.knobs)
    inner = slice(2 * ends, -2 * ends)
    for plane, least in ((0, 0.0), (1, 3.0), (2, 3.0)):
        before, after = (psnr(truth.planes[plane][inner], BWDIF(t).planes[plane][inner]) for t in (tape, combed))
        assert after > before + least
    swing = [np.abs(np.diff(t.planes[0][ends:-ends, :, :500].astype(int), axis=0)) for t in (tape, combed)]
    assert (swing[1] > 6).mean() < (swing[0] > 6).mean() / 3


def test_a_flash_and_what_moves_are_no_carrier():
    frames = np.full((7, 4, 40), 100, np.uint8)
    frames[3] = 112
    assert np.array_equal(frame_comb(frames), frames)
    frames[1::2] = 112  # but this comes and goes as the carrier does
    assert (frame_comb(frames)[2:5] == 106).all()
    assert np.array_equal(frame_comb(frames[:4]), frames[:4])


def test_a_composite_tape_needs_colour_on_every_line_and_samples_enough():
    for change in ({"subsampling": (1, 1)}, {"width": 320}):
        with pytest.raises(PictureError, match="composite"):
            Tape.only(composite=1.0).record(convert(clean("table"), clean("table").format.replace(**change)))


# As steps of a run


def test_what_belongs_before_deinterlacing_is_put_there():
    base = Pipeline([BWDIF, stage("denoise.temporal")()])
    steps = changed(base, repair="heal_dropouts+dejitter:passes=1+frame_comb+dehalo")
    names = [s.name.partition(".")[2] for s in steps]
    assert names == ["dejitter", "frame_comb", "bwdif", "heal_dropouts", "dehalo", "temporal"]
    words = spoken(steps)
    options = {word[2:]: text for word, text in zip(words[::2], words[1::2], strict=True)}
    assert changed(base, **options) == steps
