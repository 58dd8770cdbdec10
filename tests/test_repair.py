"""Repairs on made tapes with known truth: each raises PSNR on the fault it is for and leaves clean pictures alone."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import toolkit
from kernels.measure.chroma import measure_chroma_shift
from kernels.repair.dropouts import find_dropouts, heal_dropouts
from kernels.repair.foot import head_switching
from kernels.repair.levels import levels
from tests import _media as m
from tests import cuda_host
from tests._repair import LOSS, SCENES, SIZE, clean, psnr
from toolkit.cli import main
from toolkit.clip import Batch, Clip
from toolkit.convert import convert
from toolkit.errors import KnobError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.presets import preset
from toolkit.settings import changed, spoken
from toolkit.stages import Context, stage
from toolkit.tape import Tape


@functools.cache
def spoilt(scene: str, **faults: Any) -> Batch:
    """The clean frames recorded with one fault and played back, deinterlaced at field rate."""
    return stage("deinterlace.bwdif")()(Tape.only(**faults).record(clean(scene)).tape)


def gain(step: Any, scene: str, plane: int, **faults: Any) -> float:
    """By how many dB `step` raises the PSNR of a plane on a tape with these faults, the outermost frames left out."""
    truth, tape = clean(scene).planes[plane][1:-1], spoilt(scene, **faults)
    return psnr(truth, step(tape).planes[plane][1:-1]) - psnr(truth, tape.planes[plane][1:-1])


NEUTRAL = [
    stage("repair.heal_dropouts")(),
    stage("repair.chroma_shift")(),
    stage("repair.levels")(),
    stage("repair.head_switching")(),
]


@pytest.mark.parametrize("scene", SCENES)
def test_clean_clips_are_left_alone(scene):
    """Played back from a tape without faults, and as they are: mistakes there cost next to nothing."""
    for step in NEUTRAL:
        for plane in (0, 1, 2):
            assert gain(step, scene, plane) >= -LOSS, f"{step!r} on plane {plane}"
            assert psnr(clean(scene).planes[plane], step(clean(scene)).planes[plane]) > 60


# Dropouts


def streaky(dtype: str, bits: int = 8) -> np.ndarray:
    """A still picture with noise, streaks of one to three lines in single frames, and a thin line that moves."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:48, 0:150]
    frames = 110 + 40 * np.sin(x / 9) * np.cos(y / 5) + rng.normal(0, 2, (6, 48, 150))
    for t in range(6):
        frames[t, 5 + 3 * t : 7 + 3 * t, 60:120] = 220
    for t, top, high, left, long, level in ((1, 30, 1, 10, 40, 240), (2, 40, 3, 80, 70, 12), (3, 0, 1, 90, 30, 235),
                                            (4, 47, 1, 0, 25, 14), (3, 31, 2, 20, 18, 230)):  # fmt: skip
        frames[t, top : top + high, left : left + long] = level
    frames = np.clip(frames, 0, 255) * (1 << (bits - 8))
    return frames.astype(dtype) if dtype == "float32" else np.rint(frames).astype(dtype)


@pytest.mark.parametrize("body", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype, bits", [("uint8", 8), ("uint16", 10), ("float32", 8)])
def test_bodies_find_the_same_streaks_as_the_definition(body, dtype, bits):
    """The pictures of test_kernels.py hold few streaks; these do."""
    frames = streaky(dtype, bits)
    for knobs in ({}, {"length": 8, "lines": 1}, {"threshold": 60.0}):
        want = find_dropouts.definition(frames, bits=bits, **knobs)
        call = functools.partial(cuda_host.call, find_dropouts, [frames]) if body == "cuda" else None
        got = call(bits=bits, **knobs) if call else find_dropouts(frames, bits=bits, **knobs)
        assert want[1:5].any(axis=(1, 2)).sum() >= 3 and np.array_equal(got, want)


def test_finds_streaks_and_leaves_a_moving_line():
    marks = find_dropouts(streaky("uint8")) > 0
    assert marks[1, 30, 10:50].all() and marks[2, 40:43, 80:150].all() and marks[3, 0, 90:120].all()
    assert marks[4, 47, :25].all() and not marks[0].any() and not marks[5].any()
    assert not any(marks[t, 5 + 3 * t : 7 + 3 * t, 60:120].any() for t in (1, 2, 4)), "the moving line was taken"


@pytest.mark.parametrize("scene", SCENES)
def test_healing_dropouts_raises_psnr_in_luma_and_chroma(scene):
    step = stage("repair.heal_dropouts")()
    faults = {"dropouts": 4000.0, "dropout_length": 18.0, "seed": 2}
    truth, without, tape = (b.planes[0][1:-1] for b in (clean(scene), spoilt(scene), spoilt(scene, **faults)))
    lost = psnr(truth, without) - psnr(truth, tape)
    assert gain(step, scene, 0, **faults) > max(1.5, lost / 2)
    assert gain(step, scene, 1, **faults) > 0.3 and gain(step, scene, 2, **faults) > 0.3


def test_heals_from_the_frames_where_they_agree_else_from_the_lines():
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 100, (3, 20, 30), np.uint8)
    marks = np.zeros_like(frames)
    marks[1, 8:11, 5:25] = 255
    frames[0, 8:11, 5:15], frames[2, 8:11, 5:15] = 80, 83  # these agree
    frames[0, 8:11, 15:25], frames[2, 8:11, 15:25] = 20, 200  # these do not
    frames[1, 7], frames[1, 11] = 100, 140
    healed = heal_dropouts(frames, marks)
    assert (healed[1, 8:11, 5:15] == 82).all()
    assert np.array_equal(healed[1, 8:11, 15], [110, 120, 130])
    assert np.array_equal(healed[marks == 0], frames[marks == 0])


