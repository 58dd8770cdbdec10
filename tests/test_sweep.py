"""Sweeps: the right settings, the right numbers, nothing lost and nothing done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import _sweep as s
from toolkit.compare import compare, sample
from toolkit.errors import (
    InputMissing,
    InputUnreadable,
    KnobError,
    OutputRefused,
    PictureError,
    RequestError,
    ToolkitWarning,
    UnknownName,
)
from toolkit.pipeline import Pipeline
from toolkit.presets import Preset, load
from toolkit.stages import deinterlace, denoise
from toolkit.sweep import Span, local_executor, open_sweep, run, sweep, trials
from toolkit.sweep.store import Store, read_rows

PIPELINE = s.PIPELINE
SPACE = {"deinterlace": ["bwdif", "bob"], "denoise.gate": [4.0, 12.0, 40.0]}
FAST = {"bursts": 2, "length": 3, "metrics": ("psnr", "ssim")}


def swept(folder, space=SPACE, **more):
    tape, truth = s.made()
    return sweep(tape, PIPELINE, space, truth=truth, folder=folder, **{**FAST, **more})


# The settings


def test_a_grid_is_every_combination_once():
    found = trials(PIPELINE, SPACE)
    assert len(found) == 6 == len({t.pipeline for t in found})
    assert found[3].knobs == (("deinterlace", "bob"), ("denoise.gate", 4.0))
    assert found[3].pipeline == Pipeline([deinterlace.bob(), denoise.temporal(gate=4.0)])


def test_a_knob_that_does_not_apply_is_left_out_and_its_trials_are_not_repeated():
    space = {"denoise": ["temporal", "hqdn3d", "none"], "denoise.gate": [4, 12], "denoise.hqdn3d.spatial": [2, 3, 4]}
    found = trials(PIPELINE, space)
    names = [tuple(s.name for s in t.pipeline[1:]) for t in found]
    assert names.count(("denoise.temporal",)) == 2 and names.count(("denoise.hqdn3d",)) == 3 and names.count(()) == 1
    assert dict(found[0].knobs).keys() == {"denoise", "denoise.gate"}


def test_spans_are_even_in_a_grid_and_within_at_random():
    grid = [t.pipeline[1].knobs["gate"] for t in trials(PIPELINE, {"denoise.gate": Span(4, 12, count=3)})]
    assert grid == [4, 8, 12]
    whole = [t.pipeline[1].knobs["radius"] for t in trials(PIPELINE, {"denoise.radius": Span(1, 3, count=9)})]
    assert whole == [1, 2, 3]
    space = {"denoise.gate": Span(4, 12), "deinterlace": ["bob", "bwdif"]}
    drawn = trials(PIPELINE, space, how="random", count=30, seed=7)
    gates = np.array([t.pipeline[1].knobs["gate"] for t in drawn])
    assert len(drawn) == 30 and 4 <= gates.min() < 6 and 10 < gates.max() <= 12
    assert {t.pipeline[0].name for t in drawn} == {"deinterlace.bob", "deinterlace.bwdif"}
    assert drawn == trials(PIPELINE, space, how="random", count=30, seed=7)
    assert drawn != trials(PIPELINE, space, how="random", count=30, seed=8)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["denoise.gate", "denoise.radius", "denoise.chroma", "deinterlace.rate", "denoise"]),
        st.lists(st.sampled_from([1, 2, 3, 0.5, "field", "frame", "temporal", "nlmeans", "none", True]), max_size=3),
        max_size=3,
    )
)
def test_any_space_is_a_list_of_pipelines_or_one_clear_refusal(space):
    try:
        found = trials(PIPELINE, space)
    except (UnknownName, KnobError, RequestError) as error:
        assert "; expected " in str(error)
    else:
        assert len({t.pipeline for t in found}) == len(found) >= 1
        for t in found:
            assert Pipeline.from_dict(json.loads(json.dumps(t.pipeline.to_dict()))) == t.pipeline


@pytest.mark.parametrize(
    "space, error, words",
    [
        ({"denoise.gat": [1]}, UnknownName, "knob of denoise.temporal named 'gat'.*did you mean gate"),
        ({"denois.gate": [1]}, UnknownName, "group of stages named 'denois'.*did you mean denoise"),
        ({"denoise": ["nlmean"]}, UnknownName, "named 'denoise.nlmean'.*did you mean denoise.nlmeans"),
        ({"denoise.gate": [1000.0]}, KnobError, "gate is 1000.*expected 0 to 128"),
        ({"denoise.gate": 5}, RequestError, "denoise.gate is 5.*list of values"),
        ({"upscale.scale": [2]}, RequestError, "no upscale step"),
        ({"deinterlace.rate": Span(0, 1)}, KnobError, "list of values such as 'field'"),
        ({}, RequestError, "sweep of nothing"),
    ],
)
def test_wrong_spaces_are_refused_in_one_sentence(space, error, words):
    with pytest.raises(error, match=words):
        trials(PIPELINE, space)


def test_a_huge_grid_is_counted_and_refused_before_it_is_built():
    space = {"denoise.gate": list(np.linspace(1, 128, 1000)), "denoise.chroma": list(np.linspace(0, 4, 1000))}
    with pytest.raises(RequestError, match=r"1,000,000 trials.*at most 10,000.*limit=1000000"):
        trials(PIPELINE, space)
    assert len(trials(PIPELINE, {"denoise.gate": [4, 5, 6]}, limit=3)) == 3
    with pytest.raises(RequestError, match="4 trials"):
        trials(PIPELINE, {"denoise.gate": [4, 5, 6, 7]}, limit=3)


# The numbers


def test_each_row_is_what_compare_says_of_that_pipeline(tmp_path):
    tape, truth = s.made()
    found = swept(tmp_path)
    some = sample(tape, bursts=2, length=3)
    clean = some.beside(truth)
    for row in (1, 5):
        result = found.trials[row].pipeline
        errors, plain = [], some.through(result)
        for t, r in zip(clean.bursts, plain.bursts, strict=True):
            errors.append(compare(t.own, r.own, align="times").table)
        luma = pd.concat(errors).query("plane == 'Y'")
        mse = (255**2 / 10 ** (luma.psnr / 10)).mean()
        assert found.table["psnr_Y"][row] == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-9)
        assert found.table["ssim_Y"][row] == pytest.approx(luma.ssim.mean(), abs=1e-9)
    assert (found.table["paired"] == 12).all() and (found.table["frames"] == 12).all()
    assert found.table["error"].isna().all() and (found.table["seconds"] > 0).all()


def test_the_winner_is_a_preset_and_the_front_has_no_beaten_setting(tmp_path):
    found = swept(tmp_path)
    table = found.table
    assert found.best("psnr_Y") == found.trials[table["psnr_Y"].idxmax()].pipeline
    assert found.best("noise") == found.trials[table["noise"].idxmin()].pipeline
    made = found.to_preset("mine", folder=tmp_path)
    assert made.pipeline == found.best() == load(tmp_path / "mine.yaml").pipeline
    assert (made.audio, made.write) == ("keep", {})
    heard = found.to_preset("heard", folder=tmp_path, like=Preset("x", "X.", found.best(), "voice", {"crf": 20}))
    assert heard == load(tmp_path / "heard.yaml") and (heard.audio, heard.write) == ("voice", {"crf": 20})
    with pytest.raises(OutputRefused, match="mine.yaml exists"):
        found.to_preset("mine", folder=tmp_path)
    front = found.front("psnr_Y", "fps")
    for _, row in front.iterrows():
        assert not ((table["psnr_Y"] > row["psnr_Y"]) & (table["fps"] > row["fps"])).any()
    assert table["psnr_Y"].idxmax() in front.index and table["fps"].idxmax() in front.index
    assert found.pareto() is not None
    with pytest.raises(UnknownName, match="did you mean psnr_Y"):
        found.best("psnr_y")


def test_shared_first_steps_are_done_once(tmp_path, monkeypatch):
    from toolkit.stages.base import KernelStage

    seen = []
    apply = KernelStage.apply

    def counted(self, batches, fmt, knobs, context):
        seen.append(self.name)
        return apply(self, batches, fmt, knobs, context)

    monkeypatch.setattr(KernelStage, "apply", counted)
    tape, truth = s.made()
    gates = {"denoise.gate": [4.0, 8.0, 12.0, 16.0]}
    sweep(tape, PIPELINE, gates, truth=truth, folder=tmp_path, **FAST)
    assert seen.count("denoise.temporal") == 4 * 2  # once for each burst
    assert seen.count("deinterlace.bwdif") == 2


def test_a_failing_trial_says_why_and_the_others_go_on(tmp_path, monkeypatch):
    from toolkit.sweep import trial

    through = trial._through

    def fails_at_12(task, some, pipeline, number):
        if pipeline[1].knobs["gate"] == 12.0:
            raise PictureError("this one cannot be done")
        return through(task, some, pipeline, number)

    monkeypatch.setattr(trial, "_through", fails_at_12)
    found = swept(tmp_path, {"denoise.gate": [4.0, 12.0, 40.0]})
    assert found.table["error"].notna().tolist() == [False, True, False]
    assert "this one cannot be done" in found.table["error"][1] and "this one" in str(found)
    assert np.isfinite(found.table["psnr_Y"][[0, 2]]).all()
    monkeypatch.setattr(trial, "_through", through)
    assert swept(tmp_path, {"denoise.gate": [4.0, 12.0, 40.0]}).computed == 1


def test_a_pipeline_that_cannot_work_is_refused_before_any_work(tmp_path):
    with pytest.raises(PictureError, match="interlaced frames"):
        swept(tmp_path, {"deinterlace": ["none", "bwdif"]})
    assert not list(tmp_path.iterdir())


# Kept, reused, resumed


def test_rows_are_reused_and_a_wider_grid_computes_only_what_is_new(tmp_path):
    told = []
    first = swept(tmp_path, on_result=told.append)
    assert first.computed == 6 and len(told) == 6 and told[0]["denoise.gate"] in (4.0, 12.0, 40.0)
    again = swept(tmp_path)
    assert again.computed == 0
    columns = [c for c in first.table if c not in ("peak_mib",)]
    pd.testing.assert_frame_equal(first.table[columns], again.table[columns], check_dtype=False)
    wider = swept(tmp_path, {**SPACE, "denoise.gate": [4.0, 12.0, 40.0, 80.0]})
    assert wider.computed == 2 and len(wider) == 8
    opened = open_sweep(tmp_path)
    assert len(opened) == 8 and opened.best("psnr_Y") == wider.best("psnr_Y")
    assert {"deinterlace", "denoise.temporal.gate"} <= set(opened.table.columns)
    assert str(opened).count("\n") >= 9


def test_blind_scores_of_an_earlier_edition_stand_beside_no_newer_ones(tmp_path, monkeypatch):
    tape, _ = s.made()

    def scored(*gates):
        return sweep(tape, PIPELINE, {"denoise.gate": list(gates)}, folder=tmp_path, bursts=1, length=4, metrics=())

    monkeypatch.setattr(run, "EDITION", 1)
    scored(4.0, 12.0)
    monkeypatch.undo()
    assert open_sweep(tmp_path).table["blind_denoise"].notna().sum() == 2  # no newer ones: they are shown
    newer = scored(12.0, 40.0)
    assert newer.computed == 2
    assert set(open_sweep(tmp_path).table["key"]) == set(newer.table["key"])


def test_other_frames_do_not_go_into_the_same_folder(tmp_path):
    swept(tmp_path, {"denoise.gate": [4.0]})
    with pytest.raises(OutputRefused, match="holds a sweep of other frames"):
        swept(tmp_path, {"denoise.gate": [4.0]}, length=2)
    with pytest.raises(InputMissing, match="holds no sweep"):
        open_sweep(tmp_path / "nothing")
    (folder,) = {path.parent for path in tmp_path.rglob("run.json")}
    (folder / "run.json").write_text("{")
    for again in (lambda: open_sweep(folder), lambda: swept(tmp_path, {"denoise.gate": [4.0]})):
        with pytest.raises(InputUnreadable, match="run.json is damaged.*its rows are kept"):
            again()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[::-1]])
def test_a_damaged_file_of_rows_costs_its_rows_alone(tmp_path, damage):
    swept(tmp_path, {"denoise.gate": [4.0]})
    (first,) = tmp_path.rglob("*.parquet")
    second = swept(tmp_path, {"denoise.gate": [12.0]})
    broken = damage(first.read_bytes())
    first.write_bytes(broken)
    with pytest.warns(ToolkitWarning, match=f"{first.name} cannot be read .*delete it, and the same sweep"):
        assert list(open_sweep(tmp_path).table["key"]) == list(second.table["key"])
    with pytest.warns(ToolkitWarning):
        again = swept(tmp_path, {"denoise.gate": [4.0, 12.0]})
    assert again.computed == 1 and len(again) == 2 and first.read_bytes() == broken


def test_two_writers_lose_no_row(tmp_path):
    one, two = Store(tmp_path), Store(tmp_path)
    for n in range(20):
        (one, two)[n % 2].add({"key": f"k{n}", "psnr_Y": float(n), "error": None})
        assert len(read_rows(tmp_path)) == n + 1
    assert not list(tmp_path.glob("*.part"))


PROGRAM = """
import sys
from tests import _sweep as s
from toolkit.sweep import sweep
tape, truth = s.made()
gates = [float(g) for g in sys.argv[2].split(",")]
sweep(tape, s.PIPELINE, {"denoise.gate": gates}, truth=truth, folder=sys.argv[1], bursts=2, length=3,
      metrics=("psnr", "ssim"), on_result=s.killed_after(int(sys.argv[3])))
