"""What each viewer leaves in a notebook that is opened without a kernel."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import IPython.display
import numpy as np
import pytest
from PIL import Image

from tests import _media as m
from toolkit.jobs import Queue, Wish
from toolkit.widgets import Wipe, jobs, look, open, panel
from toolkit.widgets.still import WIDTH

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def shown(monkeypatch):
    found = []

    def display(data, **more):
        found.append((data, more))
        return SimpleNamespace(update=display)

    monkeypatch.setattr(IPython.display, "display", display)
    return found


def url(colour: tuple[int, int, int]) -> str:
    box = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(box, "PNG")
    return "data:image/png;base64," + base64.b64encode(box.getvalue()).decode()


def picture(output) -> np.ndarray:
    data, more = output
    image = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    size = more["metadata"]["image/jpeg"]
    assert image.size == (size["width"], size["height"]) and image.width == WIDTH
    return np.asarray(image)


def test_a_wipe_leaves_both_pictures_as_they_were_wiped(shown):
    Wipe(before=url((200, 0, 0)), after=url((0, 0, 200)), position=25)._ipython_display_()
    still, living = shown
    across = picture(still)[240]
    assert across[:150, 0].min() > 180 and across[:150, 2].max() < 20
    assert across[170:, 2].min() > 180 and across[170:, 0].max() < 20
    assert VIEW in living[0]


def test_a_panel_leaves_its_picture(shown):
    p = panel("vhs-fast", m.made("huffyuv.avi"), field_order="tff")
    p._ipython_display_()
    still, living = shown
    left = picture(still).astype(int)
    seen = np.asarray(Image.open(io.BytesIO(p.picture.value)).resize(left.shape[1::-1])).astype(int)
    assert np.abs(left - seen).mean() < 4
    assert living[0][VIEW]["model_id"] == p.model_id and len(living[0]["text/plain"]) < 100


def test_nothing_to_see_leaves_no_picture(shown):
    Wipe()._ipython_display_()
    assert [VIEW in data for data, _ in shown] == [True]


def test_the_bench_and_the_look_leave_what_they_show(shown):
    tape = m.made("dv_pal.avi")
    for widget in (open(tape, time=0.2), look(tape, tape)):
        widget._ipython_display_()
        still, living = shown[-2:]
        assert picture(still).std() > 10 and VIEW in living[0]
    wide = Image.open(io.BytesIO(base64.b64decode(shown[0][0]["image/jpeg"])))
    assert wide.width / wide.height == pytest.approx(4 / 3, abs=0.01), "as wide as it is meant, not as it is sampled"


def test_a_queue_leaves_a_table_that_follows_and_holds_no_markup_of_others(shown, tmp_path):
    tape = tmp_path / "<b>tape.avi"
    tape.write_bytes(m.made("huffyuv.avi").read_bytes())
    queue = Queue(tmp_path / "q.db")
    queue.add([Wish(tape, tmp_path / f"{n}.mp4", "vhs-fast") for n in range(2)])
    board = jobs(queue)
    board._ipython_display_()
    first = shown[0][0]["text/html"]
    assert first.count("<tr>") == 3 and "2 pending" in first and "&lt;b&gt;tape.avi" in first and "<b>" not in first
    board.refresh()
    assert len(shown) == 2, "nothing new"
    board.act("cancel", 1)
    assert "cancelled" in shown[-1][0]["text/html"] and "1 pending" in shown[-1][0]["text/html"]
    board.close()
