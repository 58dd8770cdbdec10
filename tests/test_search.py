"""Searches: Optuna chooses, hopeless settings are given up early, and what is kept on disk is enough to go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import _sweep as s
from toolkit.cli import main
from toolkit.errors import KnobError, PictureError, RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.stages import denoise
from toolkit.sweep import Span, local_executor, open_sweep, sweep, trial, trials
from toolkit.sweep.parts import Part
from toolkit.sweep.search import choice_of, corners
from toolkit.sweep.space import axes_of
from toolkit.sweep.store import read_rows

optuna = pytest.importorskip("optuna", reason="needs the extra: pip install vhs-toolkit[search]")
FAST = {"bursts": 3, "length": 3, "metrics": ("psnr",)}
SPACE = {"denoise.gate": Span(1, 128)}
#: Gates this low leave the noise: on each burst they lose about a decibel.
HOPELESS = {"denoise.gate": [1, 2, 3, 4, 5, 6, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60]}


def searched(folder, space=SPACE, count=8, **more):
    tape, truth = s.made()
    return sweep(tape, s.PIPELINE, space, truth=truth, folder=folder, count=count,
                 **{"how": "optuna", **FAST, **more})  # fmt: skip


@pytest.fixture
def worked(monkeypatch):
    """Every burst that is worked on, as `(key, number)`."""
    seen, burst = [], trial._burst
    monkeypatch.setattr(trial, "_burst", lambda task, *rest: seen.append((task.key, rest[-1])) or burst(task, *rest))
    return seen


# What is chosen


def test_a_search_comes_near_the_best_of_a_fine_grid_with_a_fraction_of_its_trials(tmp_path):
    tape, truth = s.made()
    whole = {"denoise.gate": Span(1, 128, count=32)}
    best = sweep(tape, s.PIPELINE, whole, truth=truth, folder=tmp_path, **FAST).table["psnr_Y"]
    found = searched(tmp_path / "own", count=20).table["psnr_Y"]
    assert (best > best.max() - 0.02).mean() < 0.2  # or anything would do
    assert len(found) == 20 and found.max() > best.max() - 0.02


@pytest.mark.parametrize("goal, sign", [("noise", -1), ("psnr_Y", 1)])
def test_the_goal_decides_what_is_searched_for(tmp_path, monkeypatch, goal, sign):
    """Noise is to be little and PSNR much; here both depend on the gate alone, and are best at its end."""

    def burst(task, some, truth, pipeline, number):
        value = 200 + sign * pipeline[1].knobs["gate"]
        table = pd.DataFrame({"plane": ["Y"], "psnr": [value if sign > 0 else 200 - value / 10]})
        return Part(number, 3, 6, 0.1, 0.1, 1.0, (8, 8, 8), table, noise=(value,))

    monkeypatch.setattr(trial, "_burst", burst)
    found = searched(tmp_path, goal=goal, count=24, stop_early=True)
    gates = found.table["denoise.gate"]
    assert gates[16:].median() > 110 and dict(found.trials[gates.idxmax()].pipeline[1].settings)["gate"] > 120
    assert found.stopped.any() and gates[found.stopped].mean() < gates[~found.stopped].mean()
    assert found.best(goal) == found.trials[gates.idxmax()].pipeline


def test_the_same_seed_searches_the_same_settings(tmp_path):
    one, two, other = (searched(tmp_path / str(n), seed=seed, count=7) for n, seed in enumerate((3, 3, 4)))
    assert one.trials == two.trials != other.trials
    assert one.table["psnr_Y"].tolist() == two.table["psnr_Y"].tolist()


def test_knobs_of_stages_that_were_not_chosen_are_not_asked_for(tmp_path):
    space = {"denoise": ["temporal", denoise.hqdn3d(spatial=2), "none"], "denoise.gate": [4, 12, 40],
             "denoise.hqdn3d.temporal": Span(2, 10)}  # fmt: skip
    found = searched(tmp_path, space, count=12)
    kinds = {str(t.knobs[0][1]).partition("(")[0]: {k for k, _ in t.knobs[1:]} for t in found.trials}
    assert kinds["temporal"] == {"denoise.gate"} and kinds["denoise.hqdn3d"] == {"denoise.hqdn3d.temporal"}
    assert all(dict(t.pipeline[1].settings)["spatial"] == 2 for t in found.trials if t.knobs[0][1] == "denoise.hqdn3d")


def test_a_small_space_is_tried_once_each_and_the_search_ends(tmp_path, worked):
    found = searched(tmp_path, {"denoise.radius": [1, 2, 3], "deinterlace": ["bob", "bwdif"]}, count=40)
    assert len(found) == 6 == len({t.pipeline for t in found.trials})
    assert len(worked) == len(set(worked)) == 6 * 3


def test_steps_before_what_is_searched_are_done_once(tmp_path, monkeypatch):
    from toolkit.stages.base import KernelStage

    seen, apply = [], KernelStage.apply
    monkeypatch.setattr(
        KernelStage, "apply", lambda self, *rest: seen.append(self.name) or apply(self, *rest)
    )
    searched(tmp_path, count=5)
    assert seen.count("deinterlace.bwdif") == 3 and seen.count("denoise.temporal") == 5 * 3


# Given up early


def test_hopeless_settings_are_given_up_after_a_burst_and_never_win(tmp_path, worked):
    found = searched(tmp_path, HOPELESS, count=16, stop_early=True, seed=1)
    table = found.table
    stopped = table[found.stopped]
    assert 3 <= len(stopped) <= 12 and set(stopped["stopped_after"]) <= {1, 2}
    assert len(worked) == int(stopped["stopped_after"].sum()) + 3 * int((~found.stopped).sum()) < 3 * 16
    assert (stopped["denoise.gate"] <= 6).sum() >= 2
    assert not set(stopped.index) & set(found.ranked("psnr_Y").index)
    assert not set(stopped.index) & set(found.front("psnr_Y").index)
    whole = searched(tmp_path / "whole", HOPELESS, count=16)
    assert found.best() == whole.best() and "given up early" in str(found)


def test_a_row_of_a_search_is_that_of_a_grid_however_it_was_cut_into_bursts(tmp_path):
    found = searched(tmp_path / "a", HOPELESS, count=16, stop_early=True, seed=1)
    tape, truth = s.made()
    grid = sweep(tape, s.PIPELINE, HOPELESS, truth=truth, folder=tmp_path / "b", **FAST)
    of = {t.pipeline: row for t, row in zip(grid.trials, grid.table.to_dict("records"), strict=True)}
    for t, row in zip(found.trials, found.table.to_dict("records"), strict=True):
        course = json.loads(row["by_burst"])["psnr_Y"]
        if np.isnan(row["stopped_after"]):
            for name in ("psnr_Y", "psnr_min_V", "noise", "frames", "paired", "findings", "key"):
                assert row[name] == of[t.pipeline][name], name
            assert len(course) == 3 and course[-1] == row["psnr_Y"]
        else:
            assert row["key"] != of[t.pipeline]["key"] and len(course) == row["stopped_after"]
    # The numbers of the first bursts are those of a sweep over them alone.
    some = replace(grid.sample, bursts=grid.sample.bursts[:1])
    first = sweep(some, s.PIPELINE, HOPELESS, truth=truth, folder=tmp_path / "c", metrics=("psnr",))
    alone = dict(zip((t.pipeline for t in first.trials), first.table["psnr_Y"], strict=True))
    for t, text in zip(found.trials, found.table["by_burst"], strict=True):
        assert json.loads(text)["psnr_Y"][0] == alone[t.pipeline]


@pytest.mark.parametrize("way", ["halving", optuna.pruners.PercentilePruner(30, n_startup_trials=3)])
def test_other_ways_to_stop_early(tmp_path, way):
    found = searched(tmp_path, HOPELESS, count=16, stop_early=way, how=optuna.samplers.RandomSampler(seed=2))
    assert 1 <= found.stopped.sum() < 16 and len(found) == 16


def test_the_blind_score_is_a_goal_burst_by_burst(tmp_path):
    tape, _ = s.made()
    found = sweep(tape, s.PIPELINE, HOPELESS, how="optuna", count=12, stop_early=True, folder=tmp_path, bursts=3,
                  length=5)  # fmt: skip
    assert found.metric() == "blind_denoise"
    grid = sweep(tape, s.PIPELINE, HOPELESS, folder=tmp_path / "grid", bursts=3, length=5)
    of = dict(zip((t.pipeline for t in grid.trials), grid.table["blind_denoise"], strict=True))
    whole = found.table[~found.stopped]
    assert len(whole) and all(of[found.trials[n].pipeline] == v for n, v in whole["blind_denoise"].items())


def test_a_perfect_result_is_not_given_up(tmp_path):
    """Its PSNR is infinite from the first burst on."""
    _, clean = s.made()
    found = sweep(clean, Pipeline([denoise.hqdn3d(spatial=0, temporal=0)]), {"denoise.spatial": [0, 4, 8, 12, 16, 20]},
                  truth=clean, folder=tmp_path, how="optuna", count=6, stop_early=True, **FAST)  # fmt: skip
    assert found.table["psnr_Y"].max() == np.inf and dict(found.best()[0].settings)["spatial"] == 0
    assert searched_again(found, clean, tmp_path).computed == 0


def searched_again(found, clean, folder):
    return sweep(clean, found.trials[0].pipeline, {"denoise.spatial": [0, 4, 8, 12, 16, 20]}, truth=clean,
                 folder=folder, how="optuna", count=6, stop_early=True, **FAST)  # fmt: skip


# Kept and gone on with


def test_a_search_goes_on_from_the_folder(tmp_path, worked):
    first = searched(tmp_path, HOPELESS, count=6, stop_early=True, seed=1)
    before = len(worked)
    told = []
    again = searched(tmp_path, HOPELESS, count=6, stop_early=True, seed=1, on_result=told.append)
    assert again.computed == 0 and len(worked) == before and len(told) == 6
    pd.testing.assert_series_equal(first.table.sort_values("key")["psnr_Y"].reset_index(drop=True),
                                   again.table.sort_values("key")["psnr_Y"].reset_index(drop=True))  # fmt: skip
    more = searched(tmp_path, HOPELESS, count=11, stop_early=True, seed=1)
    assert more.computed == 5 and len(more) == 11 == len({t.pipeline for t in more.trials})
    assert len(open_sweep(tmp_path)) == 11
    assert len(searched(tmp_path, {"denoise.radius": [1, 2]}, count=2)) == 2  # another space counts anew


def test_what_was_given_up_never_passes_for_the_whole(tmp_path, worked):
    found = searched(tmp_path, HOPELESS, count=16, stop_early=True, seed=1)
    stopped = int(found.stopped.sum())
    del worked[:]
    tape, truth = s.made()
    grid = sweep(tape, s.PIPELINE, HOPELESS, truth=truth, folder=tmp_path, **FAST)
    assert grid.computed == stopped + 16 - len(found) and grid.table["error"].isna().all()
    assert len(worked) == 3 * grid.computed and not grid.stopped.any()
    assert len(open_sweep(tmp_path)) == 16 and not open_sweep(tmp_path).stopped.any()


PROGRAM = """
import sys
from tests import test_search as t
t.searched(sys.argv[1], t.SPACE, count=60, seed=int(sys.argv[2]), stop_early=True,
           on_result=t.s.killed_after(int(sys.argv[3])))
