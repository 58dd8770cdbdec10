"""The sweep on the command line and on one page: real processes, real files, nothing fetched."""

from __future__ import annotations

import base64
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import av
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import _sweep as s
from toolkit.cli import app, main
from toolkit.errors import KnobError, OutputRefused, RequestError, ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.presets import load
from toolkit.process import ProgramFailed
from toolkit.sweep import Span, open_sweep, sheet_of, sweep, write_notebook, write_report, write_video
from toolkit.sweep.space import parse_axis, parse_times

FAST = ["--bursts", "2", "--length", "3"]
KNOBS = ["--preset", "vhs-fast", "--knob", "deinterlace=bwdif,bob", "--knob", "denoise=temporal,none"]


def run(*words: object, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "toolkit.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd)


class Page(HTMLParser):
    """What a browser would load, and the text between tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.rows = self.images = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.loads += [v for k, v in found.items() if k in ("src", "href") and v]
        self.rows += tag == "tr"
        self.images += tag == "img"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep made by the command, with its report and preset: `(folder, what it printed)`."""
    here = tmp_path_factory.mktemp("swept")
    tape, truth = s.files()
    outputs = ["--report", "page.html", "--save-preset", "mine", "--json"]
    tape = os.path.relpath(tape, here)
    done = run("sweep", tape, *KNOBS, *FAST, "--truth", truth, *outputs, cwd=here)
    assert done.returncode == 0, done.stderr
    return here, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_prints_trials_and_the_best_and_keeps_the_rows(swept):
    here, lines = swept
    rows = [line for line in lines if line["event"] == "trial"]
    assert len(rows) == 4 and lines[-1]["event"] == "done" and lines[-1]["metric"] == "psnr_Y"
    best = max(rows, key=lambda row: row["psnr_Y"])
    assert json.loads(best["pipeline"])["steps"] == lines[-1]["best"]["steps"]
    _, bound, _ = app.parse_args(lines[-1]["command"][1:])
    assert bound.arguments["how"].steps()[1].to_dict() == lines[-1]["best"], "the command that is offered does the same"
    saved = load(here / "mine.yaml")
    assert saved.pipeline.to_dict() == lines[-1]["best"]
    assert (saved.audio, saved.write["crf"]) == ("light", 20), "sound and encoder of the preset it began with"
    (folder,) = (here / "runs").iterdir()
    assert len(open_sweep(folder)) == 4
    assert sorted(p.name for p in here.iterdir()) == ["mine.yaml", "page.html", "runs"]


def test_the_page_needs_nothing_else_and_shows_tape_settings_and_truth(swept):
    here, _ = swept
    text = (here / "page.html").read_text()
    page = Page(text)
    assert page.loads and all(u.startswith("data:image/") for u in page.loads)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert page.rows == 1 + 4 and page.images == 2
    data = json.loads(re.search(r'id="pictures">(.*?)</script>', text)[1])
    assert data["names"][0] == "tape" and data["names"][-1] == "truth" and len(data["names"]) == 5
    assert len(data["times"]) == 2 and [len(i) for i in data["images"]] == [2] * 5
    for images in data["images"]:
        assert all(i.startswith("data:image/webp;base64,") for i in images)


def test_report_makes_the_page_again_from_the_folder(swept, tmp_path, capsys):
    here, lines = swept
    (folder,) = (here / "runs").iterdir()
    page = tmp_path / "again.html"
    assert main(["report", str(folder), str(page), "--top", "1"]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    data = json.loads(re.search(r'id="pictures">(.*?)</script>', page.read_text())[1])
    assert data["names"][0] == "tape" and data["names"][1].startswith("1. ") and len(data["names"]) == 3
    assert main(["report", str(folder), str(page)]) == 2
    assert "again.html exists" in capsys.readouterr().err
    assert main(["report", str(tmp_path), str(page), "--overwrite"]) == 2
    assert "holds no sweep" in capsys.readouterr().err


def test_the_plot_has_no_ground_of_its_own_and_ink_for_light_and_dark_pages(swept):
    here, _ = swept
    text = (here / "page.html").read_text()
    assert "blind_" not in text
    found = re.search(
        r'prefers-color-scheme: dark\)" srcset="(\S+)"><img class="plot" [^>]*src="(\S+)"></picture>', text
    )
    dark, light = (base64.b64decode(data.partition("base64,")[2]).decode() for data in found.groups())
    for own, other, drawn in (("#dddddd", "#222222", dark), ("#222222", "#dddddd", light)):
        assert own in drawn and other not in drawn
        assert not re.search("#fff|#ffffff|#000000", drawn), "nothing white behind, nothing black on it"


def test_columns_of_blind_scores_are_explained_where_there_are_some(swept, tmp_path):
    here, _ = swept
    (folder,) = (here / "runs").iterdir()
    found = open_sweep(folder)
    blind = replace(found, table=found.table.rename(columns={"psnr_Y": "blind_all"}))
    text = write_report(blind, tmp_path / "blind.html", video=False, top=1).read_text()
    assert "Columns blind_* rank settings without a clean copy of the tape" in text


# In motion


def decoded(file: object) -> list[np.ndarray]:
    with av.open(file) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def test_the_page_has_a_film_of_each_burst(swept):
    here, _ = swept
    data = json.loads(re.search(r'id="films">(.*?)</script>', (here / "page.html").read_text())[1])
    assert len(data["times"]) == len(data["films"]) == 2
    films = [decoded(io.BytesIO(base64.b64decode(f.removeprefix("data:video/mp4;base64,")))) for f in data["films"]]
    assert [len(film) for film in films] == [6, 6]  # three frames of the tape, six fields
    assert np.abs(films[0][0].astype(float) - films[1][0]).mean() > 1  # not the same burst twice


def test_report_as_a_video_shows_tape_settings_and_truth_each_burst_four_times(swept, tmp_path, capsys):
    here, _ = swept
    (folder,) = (here / "runs").iterdir()
    out = tmp_path / "best.mp4"
    assert main(["report", str(folder), str(out), "--top", "1"]) == 0
    assert "48 frames" in capsys.readouterr().out
    frames = decoded(str(out))
    assert len(frames) == 2 * 4 * 6
    with av.open(str(out)) as container:
        times = [p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None]
    assert max(abs(float(b - a) - 1001 / 60000) for a, b in itertools.pairwise(sorted(times))) < 2e-3
    apart = [[np.abs(frames[a].astype(float) - frames[b]).mean() for b in (a + 6, a + 24)] for a in (1, 8)]
    assert all(turn < 2 and other > 3 * turn for turn, other in apart), apart
    # The three pictures stand where the tape's, the best setting's and the truth's are: the truth moves, and is clean.
    width = frames[0].shape[1] // 3
    tape, best, truth = (frames[2][26:-8, n * width + 12 : (n + 1) * width - 12].astype(float) for n in range(3))
    assert np.abs(best - truth).mean() < 0.95 * np.abs(tape - truth).mean()
    assert main(["report", str(folder), str(out)]) == 2
    assert "best.mp4 exists" in capsys.readouterr().err
    assert main(["report", str(folder), str(tmp_path / "none.webm"), "--top", "0"]) == 2
    assert "top is 0" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best.mp4"]


def test_a_video_is_not_written_over_the_tape(tmp_path):
    tape, truth = (shutil.copy(p, tmp_path / f"{n}.mp4") for p, n in zip(s.files(), ("tape", "truth"), strict=True))
    found = sweep(tape, s.PIPELINE, {"denoise.gate": [4.0]}, truth=truth, folder=tmp_path / "r", bursts=1, length=2,
                  metrics=("psnr",))  # fmt: skip
    before = [p.read_bytes() for p in (tape, truth)]
    for path in (tape, truth):
        for one in (found, tmp_path / "r"):
            with pytest.raises(OutputRefused, match="is what the sweep looked at"):
                write_video(one, path, overwrite=True)
    assert [p.read_bytes() for p in (tape, truth)] == before


def test_a_truth_on_a_clock_of_its_own_is_shown_at_the_same_moment(tmp_path):
    tape, truth = s.made()
    found = sweep(tape, s.PIPELINE, {"denoise.gate": [4.0]}, truth=truth, folder=tmp_path / "r", bursts=2, length=2,
                  metrics=("psnr",))  # fmt: skip
    later = found.sample.beside([b.replace(pts=b.pts + round(1000 / b.time_base)) for b in truth])
    assert later.bursts[0].own.times[0] > 999
    sheets = [np.asarray(sheet_of(one)) for one in (found, replace(found, truth=later))]
    assert np.array_equal(*sheets)


# As a notebook

papermill = pytest.mark.skipif(importlib.util.find_spec("papermill") is None, reason="needs the extra report")


@papermill
def test_the_report_as_a_notebook_is_executed_and_whole(swept, tmp_path, capsys):
    here, lines = swept
    (folder,) = (here / "runs").iterdir()
    out = tmp_path / "report.ipynb"
    # From another place than the sweep, which was given its tape by a relative path.
    assert main(["report", str(folder), str(out), "--notebook", "--top", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    cells = [c for c in nbformat.read(out, 4).cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    shown = [kind for c in cells for o in c.outputs for kind in o.get("data", {})]
    assert "image/jpeg" in shown and "image/png" in shown and "text/html" in shown
    said = "".join(o.get("text", "") for c in cells for o in c.outputs)
    best = next(line["best"] for line in lines if line["event"] == "done")
    assert repr(Pipeline.from_dict(best)) in said
    assert [p.name for p in tmp_path.iterdir()] == ["report.ipynb"]
    assert main(["report", str(folder), str(out), "--notebook"]) == 2
    assert "report.ipynb exists" in capsys.readouterr().err
    assert main(["report", str(folder), str(tmp_path / "page.html"), "--notebook"]) == 2
    assert "ends in .ipynb" in capsys.readouterr().err
    assert main(["report", str(folder), str(out), "--notebook", "--metric", "psnr_y", "--overwrite"]) == 2
    assert "did you mean psnr_Y" in capsys.readouterr().err


@papermill
def test_a_template_that_fails_leaves_nothing(swept, tmp_path, monkeypatch):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))
    (folder,) = (swept[0] / "runs").iterdir()
    template = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    template.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(template, tmp_path / "template.ipynb")
    with pytest.raises(ProgramFailed, match="ZeroDivisionError"):
        write_notebook(folder, tmp_path / "out.ipynb", template=tmp_path / "template.ipynb")
    assert [p.name for p in tmp_path.iterdir()] == ["template.ipynb"]


def test_without_papermill_the_extra_is_named(swept, tmp_path, monkeypatch):
    (folder,) = (swept[0] / "runs").iterdir()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "papermill" else find(name))
    with pytest.raises(RequestError, match=r"needs the package papermill.*pip install vhs-toolkit\[report\]"):
        write_notebook(folder, tmp_path / "out.ipynb")


def test_a_page_without_the_tape_says_so_and_has_the_rest(tmp_path):
    tape, truth = s.made()
    sweep(tape, s.PIPELINE, {"denoise.gate": [4.0, 40.0]}, truth=truth, folder=tmp_path / "r", bursts=1, length=2,
          metrics=("psnr",))  # fmt: skip
    text = write_report(tmp_path / "r", tmp_path / "page.html").read_text()
    assert "no pictures: the tape of this sweep was in memory only" in text and Page(text).rows == 3
    with pytest.raises(OutputRefused, match="exists"):
        write_report(tmp_path / "r", tmp_path / "page.html")
    with pytest.raises(OutputRefused, match="ends in .html"):
        write_report(tmp_path / "r", tmp_path / "page.pdf")


def test_names_in_a_page_cannot_become_markup(tmp_path):
    tape, _ = s.made()
    found = sweep(tape, s.PIPELINE, {"denoise.gate": [4.0]}, folder=tmp_path / "r", bursts=1, length=2)
    object.__setattr__(found, "notes", ("<script>alert(1)</script>",))
    found.sample.__dict__["name"] = "</title><b>tape</b>"
    text = write_report(found, tmp_path / "page.html", metric="combing").read_text()
    assert "<script>alert" not in text and "<b>tape" not in text and "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    "words, said",
    [
        (["--knob", "denoise.spatia=2"], "did you mean spatial"),
        (["--knob", "denoise.gate"], "KEY=VALUE"),
        (["--knob", "denoise.chroma=0..4:2000", "--knob", "denoise.spatial=1..128:2000"], "4,000,000 trials"),
        (["--knob", "denoise.chroma=1", "--times", "x"], "times is 'x'"),
        (["--knob", "denoise.chroma=1", "--metric", "pnsr_Y"], "did you mean psnr"),
        (["--knob", "denoise.chroma=1", "--times", "99"], "no frame at 99.000 s"),
        (["--knob", "denoise.chroma=1", "--truth", "missing.mkv"], "there is no file missing.mkv"),
    ],
)
def test_wrong_requests_exit_with_2_and_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(s.files()[0]), "--preset", "vhs-fast", *FAST, *words]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vhs-toolkit:")]
    assert len(err) == 1 and said in err[0], err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, want",
    [
        ("denoise.strength=2,4.5,8", ("denoise.strength", [2, 4.5, 8])),
        ("denoise = hqdn3d , none", ("denoise", ["hqdn3d", "none"])),
        ("deinterlace.check=true,False", ("deinterlace.check", [True, False])),
        ("denoise.noise=2..8", ("denoise.noise", Span(2, 8, 5))),
        ("denoise.noise=0.5..8e1:3", ("denoise.noise", Span(0.5, 80, 3))),
        ("denoise.noise=-1.5..1:2", ("denoise.noise", Span(-1.5, 1, 2))),
    ],
)
def test_axes_are_read_as_typed(text, want):
    assert parse_axis(text) == want


