"""Panel, wipe and the stop button in a real browser: what moves on the page moves in the kernel, and back."""

from __future__ import annotations

import shutil

import pytest

from tests import _media as m
from tests._browser import lab, needs_browser, notebook, run_all, shows

pytestmark = needs_browser
PANEL = "panel = widgets.panel('vhs-fast', 'tape.avi', field_order='bff')\npanel"
PICTURE = ".jp-OutputArea-output .vhs-picture[data-shown]"
STOPPED = """
import toolkit
try:
    while True:
        toolkit.restore('tape.avi', 'out.mp4', overwrite=True, audio='none', write={'preset': 'slow'})
except KeyboardInterrupt:
    import os
    print('stopped, left:', sorted(n for n in os.listdir() if 'out' in n and n != 'out.mp4'))
"""


@pytest.fixture
def folder(tmp_path):
    shutil.copy(m.made("dv_pal.avi"), tmp_path / "tape.avi")
    return tmp_path


def picture(page) -> str:
    return page.evaluate("s => document.querySelector(s).toDataURL()", PICTURE)


def changed(page, before: str) -> str:
    page.wait_for_function("([s, b]) => document.querySelector(s).toDataURL() !== b", arg=[PICTURE, before])
    return picture(page)


def settled(page) -> str:
    """The picture once no other has come for two seconds: while a slider moves, each of its places is drawn."""
    before = None
    while (now := picture(page)) != before:
        before = now
        page.wait_for_timeout(2000)
    return before


def test_the_picture_follows_sliders_switches_and_order(page, folder):
    notebook(folder / "panel.ipynb", "from toolkit import widgets\n" + PANEL)
    with lab(folder, "dark") as url:
        run_all(page, url, "panel.ipynb", PICTURE)
        first = picture(page)
        command = page.locator(".jp-OutputArea-output pre").last
        assert "vhs-toolkit restore tape.avi" in command.inner_text()
        handle = page.locator(".jp-OutputArea-output .widget-slider:has-text('spatial') .noUi-handle").first
        handle.focus()
        for _ in range(30):
            page.keyboard.press("ArrowRight")
        changed(page, first)
        second = settled(page)
        words = command.inner_text()
        assert "spatial=" in words, words
        switches = page.locator(".jp-OutputArea-output input[type=checkbox]")
        switches.nth(0).uncheck()
        page.wait_for_selector(".jp-OutputArea-output :text('put a deinterlace step before it')")
        assert picture(page) == second, "the last picture stays beside the message"
        switches.nth(0).check()
        page.wait_for_selector(".jp-OutputArea-output :text('put a deinterlace step before it')", state="detached")
        switches.nth(1).uncheck()
        third = changed(page, second)
        assert "spatial=" not in command.inner_text()
        page.locator(".jp-OutputArea-output button:has-text('before')").click()
        changed(page, third)
        page.set_viewport_size({"width": 700, "height": 1300})
        page.wait_for_timeout(300)
        box = page.locator(PICTURE).first.bounding_box()
        assert box["x"] + box["width"] <= 700
        page.screenshot(path=folder / "panel.png")


def test_the_wipe_follows_drag_and_keys(page, folder):
    notebook(
        folder / "wipe.ipynb",
        "from toolkit import widgets\nwipe = widgets.wipe('tape.avi', 'tape.avi')\nwipe",
        "wipe.position, wipe.mode",
    )
    with lab(folder) as url:
        run_all(page, url, "wipe.ipynb", ".vhs-wipe .stage img[src]")
        stage = page.locator(".vhs-wipe .stage")
        box = stage.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=5)
        page.mouse.up()
        assert stage.get_attribute("aria-valuenow") == "20"
        page.mouse.move(box["x"] + box["width"] * 0.9, middle)
        assert stage.get_attribute("aria-valuenow") == "20", "the wipe was let go"
        stage.focus()
        page.keyboard.press("Shift+ArrowRight")
        assert stage.get_attribute("aria-valuenow") == "30"
        page.keyboard.press("4")
        assert stage.get_attribute("data-mode") == "difference"
        page.locator(".jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
        page.keyboard.press("Shift+Enter")
        shows(page, ".jp-CodeCell:nth-of-type(2) .jp-OutputArea-output pre", "(30")
        assert "'difference'" in page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output").inner_text()


def test_the_stop_button_ends_a_restore_and_nothing_is_left(page, folder):
    notebook(folder / "stop.ipynb", "import os\nprint('ready')", STOPPED)
    with lab(folder) as url:
        run_all(page, url, "stop.ipynb", ".jp-OutputArea-output")
        for _ in range(600):
            if list(folder.glob("*.part")) or (folder / "out.mp4").exists():
                break
            page.wait_for_timeout(100)
        page.click("[data-command='notebook:interrupt-kernel'], [data-jp-item-name='interrupt']")
        page.wait_for_selector(".jp-OutputArea-output pre:has-text('stopped')")
        texts = page.locator(".jp-OutputArea-output pre").all_inner_texts()
        assert any("stopped, left: []" in t for t in texts), texts