"""


def start(folder, seed, killed_after=-1):
    words = [sys.executable, "-c", PROGRAM, str(folder), str(seed), str(killed_after)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_searches_in_one_folder_and_one_is_killed(tmp_path):
    both = [start(tmp_path, 1, killed_after=3), start(tmp_path, 2)]
    said = [p.communicate(timeout=300)[0].split() for p in both]
    assert [p.returncode for p in both] == [-signal.SIGKILL, 0] and len(said[0]) >= 3
    kept = read_rows(tmp_path)
    assert len(kept) >= 60 and kept["key"].is_unique
    assert searched(tmp_path, count=len(kept), stop_early=True).computed == 0
    assert not list(tmp_path.glob("*.part"))


def test_a_setting_that_fails_is_a_row_and_the_search_goes_on(tmp_path, monkeypatch):
    through = trial._through

    def fails_below_6(task, some, pipeline, number):
        if pipeline[1].knobs["gate"] < 6:
            raise PictureError("this one cannot be done")
        return through(task, some, pipeline, number)

    monkeypatch.setattr(trial, "_through", fails_below_6)
    found = searched(tmp_path, HOPELESS, count=10, seed=1)
    failed = found.table["error"].notna()
    assert len(found) == 10 and 1 <= failed.sum() < 10 and np.isfinite(found.table["psnr_Y"][~failed]).all()
    assert len(read_rows(tmp_path)) == (~failed).sum()
    monkeypatch.setattr(trial, "_through", through)
    assert searched(tmp_path, HOPELESS, count=10, seed=1).computed == failed.sum()


# Executors


def test_processes_and_threads_search_too(tmp_path):
    tape, truth = s.files()
    with local_executor(2) as pool:
        found = sweep(tape, s.PIPELINE, HOPELESS, truth=truth, folder=tmp_path / "a", executor=pool, how="optuna",
                      count=12, stop_early=True, **FAST)  # fmt: skip
    grid = sweep(tape, s.PIPELINE, HOPELESS, truth=truth, folder=tmp_path / "b", **FAST)
    of = dict(zip((t.pipeline for t in grid.trials), grid.table["psnr_Y"], strict=True))
    whole = found.table[~found.stopped]
    assert len(found) == 12 and all(of[found.trials[n].pipeline] == v for n, v in whole["psnr_Y"].items())
    with ThreadPoolExecutor(3) as pool:
        assert len(searched(tmp_path / "c", count=7, executor=pool)) == 7


# Wrong requests


@pytest.mark.parametrize(
    "more, error, words",
    [
        ({"count": None}, RequestError, "search of None trials.*count, at least 1"),
        ({"count": 20_000}, RequestError, "20,000 trials.*at most 10,000"),
        ({"goal": "psnr_y"}, UnknownName, "measure named 'psnr_y'.*did you mean psnr_Y"),
        ({"stop_early": "sometimes"}, UnknownName, "way to stop early named 'sometimes'.*halving, median"),
        ({"stop_early": 3.5}, RequestError, "stop_early is 3.5.*pruner of Optuna"),
        ({"how": 7}, RequestError, "7 cannot choose settings.*sampler"),
        ({"how": "optun"}, UnknownName, "way to sweep named 'optun'.*did you mean optuna"),
        ({"how": optuna.samplers.GridSampler({"x": [1]})}, RequestError, 'cannot choose.*how="grid"'),
        ({"how": "random", "stop_early": True}, RequestError, 'random follows no goal.*how="optuna"'),
        ({"space": {"denoise.gat": [1]}}, UnknownName, "knob of denoise.temporal named 'gat'.*did you mean gate"),
        ({"space": {"denoise.gate": Span(0, 500)}}, KnobError, "gate is 500.*expected 0 to 128"),
        ({"space": {"deinterlace": ["none", "bwdif"], "denoise.gate": Span(4, 8)}}, PictureError, "interlaced frames"),
    ],
)
def test_wrong_searches_are_refused_before_any_work(tmp_path, more, error, words, worked):
    with pytest.raises(error, match=words):
        searched(tmp_path / "r", **{"count": 3, **more})
    assert not worked and not (tmp_path / "r").exists()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RequestError, match=r"needs the package optuna.*pip install vhs-toolkit\[search\]"):
        searched(tmp_path / "r")
    assert not (tmp_path / "r").exists()


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["denoise.gate", "denoise.radius", "deinterlace.rate", "denoise", "denoise.hqdn3d.spatial"]),
        st.lists(
            st.sampled_from([1, 2, 3, 2.5, "field", "frame", "temporal", "hqdn3d", "none", denoise.temporal(gate=9)]),
            min_size=1, max_size=3,
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_a_stored_setting_is_recognised_exactly_when_the_space_holds_it(space):
    try:
        found, axes = trials(s.PIPELINE, space), axes_of(s.PIPELINE, space)
    except (UnknownName, KnobError, RequestError):
        return
    held = {t.pipeline for t in found}
    assert {t.pipeline for t in corners(s.PIPELINE, axes, 10_000)} <= held
    for t in trials(s.PIPELINE, {"denoise": ["temporal", "hqdn3d", "none"], "denoise.gate": [1, 2, 9]}) + found:
        chosen = choice_of(axes, s.PIPELINE, t.pipeline)
        assert (chosen is not None) == (t.pipeline in held)


# The command


def test_the_command_searches_and_refuses_what_does_not_go_together(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tape, truth = s.files()
    words = ["sweep", str(tape), "--preset", "vhs-fast", "--knob", "denoise.spatial=1..40", "--truth", str(truth)]
    fast = ["--bursts", "2", "--length", "3"]
    assert main([*words, *fast, "--search", "6", "--stop-early", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    rows = [line for line in lines if line["event"] == "trial"]
    assert len(rows) == 6 and lines[-1]["metric"] == "psnr_Y" and all("by_burst" in row for row in rows)
    assert main([*words, "--search", "6", "--random", "6"]) == 2
    assert "both --random and --search" in capsys.readouterr().err
    assert main([*words, "--stop-early"]) == 2
    assert "--search 30 --stop-early" in capsys.readouterr().err