def test_the_stage_gives_the_same_frames_whatever_the_batches():
    """Streaks in two frames nearly meet, so each is healed by what was found in the other."""
    step, tape = stage("repair.heal_dropouts")(), clean("table")
    luma = tape.planes[0].copy()
    for t in (2, 3, 6, 7, 10, 11):
        left = (40, 130)[t % 2]
        luma[t, 100:103, left : left + 88] = 16
    tape = tape.replace(planes=(luma, *tape.planes[1:]))
    whole = step(tape)
    assert all((whole.planes[0][t, 100:103] != luma[t, 100:103]).sum() > 200 for t in (2, 3, 6, 7, 10, 11))
    for size in (1, 3, 5):
        parts = iter([tape[i : i + size] for i in range(0, len(tape), size)])
        again = Batch.join(list(step.stage.apply(parts, tape.format, step.knobs, Context())))
        assert all(np.array_equal(a, b) for a, b in zip(again.planes, whole.planes, strict=True))


def test_chroma_of_420_is_healed_on_all_lines_that_the_deinterlacer_spoilt():
    fmt = clean("table").format.replace(subsampling=(1, 1))
    truth = convert(clean("table"), fmt)
    tape = stage("deinterlace.bwdif")()(Tape.only(dropouts=12000.0, seed=2).record(truth).tape)
    healed = stage("repair.heal_dropouts")()(tape)
    before, after = (psnr(truth.planes[1][1:-1], b.planes[1][1:-1]) for b in (tape, healed))
    assert after > before + 5


@pytest.mark.parametrize("layout", [(1, 1), (1, 0), (2, 0), (0, 0), None])
def test_every_layout_is_healed(layout):
    fmt = Tape().format().replace(width=121, height=62, subsampling=layout, field_order="progressive", bits=10)
    planes = tuple(np.full((5, *shape), 400, np.uint16) for shape in fmt.plane_shapes)
    planes[0][2, 30:32, 20:90] = 900
    for plane in planes[1:]:
        sx, sy = layout
        plane[2, 30 >> sy : (31 >> sy) + 1, 20 >> sx : (89 >> sx) + 1] = 512
    batch = Batch(planes, np.arange(5), np.ones(5, np.int64), toolkit.clip.Fraction(1, 50), fmt)
    for plane in stage("repair.heal_dropouts")()(batch).planes:
        assert (plane == 400).all()


# The place of the colour


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("delay", [300.0, -500.0])
def test_moving_chroma_back_undoes_its_delay(scene, delay):
    samples = delay / 1000 * 13.5 * SIZE[0] / 720
    for name in ("lanczos3", "bicubic"):
        step = stage("repair.chroma_shift")(right=-samples, filter=name)
        assert gain(step, scene, 1, chroma_delay=delay) > 5 and gain(step, scene, 2, chroma_delay=delay) > 5
        assert gain(step, scene, 0, chroma_delay=delay) == 0 or np.isnan(gain(step, scene, 0, chroma_delay=delay))


@pytest.mark.parametrize("scene", SCENES)
def test_the_delay_of_chroma_is_measured(scene):
    """To a sample and a half, the part that lies in the picture itself included; moving back by it helps."""
    for delay in (300.0, -500.0):
        tape = spoilt(scene, chroma_delay=delay)
        found = measure_chroma_shift(*tape.planes, subsampling="422")
        assert found.certain and abs(found.right - delay / 1000 * 13.5 * SIZE[0] / 720) < 1.5, found
        assert abs(found.down) < 1.5
        assert gain(stage("repair.chroma_shift")(right=-found.right), scene, 1, chroma_delay=delay) > 2


@pytest.mark.parametrize("subsampling, siting", [("444", "left"), ("422", "left"), ("420", "left"), ("420", "center"),
                                                 ("420", "topleft"), ("411", "left")])  # fmt: skip
