"""The sweep widget: rows come from a process of its own, stop leaves nothing behind, and a restart finds the rows."""

from __future__ import annotations

import time
from types import SimpleNamespace

import psutil
import pytest

from tests import _sweep as s
from tests._process import gone
from toolkit import scratch
from toolkit.presets import load
from toolkit.widgets import sweep
from toolkit.widgets.sweep_grid import front_of

SPACE = {"deinterlace": ["bwdif", "bob"], "denoise.gate": [4.0, 40.0]}
FAST = {"bursts": 1, "length": 3, "metrics": ("psnr", "ssim")}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))


def begun(folder, space=SPACE, **more):
    tape, truth = s.files()
    return sweep(tape, s.PIPELINE, space, **{"truth": truth, "folder": folder, **FAST, **more})


def waited(view, done=lambda view: False, within=240.0):
    end = time.monotonic() + within
    while view.refresh() and not done(view):
        assert time.monotonic() < end, view.message.value
        time.sleep(0.05)
    return view


def test_rows_fill_in_open_beside_the_tape_and_become_a_preset(tmp_path):
    view, kept = begun(tmp_path / "runs"), []
    view._handle = SimpleNamespace(update=lambda data, **_: kept.append(data["text/html"]))  # as if it was displayed
    waited(view)
    assert view.state == "done", view.message.value
    worst, *_, best = sorted(f"{row['psnr_Y']:.2f}" for row in view.rows.values())
    cells = kept[-1].split("<tr>")[2:]
    assert len(cells) == 4 and f"<td>{best}</td>" in cells[0], "what stays without a kernel, the best first"
    assert f"<td>{worst}</td>" in cells[-1] and view.grid.decimals["psnr_Y"] == 2 > view.grid.decimals["denoise.gate"]
    assert "4 of 4 settings" in view.message.value and view.bar.value == 4
    assert view.grid.axes == ["fps", "psnr_Y"] and {"deinterlace", "denoise.gate", "psnr_Y"} <= set(view.grid.columns)
    assert not scratch.root().exists(), "the process's papers are gone"
    urls = set()
    for key in view.rows:
        view.choose(key)
        assert view.wipe.layout.display is None, view.message.value
        urls |= {view.wipe.before, view.wipe.after}
    assert len(urls) >= 4, "the tape, and what settings made of it"
    view.preset.name.value = str(tmp_path / "mine")
    view.preset.button.click()
    assert load(tmp_path / "mine.yaml").pipeline.to_dict() == view._pipeline().to_dict()
    view.preset.button.click()
    assert "is there already" in view.message.value

    # A restart of the kernel: the folder alone, and the same call.
    again = sweep(tmp_path / "runs")
    assert set(again.rows) == set(view.rows) and again.grid.front == view.grid.front
    again.choose(next(iter(again.rows)))
    assert again.wipe.after.startswith("data:image/jpeg"), again.message.value
    once = waited(begun(tmp_path / "runs"))
    assert {k: r["fps"] for k, r in once.rows.items()} == {k: r["fps"] for k, r in view.rows.items()}


def test_stop_keeps_the_rows_and_leaves_nothing_behind(tmp_path):
    space = {"denoise": ["nlmeans"], "denoise.strength": [1.0 + n / 1000 for n in range(1000)]}
    view = waited(begun(tmp_path / "runs", space), lambda view: len(view.rows) >= 1)
    assert view.state == "running", view.message.value
    child = psutil.Process(view._program.pid)
    family = [child, *child.children(recursive=True)]
    child.suspend()  # as on a machine so busy that it never gets its turn to hear that it is to end
    view.stop_button.click()
    assert all(gone(p.pid) for p in family)
    assert view.state == "stopped" and "stopped with" in view.message.value and len(view.grid.rows) >= 1
    assert not list((tmp_path / "runs").glob("*.part")) and not scratch.root().exists()
    assert set(view.rows) <= set(sweep(tmp_path / "runs").rows)


def test_without_a_truth_it_says_so_and_a_process_that_dies_too(tmp_path):
    view = waited(begun(tmp_path / "runs", {"deinterlace": ["bob"]}, truth=None, metrics=()))
    assert view.state == "done" and "no truth was given" in view.message.value
    view = begun(tmp_path / "more", {"denoise.gate": [n / 10 for n in range(10, 1000)]})
    view._program.kill()
    waited(view)
    assert view.state == "failed" and "process ended with code" in view.message.value


@pytest.mark.parametrize(
    "space, words",
    [
        ({"denoise.gat": [1]}, "did you mean gate"),
        ({"denoise.gate": [object()]}, "numbers, words or a Span"),
        (None, "no settings to try"),
    ],
)
def test_wrong_settings_are_one_plain_sentence(tmp_path, space, words):
    view = waited(begun(tmp_path / "runs", space))
    assert view.state == "failed" and words in view.message.value and "Traceback" not in view.message.value


def test_missing_things_are_one_plain_sentence(tmp_path):
    assert "there is no file" in sweep(tmp_path / "no.avi", "vhs", SPACE).message.value
    (tmp_path / "empty").mkdir()
    assert "holds no sweep" in sweep(tmp_path / "empty").message.value


def test_the_front_has_no_beaten_row():
    rows = [{"key": str(n), "fps": f, "psnr_Y": q} for n, (f, q) in enumerate([(1, 9), (2, 8), (2, 7), (3, 8), (4, 1)])]
    assert front_of(rows, "psnr_Y") == ["4", "3", "0"]
    assert front_of([{"key": "a", "fps": 1, "combing": 2}, {"key": "b", "fps": 1, "combing": 1}], "combing") == ["b"]
    assert front_of([{"key": "a", "fps": None, "psnr_Y": None}], "psnr_Y") == []