@given(st.text(alphabet="abz.=,:0123456789-e ", max_size=30))
def test_any_text_is_an_axis_or_one_clear_refusal(text):
    for parse in (parse_axis, parse_times):
        try:
            parse(text)
        except ToolkitError as error:
            assert isinstance(error, KnobError) and "expected" in str(error)


def test_blink_says_what_is_on_display_and_zoom_keeps_the_middle(tmp_path):
    """In a real browser: the name shown is that of the picture that can be seen; enlarging stays where one looked."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    made, truth = s.made()
    found = sweep(made, s.PIPELINE, {"denoise.gate": [4.0]}, truth=truth, folder=tmp_path / "r", bursts=1, length=2)
    page_file = write_report(found, tmp_path / "page.html")
    look = """() => new Promise(done => { const seen = new Set(); let n = 0; const timer = setInterval(() => {
      const hidden = getComputedStyle(document.querySelector('.stage .two')).visibility === 'hidden';
      seen.add(hidden + ':' + [...document.querySelectorAll('.tag')].map(tag => tag.textContent).join('|'));
      if (++n > 40) { clearInterval(timer); done([...seen].sort()); } }, 50); })"""
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, errors = browser.new_page(viewport={"width": 1000, "height": 800}), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(page_file.as_uri())
        page.get_by_role("button", name="blink").click()
        assert page.evaluate(look) == ["false:|1. gate=4", "true:tape|"]
        page.get_by_role("button", name="x4").click()
        frame = "document.querySelector('.frame')"
        middle = page.evaluate(f"({frame}.scrollLeft + {frame}.clientWidth / 2) / {frame}.scrollWidth")
        assert abs(middle - 0.5) < 0.01
        film = "document.querySelector('.films video')"
        page.locator(".films").scroll_into_view_if_needed()  # it plays where it can be seen
        page.wait_for_function(f"{film}.readyState >= 2 && !{film}.paused && {film}.videoWidth > 0")
        assert page.evaluate(f"[{film}.loop, {film}.playbackRate]") == [True, 0.25]
        page.get_by_role("button", name="pause").click()
        page.wait_for_function(f"{film}.paused")
        assert not errors
        browser.close()


def test_a_sweep_that_is_stopped_says_that_its_rows_are_kept(capsys, monkeypatch):
    def stopped(*words, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("toolkit.sweep.sweep", stopped)
    assert main(["sweep", str(s.files()[0]), "--knob", "denoise.gate=2,4"]) == 130
    assert "what is finished was kept: the same command goes on" in capsys.readouterr().err
