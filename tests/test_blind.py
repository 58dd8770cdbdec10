"""Ranking without a truth: the score does not see what it must not see, and finds what is best on made tapes."""

from __future__ import annotations

import numpy as np
import pytest

from tests import _sweep as s
from toolkit import tape
from toolkit.clip import Batch
from toolkit.compare import blind, sample
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


def test_the_dropped_lines_never_reach_the_deinterlacer():
    some, _ = taken()
    pictures = some.bursts[0].frames.planes[0][:, 0::2]
    woven = blind._woven(pictures[: len(pictures) // 2 * 2], some.bursts[0].frames)
    frames = woven.planes[0]
    assert np.array_equal(frames[:, 0::2], pictures[0 : 2 * len(frames) : 2, 0::2])
    assert np.array_equal(frames[:, 1::2], pictures[1 : 2 * len(frames) : 2, 1::2])
    assert woven.format.interlaced and woven.format.height == some.format.height // 2


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