"""


def start(folder, gates, killed_after=-1):
    words = [sys.executable, "-c", PROGRAM, str(folder), ",".join(map(str, gates)), str(killed_after)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_sweeps_at_once_in_one_folder_both_finish(tmp_path):
    both = [start(tmp_path, gates) for gates in ([4, 5, 6, 7, 8], [7, 8, 9, 10])]
    assert [p.wait(200) for p in both] == [0, 0]
    [p.stdout.close() for p in both]
    assert len(read_rows(tmp_path)) == 7
    found = swept(tmp_path, {"denoise.gate": [float(g) for g in range(4, 11)]})
    assert found.computed == 0 and len(found) == 7


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    gates = [float(g) for g in range(4, 64)]
    program = start(tmp_path, gates, killed_after=3)
    said = program.communicate(timeout=200)[0]
    assert program.returncode == -signal.SIGKILL and len(said.split()) == len(read_rows(tmp_path)) == 3
    found = swept(tmp_path, {"denoise.gate": gates[:5]})
    assert found.computed == 2


# Executors


def test_processes_give_the_same_table(tmp_path):
    tape, truth = s.files()
    here = sweep(tape, PIPELINE, SPACE, truth=truth, folder=tmp_path / "a", **FAST)
    with local_executor(2) as pool:
        there = sweep(tape, PIPELINE, SPACE, truth=truth, folder=tmp_path / "b", executor=pool, **FAST)
    measures = [c for c in here.table if c.startswith(("psnr", "ssim", "noise", "paired"))]
    pd.testing.assert_frame_equal(here.table[measures], there.table[measures])
    assert there.computed == 6


def test_threads_take_turns(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        assert len(swept(tmp_path, executor=pool)) == 6


def test_forked_processes_are_refused(tmp_path):
    with ProcessPoolExecutor(1, get_context("fork")) as pool, pytest.raises(RequestError, match="forks.*local_exec"):
        swept(tmp_path, executor=pool)
    assert not list(tmp_path.iterdir())
