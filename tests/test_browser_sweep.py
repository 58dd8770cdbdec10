"""Sweep and queue in a real browser: rows fill in, sort, open in the wipe; jobs are steered, from two notebooks too."""

from __future__ import annotations

import re
import shutil

import pytest

from tests import _media as m
from tests import _sweep as s
from tests._browser import another, lab, needs_browser, notebook, restart, run_all, shows, sized, sync_api
from toolkit.jobs import Queue

pytestmark = needs_browser
OUT = ".vhs-whole"
STEPS = (
    "import toolkit\n"
    "from toolkit import widgets\n"
    "from toolkit.stages import deinterlace, denoise\n"
    "steps = toolkit.Pipeline([deinterlace.bwdif(), denoise.temporal()])\n"
)
SWEEP = STEPS + (
    "space = {'deinterlace': ['bwdif', 'bob'], 'denoise.gate': [4.0, 40.0]}\n"
    "view = widgets.sweep('tape.mkv', steps, space, truth='truth.mkv', folder='runs', bursts=1, length=3)\nview"
)
LONG = STEPS + (
    "space = {'denoise': ['nlmeans'], 'denoise.strength': [1 + n / 1000 for n in range(1000)]}\n"
    "view = widgets.sweep('tape.mkv', steps, space, folder='long', bursts=1, length=3, metrics=())\nview"
)
#: The first takes so long that a look at the queue every two seconds sees it run.
ADD = """from toolkit.jobs import Queue, Wish
fast = {'write': {'preset': 'ultrafast'}, 'field_order': 'tff', 'audio': 'none'}
slow = {**fast, 'write': {'preset': 'veryslow', 'threads': 1}}
tapes = {'one': ('long.avi', slow), 'two': ('tape.mkv', fast), 'three': ('tape.mkv', fast)}
Queue('q.db').add([Wish(t, f'{n}.mp4', 'vhs-fast', settings=how) for n, (t, how) in tapes.items()])
"""
BOTH = """from toolkit import widgets
import ipywidgets
ipywidgets.VBox([widgets.jobs('q.db'), widgets.open('tape.mkv')])"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("books")


@pytest.fixture(scope="module")
def url(folder):
    for source, name in zip(s.files(), ("tape.mkv", "truth.mkv"), strict=True):
        shutil.copy(source, folder / name)
    shutil.copy(m.repeated("huffyuv.avi", 3), folder / "long.avi")
    with lab(folder, "dark") as url:
        yield url


def rows(page) -> list[list[str]]:
    return page.evaluate(
        "() => [...document.querySelectorAll('.vhs-grid tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )


def column(page, name: str) -> list[str]:
    heads = page.locator(".vhs-grid th").all_inner_texts()
    at = next(n for n, text in enumerate(heads) if text.split()[:1] == [name])
    return [row[at] for row in rows(page)]


def press(page, text: str) -> None:
    page.locator(f"{OUT} button:has-text('{text}')").first.click()


def test_rows_fill_in_sort_and_open_in_the_wipe(page, url, folder):
    notebook(folder / "sweep.ipynb", SWEEP)
    run_all(page, url, "sweep.ipynb", ".vhs-grid circle")
    shows(page, OUT, "4 of 4 settings")
    sync_api.expect(page.locator(".vhs-grid circle")).to_have_count(4)
    assert len(rows(page)) == 4
    head = page.locator(".vhs-grid th button:has-text('psnr_Y')")
    head.click()
    best = [float(v) for v in column(page, "psnr_Y")]
    assert {len(v.partition(".")[2]) for v in column(page, "psnr_Y")} == {2} and "4" in column(page, "denoise.gate")
    assert best == sorted(best, reverse=True) and head.inner_text().endswith("▼"), "the best first"
    head.click()
    assert [float(v) for v in column(page, "psnr_Y")] == best[::-1]
    page.locator(".vhs-grid th button:has-text('deinterlace')").click()
    assert sorted(column(page, "deinterlace")) in (column(page, "deinterlace"), column(page, "deinterlace")[::-1])

    # A point of the front is chosen: its row too, and the picture beside the tape, with its numbers.
    assert page.locator(".vhs-wipe").is_hidden()
    page.locator(".vhs-grid circle.front").last.click()  # the others may lie below it, as fast and good as they are
    picture = page.wait_for_selector(".vhs-wipe .two img[src]")
    key = page.locator(".vhs-grid circle.chosen").get_attribute("data-key")
    sync_api.expect(page.locator(f".vhs-grid tr[data-key='{key}']")).to_have_attribute("aria-selected", "true")
    shows(page, ".vhs-wipe .of", "luma of the whole picture against the truth")
    sync_api.expect(page.locator(".vhs-wipe .figures td").first).to_have_text(re.compile(r" dB$"))
    # What is chosen can be read in this dark theme: light on a ground that is not.
    ink, ground = page.locator("tr[aria-selected=true] td").first.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert "255, 255, 255" in ink and ground.endswith(" / 0.25)"), (ink, ground)
    first = picture.get_attribute("src")
    other = page.locator(".vhs-grid tbody tr[aria-selected=false]").first
    other.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("b => document.querySelector('.vhs-wipe .two img').src !== b", arg=first)
    page.screenshot(path=folder / "sweep.png")
    page.locator(f"{OUT} input[placeholder='my-tape.yaml']").fill("mine")
    press(page, "save as preset")
    page.wait_for_selector(f"{OUT} :text('--preset mine.yaml')")
    assert (folder / "mine.yaml").exists()
    press(page, "save as preset")
    page.wait_for_selector(f"{OUT} :text('is there already')")

    # What is wrong is said there, and the widget goes on; sorting needs no kernel, a picture does.
    (folder / "tape.mkv").rename(folder / "away.mkv")
    page.locator(".vhs-grid circle").last.click()
    page.wait_for_selector(f"{OUT} :text('there is no file')")
    (folder / "away.mkv").rename(folder / "tape.mkv")
    page.locator(".vhs-grid circle").last.click()
    page.wait_for_selector(f"{OUT} :text('there is no file')", state="detached")
    sized(page, ".vhs-grid", 620)
    assert page.evaluate("document.querySelector('.vhs-grid').getBoundingClientRect().right <= innerWidth")
    page.screenshot(path=folder / "narrow.png")

    # That the table goes on is said on the side where it does.
    page.wait_for_selector(".vhs-grid .edge[data-more='right']:has(table) + .more", state="visible")
    page.locator(".vhs-grid .wide:has(table)").evaluate("e => { e.scrollLeft = e.scrollWidth }")
    page.wait_for_selector(".vhs-grid .edge[data-more='left']:has(table)")
    restart(page, "sweep.ipynb")
    page.locator(".vhs-grid circle").first.click()
    page.wait_for_selector(".vhs-pulse .message:has-text('The kernel was restarted')")
    head.click()
    assert sorted(float(v) for v in column(page, "psnr_Y")) == sorted(best)


def test_the_sweep_is_stopped_and_keeps_its_rows(page, url, folder):
    notebook(folder / "long.ipynb", LONG)
    run_all(page, url, "long.ipynb", ".vhs-grid tbody tr")
    press(page, "stop")
    page.wait_for_selector(f"{OUT} :text('stopped with')")
    sync_api.expect(page.locator(f"{OUT} button:has-text('stop')").first).to_be_disabled()
    assert 1 <= len(rows(page)) < 1000


def test_two_notebooks_look_at_the_same_clip_and_steer_the_same_queue(page, browser, url, folder):
    notebook(folder / "one.ipynb", ADD + BOTH)
    notebook(folder / "two.ipynb", BOTH)
    run_all(page, url, "one.ipynb", ".vhs-bench .base[data-shown]")
    other = another(browser)
    said = []
    other.on("pageerror", lambda error: said.append(str(error)))
    run_all(other, url, "two.ipynb", ".vhs-bench .base[data-shown]")
    for one, frame in ((page, "Home"), (other, "End")):  # each has a place of its own on the tape
        one.locator(".vhs-bench .stage").click()
        one.keyboard.press(frame)
    shows(page, ".vhs-bench .where", "#0 of")
    shows(other, ".vhs-bench .where", "#15 of 0–15")
    for one in (page, other):
        sync_api.expect(one.locator(".vhs-grid td:text-is('pending')")).to_have_count(3)
        assert [r[1:3] for r in rows(one)] == [["1", "pending"], ["2", "pending"], ["3", "pending"]]

    # Order, cancel and retry in one are seen in the other, and back.
    page.click("button[aria-label='earlier job 3']")
    page.wait_for_selector(".vhs-grid tbody tr:nth-child(2) :text('three.mp4')")
    other.wait_for_selector(".vhs-grid tbody tr:nth-child(2) :text('three.mp4')")
    other.click("button[aria-label='cancel job 2']")
    page.wait_for_selector("button[aria-label='retry job 2']")
    assert page.locator("button[aria-label='cancel job 2']").count() == 0
    page.click("button[aria-label='retry job 2']")
    other.click("button[aria-label='pause job 1']")
    page.wait_for_selector("button[aria-label='resume job 1']")
    page.click("button[aria-label='resume job 1']")
    page.screenshot(path=folder / "jobs.png")
    for width in (700, 1300):  # all that may be done with a job is in sight
        sized(page, ".vhs-grid", width)
        cut = page.evaluate(
            "() => { const side = document.querySelector('.vhs-grid .wide').getBoundingClientRect().right;"
            " return [...document.querySelectorAll('.vhs-grid td button')]"
            "   .map(b => b.getBoundingClientRect().right - side).filter(past => past > 0) }"
        )
        assert cut == [] and page.locator(".vhs-grid td button").count() >= 10, width

    # Both start a worker; each job is done once, and its way is seen in both.
    press(page, "start a worker")
    press(other, "start a worker")
    other.wait_for_selector(".vhs-grid td:text-is('running')")
    for one in (page, other):
        one.wait_for_function(
            "[...document.querySelectorAll('.vhs-grid tbody tr')].every(r => r.cells[2].textContent === 'done')",
            timeout=240_000,
        )
        sync_api.expect(one.locator(".vhs-grid progress")).to_have_count(3)
    queue = Queue(folder / "q.db")
    assert all((folder / f"{n}.mp4").exists() for n in ("one", "two", "three"))
    assert [queue.job(n).tries for n in (1, 2, 3)] == [1, 1, 1]
    queue.close()
    other.close()
    assert said == []
