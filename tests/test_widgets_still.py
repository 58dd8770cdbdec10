"""What a panel and a wipe leave in a notebook that is opened without a kernel."""

from __future__ import annotations

import base64
import io

import IPython.display
import numpy as np
import pytest
from PIL import Image

from tests import _media as m
from toolkit.widgets import Wipe, panel
from toolkit.widgets.still import WIDTH

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **more: found.append((data, more)))
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
