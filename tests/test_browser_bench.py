"""The tape bench in a real browser: JupyterLab and Voila, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

import importlib.util
import shutil

import nbformat
import pytest

from tests import _media as m
from tests._browser import (
    ROOT,
    another,
    lab,
    needs_browser,
    notebook,
    restart,
    run_all,
    saved,
    seen,
    server,
    shows,
    sized,
)

pytestmark = needs_browser


@pytest.fixture
def folder(tmp_path):
    shutil.copy(m.made("dv_pal.avi"), tmp_path / "tape.avi")
    notebook(tmp_path / "bench.ipynb", "from toolkit import widgets\nbench = widgets.open('tape.avi')\nbench")
    return tmp_path


def run(page, url, book="bench.ipynb"):
    run_all(page, url, book, ".vhs-bench .base[data-shown]")


def fits(page):
    """Nothing sticks out of the widget, and it stays inside the window."""
    return page.evaluate(
        "() => { const e = document.querySelector('.vhs-bench'), b = e.getBoundingClientRect();"
        " return e.scrollWidth <= e.clientWidth + 1 && b.right <= innerWidth }"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_bench_follows_mouse_and_keyboard(page, folder, theme):
    with lab(folder, theme) as url:
        run(page, url)
        shows(page, ".vhs-bench td", "tape.avi")
        page.wait_for_function("document.querySelectorAll('.vhs-bench .strip img[src]').length == 16")
        seen(page, ".jp-RenderedImage img", [False])  # the still hides behind the living widget
        ink, paper = page.evaluate(
            "() => [getComputedStyle(document.querySelector('.vhs-bench')).color,"
            " getComputedStyle(document.querySelector('.vhs-bench .views button[aria-pressed=false]')).backgroundColor]"
            ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3)"
        )
        assert (ink > 128, paper > 128) == ((True, False) if theme == "dark" else (False, True))
        stage = page.locator(".vhs-bench .stage")
        stage.click()
        page.keyboard.press("ArrowRight")
        shows(page, ".vhs-bench .code", "00:00:00:15")
        page.keyboard.press("End")
        shows(page, ".vhs-bench .code", "00:00:01:04")
        page.locator(".vhs-bench .slider").evaluate("s => { s.value = 3; s.dispatchEvent(new Event('input')) }")
        shows(page, ".vhs-bench .code", "00:00:00:03")
        page.click(".vhs-bench [data-view=separate]")
        page.wait_for_function(
            "document.querySelectorAll('.vhs-bench .pane:not([hidden]) .base[data-shown]').length == 2"
        )
        page.click(".vhs-bench [data-view=woven]")
        stage.click()
        page.keyboard.press("+")
        page.wait_for_selector(".vhs-bench .detail[data-shown]")
        page.wait_for_function("document.querySelector('.vhs-bench .detail').width === 360")
        page.keyboard.press("0")
        page.keyboard.press(" ")
        page.wait_for_selector(".vhs-bench .stage.playing")
        page.wait_for_function("Number(document.querySelector('.vhs-bench .stage').dataset.played) > 5")
        page.keyboard.press(" ")
        page.wait_for_selector(".vhs-bench .stage:not(.playing)")
        page.click("text=sound from here")
        page.wait_for_function("document.querySelector('.vhs-bench audio').duration > 0.5")
        page.fill(".vhs-bench .code", "7:00:00:00")
        page.keyboard.press("Enter")
        shows(page, ".vhs-bench .message", "there is no frame 630000 (07:00:00:00)")
        page.keyboard.press("Control+b")
        for width in (1300, 500):
            sized(page, ".vhs-bench", width)
            assert fits(page), width
        page.screenshot(path=folder / f"{theme}.png")


def test_a_tape_that_goes_away_and_a_notebook_without_its_kernel(page, browser, folder):
    with lab(folder) as url:
        run(page, url)
        (folder / "tape.avi").rename(folder / "away.avi")
        page.locator(".vhs-bench .stage").click()
        page.keyboard.press("ArrowRight")
        shows(page, ".vhs-bench .message[data-kind=error]", "tape.avi cannot be read any more")
        (folder / "away.avi").rename(folder / "tape.avi")
        page.click("text=try again")
        page.wait_for_selector(".vhs-bench .message", state="hidden")
        shows(page, ".vhs-bench .code", "00:00:00:15")
        kept = saved(page, folder / "bench.ipynb", lambda text: "image/jpeg" in text)
        assert "Traceback" not in kept
        restart(page, "bench.ipynb")
        page.locator(".vhs-bench .stage").click()
        page.keyboard.press("ArrowRight")
        shows(page, ".vhs-bench .message", "The kernel was restarted")
        (folder / "later.ipynb").write_text(kept)
        other = another(browser)
        other.goto(f"{url}/lab/tree/later.ipynb?reset")
        seen(other, ".jp-RenderedImage img", [True])
        assert other.locator(".jp-RenderedImage img").evaluate("i => i.naturalWidth") == 640
        other.close()


@pytest.mark.skipif(importlib.util.find_spec("voila") is None, reason="Voila is not installed")
def test_the_bench_is_an_application_under_voila(page, folder):
    book = nbformat.read(ROOT / "notebooks/90_voila_bench.ipynb", 4)
    next(c for c in book.cells if "parameters" in c.metadata.get("tags", [])).source = "tape, folder = 'tape.avi', '.'"
    nbformat.write(book, folder / "90.ipynb")
    with server(["voila", "90.ipynb", "--theme=dark"], folder) as url:
        page.goto(url, wait_until="domcontentloaded")  # not for fonts from the net
        page.wait_for_selector(".vhs-bench .base[data-shown]")
        assert page.locator("text=import toolkit").count() == 0, "no code"
        shows(page, ".vhs-bench td", "tape.avi")
        page.locator(".vhs-bench .stage").click()
        page.keyboard.press("ArrowRight")
        shows(page, ".vhs-bench .code", "00:00:00:15")
        box = page.locator("input[type=text]").first
        box.fill("nowhere.avi")
        box.press("Enter")
        shows(page, ".vhs-bench .message[data-kind=error]", "there is no file")
        box.fill("tape.avi")
        box.press("Enter")
        shows(page, ".vhs-bench .code", "00:00:00:14")
        sized(page, ".vhs-bench", 500)
        assert fits(page)
