"""Widgets on files that are missing, no video or tiny, in a notebook that is really run: words, never a traceback."""

from __future__ import annotations

import html
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from tests import _media as m
from tests._browser import ROOT, notebook

VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
VIEWERS = {
    "open": "widgets.open({0!r})", "panel": "widgets.panel('vhs-fast', {0!r})", "wipe": "widgets.wipe({0!r}, {0!r})",
    "look": "widgets.look({0!r}, {0!r})", "sweep": "widgets.sweep({0!r}, 'vhs-fast', dict(deinterlace=['bob']))",
}  # fmt: skip
#: What is wrong, and what is to be read.
FILES = {"nowhere.avi": "there is no file", "folder": "folder", "notes.avi": "is not a video"}
WRONG = {
    "widgets.panel('vsh', 'one.avi')": "did you mean vhs",
    "widgets.panel(None, 'one.avi')": "the pipeline is NoneType",
    "widgets.panel('vhs-fast', 'one.avi', field_order='odd')": "field order is 'odd'",
    "widgets.panel('vhs-fast', 'one.avi', time=float('nan'))": "the time is nan",
    "widgets.sweep('one.avi', 'vsh', dict(deinterlace=['bob']))": "did you mean vhs",
    "widgets.sweep(None, 'vhs', dict(deinterlace=['bob']))": "the tape is NoneType",
    "widgets.open(None)": "the clip is NoneType",
    "widgets.wipe(None, None)": "the clip is NoneType",
    "widgets.look(None, 'one.avi')": "the clip is NoneType",
    "widgets.jobs('folder')": "cannot be used",
    "view = widgets.watch(2**22 + 1)\nview.wait(60)\nview": "there is no process",  # it is a thread that says so
}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "folder").mkdir()
    (folder / "notes.avi").write_text("the tape of 1991, side A\n" * 99)
    shutil.copy(m.one_frame(), folder / "one.avi")
    bad = [viewer.format(name) for name in FILES for viewer in VIEWERS.values()]
    good = [viewer.format("one.avi") for name, viewer in VIEWERS.items() if name != "sweep"]
    later = (
        "import shutil\nshutil.copy('one.avi', 'nowhere.avi')\nfor one in (panel, look): one.again_button.click()\n"
        "print(*[bool(one.picture.value) for one in (panel, look)])"
    )
    cells = [*bad, *WRONG, *good, "panel = widgets.panel('vhs-fast', 'nowhere.avi')",
             "look = widgets.look('nowhere.avi', 'one.avi')", later]  # fmt: skip
    path = notebook(folder / "bad.ipynb", "from toolkit import widgets", *cells)
    found = nbformat.read(path, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        NotebookClient(found, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return found


def outputs(book, source):
    (cell,) = [c for c in book.cells if c.source == source]
    return cell.outputs


def texts(book, source):
    """All that the widgets of a cell say."""
    state = book.metadata.widgets[STATE]["state"]
    found, open_ = [], [o["data"][VIEW]["model_id"] for o in outputs(book, source) if VIEW in o.get("data", {})]
    while open_:
        values = state[open_.pop()]["state"]
        found += [values[name] for name in ("value", "description") if isinstance(values.get(name), str)]
        found.append((values.get("message") or {}).get("text", ""))
        open_ += [c.removeprefix("IPY_MODEL_") for c in values.get("children", [])]
    return html.unescape(" ".join(found))


def test_no_cell_ends_in_a_traceback(book):
    for cell in book.cells:
        assert all(o["output_type"] != "error" for o in cell.outputs), cell.source
        assert "Traceback" not in str(cell.outputs) + texts(book, cell.source), cell.source


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_shown_is_said_where_the_picture_would_be(book, viewer, name):
    said = texts(book, VIEWERS[viewer].format(name))
    assert FILES[name] in said and name in said, said


@pytest.mark.parametrize("source", WRONG)
def test_a_wrong_request_is_said_there_too(book, source):
    said = texts(book, source)
    assert WRONG[source] in said, said


def test_a_clip_of_one_frame_is_shown_and_stays_as_a_picture(book):
    for name, viewer in VIEWERS.items():
        if name != "sweep":
            still, living = outputs(book, viewer.format("one.avi"))
            assert VIEW in living["data"] and len(still["data"]["image/jpeg"]) > 1000, name


def test_what_could_not_be_opened_is_opened_when_it_is_there(book):
    assert book.cells[-1].outputs[0]["text"].split() == ["True", "True"]
