"""Ranking without a truth: the score does not see what it must not see, and finds what is best on made tapes."""

from __future__ import annotations

import numpy as np
import pytest

from tests import _sweep as s
from toolkit import tape
from toolkit.clip import Batch
from toolkit.compare import blind, sample
from toolkit.compare.half_height import half_height
from toolkit.compare.noise_like import noise_covariance, noise_like
from toolkit.errors import PictureError
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace, denoise
from toolkit.sweep import sweep

HALO = (10, 4)


def taken(**faults):
    made, truth = s.made(**faults)
    some = sample(made, bursts=1, length=6, halo=HALO)
    return some, some.beside(truth)


def psnr(some, clean, pipeline) -> float:
    pairs = zip(clean.bursts, some.through(pipeline).bursts, strict=True)
    return -10 * np.log10(np.mean([np.mean((t.own.planes[0] - r.own.planes[0].astype(float)) ** 2) for t, r in pairs]))


def test_the_hidden_lines_never_reach_the_pipeline(monkeypatch):
    """Other noise in hidden lines changes nothing that the pipeline is given there."""
    some, _ = taken()
    given = []
    monkeypatch.setattr(blind, "_run", lambda batch, pipeline, device: given.append(batch) or whole(batch))

    def whole(batch):
        return batch

    pipeline = Pipeline([deinterlace.bwdif(rate="frame")])
    blind.denoise(some, pipeline)
    first, fmt = given[0].planes[0], some.format
    luma = some.bursts[0].frames.planes[0]
    hidden = blind._mask(luma.shape, fmt)
    assert abs(hidden.mean() - 1 / blind.EVERY) < 0.01
    assert np.array_equal(first[~hidden], luma[~hidden])
    spoilt = np.where(hidden[:, :, None], 255 - luma, luma)
    filled = blind._filled(spoilt, hidden, fmt)
    assert np.array_equal(filled, first)


def test_the_dropped_lines_never_reach_the_pipeline(monkeypatch):
    """It is given every other line of each picture, and judged on the others."""
    some, _ = taken()
    burst, given = some.bursts[0], []
    monkeypatch.setattr(blind, "_run", lambda batch, pipeline, device: given.append(batch) or doubled(batch))

    def doubled(batch):
        """Results that are right on the lines that were given, and 100 everywhere else."""
        if len(batch.planes) == 3:  # hidden and added
            return batch
        made = np.repeat(batch.planes[0], 2, axis=0)
        made[0::2, 1::2] = made[1::2, 0::2] = 100
        times = np.arange(len(made))
        return batch.replace(planes=(made,), pts=times, durations=times * 0 + 1)

    found = blind.errors("all", some, Pipeline([deinterlace.bwdif(rate="frame"), denoise.temporal()]))["halved"]
    luma = burst.frames.planes[0]
    covariance = noise_covariance(luma, True)
    halves = [half_height(luma, parity, covariance, 0.5, 255, seed=parity) for parity in (0, 1)]
    assert len(found) == 2 * (burst.stop - burst.first)
    for half, batch in zip(halves, given[-2:], strict=True):
        frames = batch.planes[0]
        assert np.array_equal(frames[:, 0::2], half.shown[0::2, 0::2])
        assert np.array_equal(frames[:, 1::2], half.shown[1::2, 1::2])
        assert batch.format.interlaced and batch.format.height == some.format.height // 2
    n, rim = burst.first, np.s_[4:-4, 8:-8]  # as `blind` leaves it out
    target, noise = halves[0].target[n][rim], halves[0].noise[n][rim]
    want = (target - 100) ** 2 - noise**2
    assert found[0] == pytest.approx(want[1 - n % 2 :: 2].mean(), rel=1e-3)


