"""Bad input to panel, sweep and job board: a plain sentence where one looks, no traceback, and the widget goes on."""

from __future__ import annotations

import shutil

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tests import _media as m
from tests import _sweep as s
from tests.test_widgets_sweep import FAST, begun, place, waited  # noqa: F401
from toolkit.clip import Clip
from toolkit.errors import InputMissing, UnknownName
from toolkit.jobs import Queue, Wish
from toolkit.pipeline import Pipeline
from toolkit.presets import preset
from toolkit.stages import deinterlace, denoise
from toolkit.stages.upscale import choose_device
from toolkit.widgets import jobs, look, panel, sweep, wipe
from toolkit.widgets.controls import Control

BOB = {"deinterlace": ["bob"]}
KNOBS = Pipeline([deinterlace.bwdif(), denoise.temporal(gate=20.0, radius=2)])


def has_cuda():
    return choose_device("auto") == "cuda"


def controls():
    stage, drawn = denoise.temporal, []
    return {n: Control(p, p.default, lambda: drawn.append(1)) for n, p in stage.parameters.items()}, drawn


def test_a_knob_is_typed_beyond_the_slider_and_out_of_range():
    found, drawn = controls()
    gate = found["gate"]
    low, high = gate.parameter.knob.low, gate.parameter.knob.high
    beyond = (gate.field.max + high) / 2
    assert gate.field.max < beyond < high, "the slider offers less than the knob takes"
    gate.typed.value = beyond
    assert gate.value == beyond and gate.note.value == "" and len(drawn) == 1
    for typed, held in ((high + 1000, high), (low - 5, low), (float("nan"), low)):
        gate.typed.value = typed
        assert gate.value == held == gate.typed.value
        assert f"it goes from {low:g} to {high:g}" in gate.note.value and "gate of" in gate.note.value
    gate.typed.value = 7
    assert gate.value == 7 and gate.note.value == ""
    gate.field.value = 1.1 + 2.2
    assert gate.typed.value == 3.3
    gate.reset.click()
    assert gate.value == gate.typed.value == gate.parameter.default
    radius = found["radius"]
    radius.typed.value = 10**6
    assert (
        radius.value == radius.parameter.knob.high
        and isinstance(radius.value, int)
        and "radius of" in radius.note.value
    )


def test_a_clip_that_changes_under_the_panel_and_one_of_twelve_hours(tmp_path):
    tape, other = tmp_path / "tape.avi", tmp_path / "other.avi"
    shutil.copy(m.made("huffyuv.avi"), tape)
    p = panel(KNOBS, tape, field_order="tff", time=0.2)
    first = p.picture.value
    m.ffmpeg("-i", tape, "-vf", "negate", "-c:v", "huffyuv", "-an", other)
    other.replace(tape)
    p.view.value = "before"
    assert p.picture.value not in (first, b"") and "was changed" in p.message.value
    p.view.value = "after"
    assert p.picture.value not in (first, b"") and "was changed" not in p.message.value and "ms" in p.message.value
    m.ffmpeg("-i", tape, "-vf", "scale=320:240", "-frames:v", 8, "-c:v", "huffyuv", "-an", other)
    other.replace(tape)
    p.time.value = 0.3
    assert "was changed" in p.message.value and "320x240" in p.message.value and p.time.max < 0.5, p.message.value
    tape.write_bytes(b"no video" * 100)
    p.time.value = 0.1
    assert "not a video" in p.message.value and "Traceback" not in p.message.value
    p = panel(KNOBS, m.twelve_hours(), field_order="progressive")
    p.rows[0].on.value = False
    drawn = p.drawn
    p.time.value = p.time.max
    p.time.value = 6 * 3600
    assert p.drawn > drawn and "ms" in p.message.value, p.message.value


def test_a_clip_that_goes_away_or_changes_under_the_look_and_twelve_hours(tmp_path):
    tape, other = tmp_path / "tape.avi", tmp_path / "other.avi"
    shutil.copy(m.made("huffyuv.avi"), tape)
    view = look(tape, tape)
    first = view.picture.value
    assert first and view.message.value == "" and view.again_button.layout.display == "none"
    tape.rename(tmp_path / "away.avi")
    view.slider.value = 0.2
    assert "cannot be read" in view.message.value and view.picture.value == first
    (tmp_path / "away.avi").rename(tape)
    view.again_button.click()
    assert view.message.value == "" and view.picture.value != first
    m.ffmpeg("-i", tape, "-vf", "scale=320:240,negate", "-frames:v", 8, "-c:v", "huffyuv", "-an", other)
    other.replace(tape)
    view.slider.value = 0.1
    assert "tape.avi changed" in view.message.value and view.slider.max < 0.5
    for show in (look, wipe):
        long = show(m.twelve_hours(), m.twelve_hours())
        assert long.still() is not None