def test_every_layout_and_siting_is_measured_at_its_place(subsampling, siting):
    """Discs whose colour is drawn at an exact place in each layout."""
    sx, sy = {"444": (0, 0), "422": (1, 0), "420": (1, 1), "411": (2, 0)}[subsampling]
    px = ((1 << sx) - 1) / 2 if siting == "center" else 0.0
    py = 0.0 if siting == "topleft" else ((1 << sy) - 1) / 2

    def discs(x, y, inner, outer):
        out = np.full(np.broadcast_shapes(x.shape, y.shape), outer, float)
        for cx, cy, r in ((60, 50, 22), (150, 60, 30), (100, 120, 25), (200, 130, 20)):
            out += (inner - outer) / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / 1.5))
        return out

    y, x = np.arange(180)[:, None], np.arange(256)[None, :]
    luma = discs(x, y, 170, 80)
    v, u = np.arange(180 >> sy)[:, None], np.arange(256 >> sx)[None, :]
    right, down = 2.6, -1.4
    chroma = discs((u << sx) + px - right, (v << sy) + py - down, 90, 140)
    found = measure_chroma_shift(luma[None], chroma[None], subsampling=subsampling, siting=siting)
    assert abs(found.right - right) < 0.15 and abs(found.down - down) < 0.15 and found.certain, found


def test_pictures_without_coloured_edges_are_uncertain():
    rng = np.random.default_rng(1)
    luma = clean("table").planes[0][:2]
    noise = [128 + 5 * rng.standard_normal((2, 240, 180)) for _ in range(2)]
    assert not measure_chroma_shift(luma, *noise, subsampling="422").certain
    flat = measure_chroma_shift(luma, np.full((2, 240, 180), 128, np.uint8), subsampling="422")
    assert flat.confidence == 0 and flat.right == 0
    with pytest.raises(ValueError, match="expected .2, 120, 180. for 420"):
        measure_chroma_shift(luma, *noise)


# Levels


def test_levels_undo_a_faded_tape():
    """Black raised, white lowered, the middle darkened, colour halved; put right within rounding."""
    for scene in ("garage", "bikes.mp4"):
        truth = clean(scene)
        y = np.maximum((truth.planes[0] - 16.0) / 219, 0)
        spoilt_planes = [26 + (205 - 26) * y**1.25, *(128 + 0.5 * (p - 128.0) for p in truth.planes[1:])]
        tape = truth.replace(planes=tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in spoilt_planes))
        fixed = stage("repair.levels")(black=10, white=-30, gamma=1.25, saturation=2)(tape)
        for before, after, want in zip(tape.planes, fixed.planes, truth.planes, strict=True):
            visible = want >= 16
            assert psnr(want[visible], after[visible]) > 45 and psnr(want, after) > psnr(want, before) + 3


@pytest.mark.parametrize("shape", [(20, 200, 301), (3, 5, 7)])
def test_levels_of_many_bytes_are_the_definition(shape):
    """Large clips are cut in pieces for all threads, which end within frames; small ones are done by one."""
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for knobs in ({"black": -4.0, "white": 10.0, "gamma": 1.3}, {"saturation": 1.7, "plane": "chroma"}):
        want = levels.definition(frames, **knobs)
        assert np.array_equal(levels(frames, **knobs), want)
        assert np.array_equal(levels(frames, window=(1, len(frames) - 1), **knobs), want[1:-1])


@pytest.mark.parametrize("span", ["limited", "full"])
def test_levels_map_the_chosen_points_onto_the_nominal_ones(span):
    low, high = (16, 235) if span == "limited" else (0, 255)
    ramp = np.arange(1024, dtype=np.uint16).reshape(1, 1, -1)
    out = levels(ramp, black=8, white=-20, gamma=1.6, range=span, bits=10)[0, 0]
    assert out[4 * (low + 8)] == 4 * low and out[4 * (high - 20)] == 4 * high
    assert (np.diff(out.astype(int)) >= 0).all() and np.array_equal(levels(ramp, range=span, bits=10), ramp)
    grey = levels(ramp, saturation=0.0, plane="chroma", bits=10)
    assert (grey == 512).all()


# The foot of the picture


@pytest.mark.parametrize("scene", ["table", "rocket", "bigbuckbunny.mp4", "bikes.mp4"])
def test_covering_the_torn_foot_raises_psnr(scene):
    """Not in the garage: its smooth, dark floor loses less by being skewed than by being covered."""
    torn = {"head_switch_lines": 5, "head_switch_skew": 2.5}
    step = stage("repair.head_switching")(lines=10)
    assert gain(step, scene, 0, **torn) > 0.4
    before, after = spoilt(scene, **torn), step(spoilt(scene, **torn))
    for a, b in zip(before.planes, after.planes, strict=True):
        assert np.array_equal(a[:, :-10], b[:, :-10])
        lines = b[:, -11:].astype(float)  # the last good one, and those that take the place of the torn ones
        detail = [np.abs(np.diff(line)).mean() for line in lines.swapaxes(0, 1)]
        assert all(later < sooner for sooner, later in zip(detail, detail[1:], strict=False)), "it draws streaks"
        assert np.abs(lines - lines[:, :1]).mean(axis=(0, 2)).max() < 20 and np.ptp(lines.mean(2), axis=1).max() < 1