def test_the_smaller_tape_has_the_noise_of_the_tape_and_its_target_other_noise():
    """Nothing that a kept line knows of a dropped one by their noise, although both were smoothed together."""
    rng = np.random.default_rng(1)
    along = np.array([0.25, 0.5, 0.25])
    white = rng.normal(0, 12, (12, 240, 500))
    noise = sum(w * white[:, :, k : k + 480] for k, w in enumerate(along))
    tape_power = 144 * (along**2).sum()
    covariance = np.pad(144 * np.convolve(along, along)[2:], (0, 30))
    half = half_height(np.rint(128 + noise).astype(np.uint8), 0, covariance, 0.5, 255, seed=3)
    shown, target = half.shown - 128.0, half.target - 128.0
    assert half.shown.shape == (12, 120, 480) and half.shown.dtype == np.uint8

    def shared(a, b, lines):
        return np.mean(a[:, : 120 - lines] * b[:, lines:]) / tape_power

    assert shared(shown, shown, 0) == pytest.approx(1.25, abs=0.06)
    assert [shared(shown, shown, k) for k in (1, 2, 3)] == pytest.approx([0, 0, 0], abs=0.05)
    assert [shared(shown, target, k) for k in (0, 1, 2)] == pytest.approx([0, 0, 0], abs=0.05)
    # The mean of three lines as it is has 6/16 of the noise and shares 4/16 with the next line.
    smooth = target + half.noise
    assert [shared(smooth, smooth, k) for k in (0, 1)] == pytest.approx([0.375, 0.25], abs=0.03)


def test_what_all_settings_have_in_common_does_not_weigh():
    """A constant in one way's errors, such as the noise of its target, leaves the order as it is."""
    gentle = {"hidden": [40.0], "added": [9.0], "halved": [20.0]}
    strong = {"hidden": [48.0], "added": [7.0], "halved": [20.0]}
    for way in gentle:
        for noise in (0.0, 16.0, 400.0):
            pair = ({**e, way: [e[way][0] + noise]} for e in (gentle, strong))
            better, worse = (blind.score("all", e, 8) for e in pair)
            assert better > worse
    assert blind.score("deinterlace", {"halved": [65.025]}, 8) == pytest.approx(30)
    with pytest.raises(PictureError, match="too short"):
        blind.score("all", {**gentle, "halved": []}, 8)


def test_a_deinterlacer_that_takes_motion_for_detail_is_not_chosen():
    """Fields taken for pictures as they are flatter it: their lines are so unlike that only other times help."""
    recorder, scene = tape.Tape("ntsc", seed=302, luma_noise=6.0), tape.demo(frames=12, seed=302)
    pieces = list(recorder.stream(scene.batches(size=8)))
    made, truth = ([s.cropped(b, 180, 120, 360, 240) for b in batches]
                   for batches in ([p.tape for p in pieces], [p.truth for p in pieces]))  # fmt: skip
    some = sample(made, bursts=1, length=4, halo=(4, 4))
    pipelines = [Pipeline([step, denoise.temporal(gate=20.0, radius=1)])
                 for step in (deinterlace.bob(), deinterlace.bwdif(), deinterlace.yadif())]  # fmt: skip
    true = [psnr(some, some.beside(truth), p) for p in pipelines]
    scores = [blind.both(some, p) for p in pipelines]
    assert np.argmin(true) == np.argmin(scores) == 2
    assert max(true) - true[int(np.argmax(scores))] < 0.1


def test_noise_is_measured_and_made_as_on_the_tape():
    recorder, scene = tape.Tape.only(luma_noise=5.0, luma_noise_length=150.0), tape.demo(frames=6)
    pieces = list(recorder.stream(scene.batches(size=12)))
    clean = tape.Tape.only().record(pieces[0].truth).tape
    real = pieces[0].tape.planes[0].astype(float) - clean.planes[0]
    want = [np.mean(real[:, :, : 720 - k] * real[:, :, k:]) for k in (0, 1, 2, 4)]
    found = noise_covariance(pieces[0].tape.planes[0], True)[[0, 1, 2, 4]]
    assert found == pytest.approx(want, rel=0.2, abs=1.5)
    covariance = noise_covariance(pieces[0].tape.planes[0], True)
    made = noise_like((4, 64, 4096), covariance, seed=1).astype(float)
    again = [np.mean(made[:, :, : 4096 - k] * made[:, :, k:]) for k in (0, 1, 2, 4)]
    assert again == pytest.approx(list(found), rel=0.03, abs=0.1)
    assert abs(np.mean(made[:, :-1] * made[:, 1:])) < 0.05 * found[0]  # fresh on each line
    assert not np.array_equal(made, noise_like((4, 64, 4096), covariance, seed=2))
    assert (noise_like((1, 8, 40), np.zeros(33), seed=1) == 0).all()


