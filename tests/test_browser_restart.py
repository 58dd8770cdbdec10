"""A page left open while its kernel goes: each widget says so where one looks, none looks alive, a rerun mends it."""

from __future__ import annotations

import shutil

import pytest

from tests import _media as m
from tests._browser import lab, needs_browser, notebook, restart, run_all, shows, sync_api

pytestmark = needs_browser
CELLS = (
    "from toolkit import widgets\nwidgets.panel('vhs-fast', 'tape.avi', field_order='bff')",
    "widgets.open('tape.avi')",
    "widgets.wipe('tape.avi', 'tape.avi')",
    "widgets.look('tape.avi', 'tape.avi')",
    "widgets.jobs('q.db')",
    "import os\nwidgets.watch(os.getpid())",
)
BUSY = "import os, time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.1)"
LAST = ".vhs-watch tbody tr"
#: What there is to see of each once it is drawn.
DRAWN = (".vhs-panel .vhs-picture[data-shown]", ".vhs-bench .base[data-shown]", ".vhs-wipe .stage img[src]",
         ".jp-CodeCell:nth-child(4) .vhs-picture[data-shown]", ".vhs-jobs table", LAST)  # fmt: skip
#: Of each widget: where its words stand, and what needs a kernel.
PARTS = {
    "panel": (".vhs-panel .vhs-pulse .message", ".vhs-panel .widget-slider"),
    "bench": (".vhs-bench .message", ".vhs-bench .slider"),
    "wipe": (".vhs-wipe .message", ""),
    "look": (".jp-CodeCell:nth-child(4) .vhs-pulse .message", ".jp-CodeCell:nth-child(4) .widget-slider"),
    "jobs": (".jp-CodeCell:nth-child(5) .vhs-pulse .message", ".jp-CodeCell:nth-child(5) .jupyter-button"),
    "watch": (".vhs-watch .message", ""),
}
RESTARTED = "The kernel was restarted"


@pytest.fixture
def folder(tmp_path):
    shutil.copy(m.made("dv_pal.avi"), tmp_path / "tape.avi")
    return tmp_path


def dead(page, name: str) -> None:
    words, control = PARTS[name]
    shows(page, words, RESTARTED)
    if control:
        page.wait_for_function("s => document.querySelector(s).closest('[inert]') !== null", arg=control)


def touch(page, name: str) -> None:
    """Does with a widget what a hand does first."""
    if name == "panel":
        page.locator(".vhs-panel .widget-slider .noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
    elif name == "bench":
        page.locator(".vhs-bench .slider").evaluate("s => { s.value = 3; s.dispatchEvent(new Event('input')) }")
    elif name == "wipe":
        page.locator(".vhs-wipe button[title^='zoom in']").click()
    elif name == "look":
        page.locator(PARTS["look"][1] + " .noUi-handle").focus()
        page.keyboard.press("ArrowRight")
    elif name == "jobs":
        button = page.locator(PARTS["jobs"][1]).first
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        # By the mouse alone: the button may go out of reach as soon as the mouse is there.
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    else:
        page.locator(".vhs-watch").hover()  # its button is gone: the watch has ended with the kernel, and says so, too


def run_again(page) -> None:
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells")
    page.wait_for_function("document.querySelectorAll('.vhs-dead').length === 0")
    drawn(page)


def drawn(page) -> None:
    for selector in DRAWN:
        page.wait_for_selector(selector, state="attached")


def test_a_busy_kernel_is_no_dead_one_and_a_dead_one_is_told_by_all(page, folder):
    book = notebook(folder / "book.ipynb", *CELLS, BUSY)
    with lab(folder, "dark") as url:
        run_all(page, url, book.name, LAST, ends=False)
        drawn(page)
        while not (folder / "begun").exists():  # else the kernel is not busy yet, and silent for no reason
            page.wait_for_timeout(100)
        picture = "document.querySelector('.vhs-panel .vhs-picture').toDataURL()"
        before = page.evaluate(picture)
        touch(page, "panel")
        shows(page, PARTS["panel"][0], "The kernel is busy with a cell")
        assert page.locator(".vhs-dead").count() == 0
        (folder / "go").touch()
        page.wait_for_selector(PARTS["panel"][0], state="hidden")
        page.wait_for_function(f"before => {picture} !== before", arg=before)

        # Behind the page's back: they notice when they are touched.
        restart(page, book.name)
        for name in PARTS:
            touch(page, name)
            dead(page, name)
        page.locator(".vhs-wipe .stage").focus()
        page.keyboard.press("2")
        side = sync_api.expect(page.locator(".vhs-wipe .stage"), "it needs none")
        side.to_have_attribute("data-mode", "side-by-side")
        words = page.locator(".vhs-panel pre").last
        sync_api.expect(words).to_contain_text("vhs-toolkit restore tape.avi")  # they stay, to be copied
        assert words.evaluate("e => e.closest('[inert]') === null")
        page.screenshot(path=folder / "dead.png")
        run_again(page)

        # Before its eyes: at once.
        page.click("text=Kernel >> nth=0")
        page.click("text=Restart Kernel… >> nth=0")
        page.click(".jp-Dialog .jp-mod-accept")
        for name in PARTS:
            dead(page, name)
        page.locator(".vhs-panel .vhs-pulse").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.screenshot(path=folder / "restarted.png")