def test_softened_lines_tell_more_about_those_below_than_the_repeated_one_does():
    from skimage import data

    soft, plain = [], []
    for picture in (data.coffee(), data.astronaut(), data.chelsea(), data.rocket(), data.camera()):
        grey = np.ascontiguousarray(picture if picture.ndim == 2 else picture[..., 0])[None]
        for good in range(41, grey.shape[1] - 16, 23):
            made = head_switching(grey[:, : good + 12], lines=12)[0, good:].astype(float)
            truth = grey[0, good : good + 12].astype(float)
            soft.append(((made - truth) ** 2).mean())
            plain.append(((grey[0, good - 1] - truth) ** 2).mean())
    assert 10 * np.log10(np.mean(plain) / np.mean(soft)) > 0.9


def test_half_the_chroma_lines_are_covered_where_there_are_half_as_many():
    fmt = Tape().format(subsampling=(1, 1)).replace(width=8, height=20, field_order="progressive")
    planes = tuple(np.arange(h, dtype=np.uint8)[None, :, None].repeat(w, 2) for h, w in fmt.plane_shapes)
    batch = Batch(planes, np.arange(1), np.ones(1, np.int64), toolkit.clip.Fraction(1, 50), fmt)
    luma, *chroma = (p[0, :, 0].tolist() for p in stage("repair.head_switching")(lines=5)(batch).planes)
    assert luma == [*range(15), *[14] * 5] and all(c == [*range(7), *[6] * 3] for c in chroma)


# As steps of a run


def test_the_command_line_takes_several_repairs_joined_by_plus():
    steps = changed(preset("vhs").pipeline, repair="heal_dropouts:threshold=30+levels:gamma=1.1,black=4")
    names = [s.name for s in steps]
    repairs = ["repair.heal_dropouts", "repair.levels"]
    assert names == ["deinterlace.bwdif", *repairs, "denoise.temporal", "upscale.lanczos"]
    assert steps[1].knobs["threshold"] == 30 and steps[2].knobs["black"] == 4
    words = spoken(steps)
    options = {word[2:]: text for word, text in zip(words[::2], words[1::2], strict=True)}
    assert changed(preset("vhs-fast").pipeline, **options) == steps
    assert all(s.stage.group != "repair" for s in changed(steps, repair="none"))
    with pytest.raises(UnknownName, match="did you mean .*heal_dropouts"):
        changed(steps, repair="levels+heal_dropout")
    with pytest.raises(KnobError, match="gamma"):
        changed(steps, repair="levels:gamma=0")


def test_a_plus_joins_repairs_only_and_may_stand_in_the_name_of_a_file():
    steps = preset("vhs").pipeline
    for wanted in ("net:model=a+b.pth,scale=2", "a+b.pth:scale=2"):
        net = changed(steps, upscale=wanted)[-1]
        assert (net.name, net.knobs["model"], net.knobs["scale"]) == ("upscale.net", "a+b.pth", 2)
    assert changed(steps, denoise="temporal:gate=1e+1") == changed(steps, denoise="temporal:gate=10")
    with pytest.raises(KnobError, match="only repair takes several"):
        changed(steps, deinterlace="bwdif+yadif")


def test_repairs_run_on_a_real_tape_from_the_command_line(tmp_path):
    out = tmp_path / "o.mkv"
    words = ["--preset", "vhs-fast", "--repair", "heal_dropouts+chroma_shift:right=-2,down=1+levels:saturation=0"]
    assert main(["restore", str(m.made("huffyuv.avi")), str(out), *words, "--frames", ":6", "--codec", "ffv1"]) == 0
    done = Batch.join(list(Clip.open(out).batches()))
    assert len(done) == 6 and all(np.abs(p.astype(int) - 128).max() <= 1 for p in done.planes[1:])


def test_interlaced_frames_are_refused_where_lines_are_compared():
    tape = Tape.only().record(clean("table")).tape
    for step in (stage("repair.heal_dropouts")(), stage("repair.chroma_shift")(down=1)):
        with pytest.raises(toolkit.errors.PictureError, match="interlaced"):
            Pipeline([step])(tape)
    Pipeline([stage("repair.chroma_shift")(right=1), stage("repair.levels")(black=2)])(tape)