def test_the_added_noise_is_not_in_what_the_result_is_held_against(monkeypatch):
    """The louder tape and the target are independent: a pipeline that changes nothing scores as its noise is."""
    recorder, scene = tape.Tape.only(luma_noise=6.0), tape.demo(frames=8)
    made = list(recorder.stream(scene.batches(size=16)))
    some = sample([r.tape for r in made], bursts=1, length=8, halo=(0, 0))
    error = np.mean(list(blind._added_noise(some, Pipeline([deinterlace.bwdif()]), "cpu")))
    # Own lines pass unchanged: the tape's noise and a half of it more, 1.25 times its square; and the target's own.
    assert error == pytest.approx(36 * 1.25 + 36, rel=0.15)


def test_too_strong_and_too_weak_lose_against_what_is_right():
    some, clean = taken(luma_noise=8.0)
    settings = [Pipeline([deinterlace.bwdif(), denoise.hqdn3d(spatial=x, temporal=y)])
                for x, y in ((0, 0), (4, 6), (60, 60))]  # fmt: skip
    scores = [blind.denoise(some, p) for p in settings]
    true = [psnr(some, clean, p) for p in settings]
    assert np.argsort(scores).tolist() == np.argsort(true).tolist() and np.argmax(scores) == 1


def test_on_a_still_scene_the_deinterlacer_that_keeps_still_lines_wins():
    clean = next(tape.demo(frames=2).batches(size=1))
    still = clean.replace(
        planes=tuple(np.repeat(p, 32, axis=0) for p in clean.planes), pts=np.arange(32), durations=np.ones(32, int)
    )
    made = [s.cropped(r.tape) for r in tape.Tape.only(luma_noise=2.0).stream([still])]
    some = sample(made, bursts=1, length=6, halo=(4, 4))
    scores = {d.name: blind.deinterlace(some, Pipeline([d])) for d in (deinterlace.bob(), deinterlace.bwdif())}
    assert scores["deinterlace.bwdif"] > scores["deinterlace.bob"] + 1


def test_progressive_frames_are_ranked_too_and_nonsense_is_refused():
    _, truth = s.made()
    noisy = [b.replace(planes=(noise(b.planes[0]), *b.planes[1:])) for b in truth]
    some = sample(noisy, bursts=1, length=6, halo=HALO)
    assert not some.format.interlaced
    scores = [blind.denoise(some, Pipeline([denoise.nlmeans(strength=x, search=3)])) for x in (0.1, 6)]
    assert scores[1] > scores[0] + 0.3
    with pytest.raises(PictureError, match="no deinterlacer to judge"):
        blind.deinterlace(some, Pipeline([denoise.nlmeans()]))


def noise(plane):
    drawn = np.random.default_rng(3).normal(0, 8, plane.shape)
    return np.clip(plane + drawn, 0, 255).astype(np.uint8)


def test_a_sweep_without_a_truth_is_ranked_by_what_varies(tmp_path):
    made, _ = s.made()
    for n, (space, column) in enumerate((
        ({"denoise.gate": [4.0, 40.0]}, "blind_denoise"),
        ({"deinterlace": ["bob", "bwdif"]}, "blind_deinterlace"),
        ({"deinterlace": ["bob", "bwdif"], "denoise.gate": [4.0]}, "blind_deinterlace"),
        ({"deinterlace": ["bob", "bwdif"], "denoise.gate": [4.0, 40.0]}, "blind_all"),
    )):  # fmt: skip
        found = sweep(made, s.PIPELINE, space, bursts=1, length=6, folder=tmp_path / str(n))
        assert found.metric() == column and [c for c in found.table if c.startswith("blind")] == [column]
        assert np.isfinite(found.table[column]).all() and "psnr_Y" not in found.table
        row = 1
        score = blind.SCORES[column.removeprefix("blind_")](found.sample, found.trials[row].pipeline, "cpu")
        assert found.table[column][row] == score


def test_batches_are_not_changed():
    some, _ = taken()
    before = [p.copy() for p in some.bursts[0].frames.planes]
    blind.both(some, Pipeline([deinterlace.bwdif(), denoise.temporal()]))
    assert all(np.array_equal(a, b) for a, b in zip(before, some.bursts[0].frames.planes, strict=True))
    assert isinstance(some.bursts[0].frames, Batch)
