"""Viewers in a notebook that is opened again without a kernel: what they showed is still there."""

from __future__ import annotations

import shutil

from tests import _media as m
from tests._browser import another, lab, needs_browser, notebook, run_all, saved, seen

pytestmark = needs_browser
STILLS = ".jp-RenderedImage img"


def test_pictures_stay_where_there_is_no_kernel_and_hide_beside_the_living_widget(page, browser, tmp_path):
    shutil.copy(m.made("dv_pal.avi"), tmp_path / "tape.avi")
    book = notebook(
        tmp_path / "book.ipynb",
        "from toolkit import widgets\nwidgets.panel('vhs-fast', 'tape.avi', field_order='bff')",
        "widgets.wipe('tape.avi', 'tape.avi')",
        "from IPython.display import Image, display\ndisplay(Image(open('own.png', 'rb').read()), widgets.Wipe())",
        "widgets.look('tape.avi', 'tape.avi')",
        "widgets.open('tape.avi')",
        "widgets.jobs('q.db')",
    )
    m.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x48", "-frames:v", 1, tmp_path / "own.png")
    with lab(tmp_path) as url:
        run_all(page, url, book.name, ".vhs-wipe .stage img[src]")
        page.wait_for_selector(".vhs-picture[data-shown]")
        page.wait_for_selector(".vhs-bench .base[data-shown]")
        page.wait_for_selector(".vhs-grid table")
        seen(page, STILLS, [False, False, True, False, False])  # the stills hide, a picture of the user's own does not
        seen(page, ".vhs-still", [False])
        page.screenshot(path=tmp_path / "living.png")
        kept = saved(page, book, lambda text: text.count("image/jpeg") >= 4 and "the queue is empty" in text)
        later = tmp_path / "later.ipynb"  # a notebook of its own has a kernel of its own, which knows no widgets
        later.write_text(kept)
        other = another(browser)
        other.goto(f"{url}/lab/tree/{later.name}?reset")
        seen(other, STILLS, [True] * 5)
        images = other.locator(STILLS).all()
        assert [image.evaluate("i => i.naturalWidth") for image in images] == [640, 640, 64, 640, 640]
        other.wait_for_selector(".vhs-still:has-text('the queue is empty')")
        other.screenshot(path=tmp_path / "later.png")
        other.close()