def test_a_wrong_request_in_a_cell_is_one_sentence_and_no_traceback():
    shell = InteractiveShell.instance()
    shell.user_ns |= {"preset": preset, "Clip": Clip}
    for cell, error, words in (
        ("preset('vsh')", UnknownName, "did you mean vhs"),
        ("Clip.open('nowhere.avi')", InputMissing, "there is no file nowhere.avi"),
    ):
        with capture_output() as said:
            done = shell.run_cell(cell)
        assert isinstance(done.error_in_exec, error)
        assert words in " ".join(said.stdout.split()) and "Traceback" not in said.stdout and "File" not in said.stdout


def test_a_sweep_of_one_frame_of_twelve_hours_and_out_of_range(tmp_path):
    view = waited(sweep(m.one_frame(), s.PIPELINE, BOB, folder=tmp_path / "a", bursts=1, field_order="tff"))
    assert view.state == "done" and len(view.rows) == 1, view.message.value
    view.choose(next(iter(view.rows)))
    assert view.wipe.after, view.message.value
    view = waited(sweep(m.twelve_hours(), Pipeline([denoise.temporal()]), {"denoise.gate": [4.0]}, bursts=1, length=3,
                        folder=tmp_path / "b", field_order="progressive"))  # fmt: skip
    assert view.state == "done" and len(view.rows) == 1, view.message.value
    view.choose(next(iter(view.rows)))
    assert view.wipe.after and "Traceback" not in view.message.value
    view = waited(begun(tmp_path / "c", {"denoise.gate": [1e9]}))
    assert view.state == "failed" and "gate is 1e+09" in view.message.value


@pytest.mark.skipif(has_cuda(), reason="there is a GPU")
def test_a_gpu_where_there_is_none_is_said(tmp_path):
    view = waited(begun(tmp_path / "runs", BOB, device="cuda"))
    assert view.state == "failed" and "CUDA was asked for" in view.message.value
    queue = Queue(tmp_path / "q.db")
    queue.add([Wish(m.made("huffyuv.avi"), tmp_path / "x.mp4", "vhs-fast", settings={"device": "cuda"})])
    board = jobs(queue)
    board.start_worker()
    board._worker.wait(120)
    board.refresh()
    (row,) = board.table.rows
    assert row["state"] == "failed" and "CUDA was asked for" in row["note"] and "retry" in row["actions"]
    board.close()


def test_a_tape_that_goes_away_or_changes_under_a_sweep(tmp_path):
    tape, truth = (tmp_path / p.name for p in s.files())
    for source, copy in zip(s.files(), (tape, truth), strict=True):
        shutil.copy(source, copy)
    view = waited(sweep(tape, s.PIPELINE, BOB, truth=truth, folder=tmp_path / "runs", **FAST))
    (key,) = view.rows
    view.choose(key)
    assert [r[0].endswith(" dB") for r in view.wipe.figures["rows"]] == [True, True], view.message.value
    truth.rename(tmp_path / "away.mkv")
    view.choose(key)
    assert "nothing is measured" in view.message.value and not view.wipe.figures
    tape.rename(tmp_path / "gone.mkv")
    before = view.wipe.after
    view.choose(key)
    assert "there is no file" in view.message.value and view.wipe.after == before
    (tmp_path / "gone.mkv").rename(tape)
    (tmp_path / "away.mkv").rename(truth)
    view.choose(key)
    assert "click a row" in view.message.value and view.wipe.figures
    m.ffmpeg("-i", s.files()[1], "-vf", "negate", "-c:v", "ffv1", tape)
    view.choose(key)
    assert "was changed since" in view.message.value and view.wipe.after != before


def test_one_frame_and_twelve_hours_in_the_queue_have_a_picture(tmp_path):
    queue = Queue(tmp_path / "q.db")
    queue.add([Wish(t, tmp_path / f"{t.stem}.mp4", "vhs-fast") for t in (m.one_frame(), m.twelve_hours())])
    assert all(r["thumb"].startswith("data:image/jpeg") for r in jobs(queue).table.rows)
