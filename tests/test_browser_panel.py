"""Panel, wipe and the stop button in a real browser: what moves on the page moves in the kernel, and back."""

from __future__ import annotations

import ast
import base64
import math
import shlex
import shutil
import time

import pytest

from tests import _media as m
from tests import _sweep as s
from tests._browser import LIMIT, lab, needs_browser, notebook, run_all, shows, sized, sync_api
from toolkit import widgets
from toolkit.clip import Clip

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

#: The words of an element's text that do not stand in one line.
_TORN = r"""(selector) => {
  const torn = [], range = document.createRange();
  for (const shown of document.querySelectorAll(selector)) {
    const nodes = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) {
      for (const word of nodes.currentNode.data.matchAll(/\S+/g)) {
        range.setStart(nodes.currentNode, word.index);
        range.setEnd(nodes.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) torn.push(word[0]);
      }
    }
  }
  return torn;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("books")


@pytest.fixture(scope="module")
def url(folder):
    shutil.copy(m.made("dv_pal.avi"), folder / "tape.avi")
    with lab(folder, "dark") as url:
        yield url


def picture(page) -> str:
    return page.evaluate("s => document.querySelector(s).toDataURL()", PICTURE)


def changed(page, before: str) -> str:
    page.wait_for_function("([s, b]) => document.querySelector(s).toDataURL() !== b", arg=[PICTURE, before])
    return picture(page)


#: A picture as the canvas gives it once it is drawn there.
_DRAWN = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes]));
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas.toDataURL();
}"""


def becomes(page, jpeg: bytes) -> str:
    """Waits until the picture is this one: while a slider moves, each of its places is drawn."""
    wanted = page.evaluate(_DRAWN, base64.b64encode(jpeg).decode())
    page.wait_for_function("([s, w]) => document.querySelector(s).toDataURL() === w", arg=[PICTURE, wanted])
    return wanted


def test_the_picture_follows_sliders_switches_and_order(page, url, folder):
    notebook(folder / "panel.ipynb", "from toolkit import widgets\n" + PANEL)
    run_all(page, url, "panel.ipynb", PICTURE)
    first = picture(page)
    command = page.locator(".jp-OutputArea-output pre").last
    sync_api.expect(command).to_contain_text("vhs-toolkit restore tape.avi")
    handle = page.locator(".jp-OutputArea-output .widget-slider:has-text('spatial') .noUi-handle").first
    handle.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    changed(page, first)
    twin = widgets.panel("vhs-fast", folder / "tape.avi", field_order="bff")
    spatial = next(row.controls["spatial"].field for row in twin.rows if "spatial" in row.controls)
    spatial.value += 30 * spatial.step
    twin.draw()
    assert "spatial=" in twin.command
    sync_api.expect(command).to_contain_text(twin.command)
    second = becomes(page, twin.picture.value)
    switches = page.locator(".jp-OutputArea-output input[type=checkbox]")
    switches.nth(0).uncheck()
    page.wait_for_selector(".jp-OutputArea-output :text('put a deinterlace step before it')")
    assert picture(page) == second, "the last picture stays beside the message"
    switches.nth(0).check()
    page.wait_for_selector(".jp-OutputArea-output :text('put a deinterlace step before it')", state="detached")
    switches.nth(3).uncheck()  # hqdn3d
    third = changed(page, second)
    sync_api.expect(command).not_to_contain_text("spatial=")
    page.locator(".jp-OutputArea-output button:has-text('before')").click()
    changed(page, third)
    sized(page, ".vhs-panel", 700)
    box = page.locator(PICTURE).first.bounding_box()
    assert box["x"] + box["width"] <= 700
    cut = page.evaluate(
        "() => [...document.querySelectorAll('.vhs-panel button')].filter(b => b.scrollWidth > b.clientWidth)"
        ".map(b => b.title || b.textContent)"
    )
    assert cut == [], "no button's face is cut"
    tops = page.locator(".vhs-panel .widget-toggle-button").evaluate_all("a => a.map(e => e.offsetTop)")
    assert len(tops) == 3 and len(set(tops)) == 1, "the views stay in one line"
    torn = page.evaluate(_TORN, ".vhs-panel pre[style*='user-select']")
    assert torn == [], "lines break between words"
    copied = command.evaluate("e => { getSelection().selectAllChildren(e); return getSelection().toString() }")
    assert shlex.split(copied)[:3] == ["vhs-toolkit", "restore", "tape.avi"] and "--denoise none" in copied, copied
    page.screenshot(path=folder / "panel.png")


def test_a_name_that_is_typed_while_the_kernel_works_is_the_preset_s(page, url, folder):
    busy = "import os, time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.1)"
    notebook(folder / "name.ipynb", "from toolkit import widgets\n" + PANEL, busy)
    run_all(page, url, "name.ipynb", PICTURE, ends=False)
    until(page, lambda: (folder / "begun").exists(), "the kernel works")
    page.locator("input[placeholder='my-tape.yaml']").press_sequentially("mine")
    page.locator("button:has-text('save as preset')").click()
    (folder / "go").touch()
    until(page, lambda: list(folder.glob("*.yaml")), "a preset is there")
    assert [p.name for p in folder.glob("*.yaml")] == ["mine.yaml"]


def until(page, holds, what: str) -> None:
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        page.wait_for_timeout(50)


def drawn(page, number: float, steps: int) -> None:
    """Drags from 0.5 of the wipe's width to `number` of it."""
    box = page.locator(".vhs-wipe .stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * number, middle, steps=steps)
    page.mouse.up()


def told(page) -> tuple[float, list[float], str, float]:
    """Zoom, centre and mode as the kernel has them, and where the wipe stands.

    Asked three times: of what the hand did, a part may be on its way, a part wait in the page for the answer to that,
    and a part wait for the answer to both.
    """
    cell = page.locator(".jp-CodeCell").nth(1)
    cell.locator(".jp-InputArea-editor").click()
    for _ in range(3):
        before = cell.locator(".jp-InputPrompt").inner_text()
        page.keyboard.press("Control+Enter")
        text = page.wait_for_function(
            "b => { const cell = document.querySelectorAll('.jp-CodeCell')[1];"
            " const prompt = cell.querySelector('.jp-InputPrompt').innerText;"
            " return prompt !== b && !prompt.includes('*') && cell.querySelector('.jp-OutputArea-output')?.innerText }",
            arg=before,
        ).json_value()
    return ast.literal_eval(text.strip())


def places(page) -> list[list[float]]:
    """Left, top, width and height of whole and detail in both halves, by the half's width."""
    return page.evaluate(
        "() => [...document.querySelectorAll('.vhs-wipe .half')].map(h => ['.whole', '.detail'].map(k => {"
        " const p = h.querySelector(k).getBoundingClientRect(), b = h.getBoundingClientRect();"
        " return [p.left - b.left, p.top - b.top, p.width, p.height].map(v => v / b.width) })).flat()"
    )


def alike(boxes: list[list[float]]) -> bool:
    """Whether both halves show the same part, four times as large as the whole, and its samples cover it."""
    whole, detail = boxes[0:3:2], boxes[1:4:2]
    return (
        whole[0] == pytest.approx(whole[1], abs=2e-3)
        and whole[0][2] == pytest.approx(4, abs=1e-3)
        and detail[0] == pytest.approx(detail[1], abs=2e-3)
        and 1 <= detail[0][2] < 1.1
    )


def test_the_wipe_zooms_both_pictures_together_and_measures_what_is_shown(page, url, folder):
    tape, truth = s.files()
    for source in (tape, truth):
        shutil.copy(source, folder / source.name)
    m.ffmpeg("-i", truth, "-vf", "gblur=sigma=2", "-c:v", "ffv1", folder / "after.mkv")
    notebook(
        folder / "wipe.ipynb",
        "from toolkit import widgets\n"
        f"wipe = widgets.wipe('{tape.name}', 'after.mkv', truth='{truth.name}', time=0.2)\nwipe",
        "wipe.zoom, wipe.centre, wipe.mode, wipe.position",
    )
    run_all(page, url, "wipe.ipynb", ".vhs-wipe .stage img[src]")
    stage = page.locator(".vhs-wipe .stage")
    drawn(page, 0.2, steps=5)
    now = sync_api.expect(stage)
    now.to_have_attribute("aria-valuenow", "20")
    page.mouse.move(stage.bounding_box()["x"] + 500, stage.bounding_box()["y"] + 99)
    assert stage.get_attribute("aria-valuenow") == "20", "the wipe was let go"
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    now.to_have_attribute("aria-valuenow", "31")
    shows(page, ".vhs-wipe .of", "luma of the whole picture")
    page.screenshot(path=folder / "wipe.png")

    # The wheel enlarges what lies under the pointer, in every mode both pictures alike.
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5)
    for size in ("1.4x", "2x", "2.8x", "4x"):
        page.mouse.wheel(0, -100)  # one by one: a busy browser makes one turn of several
        sync_api.expect(page.locator(".vhs-wipe .bar button[title^='whole picture']")).to_have_text(size)
    page.wait_for_selector(".vhs-wipe .two .detail[data-shown]")
    zoom, centre, mode, position = told(page)
    assert (zoom, mode, round(position)) == (pytest.approx(4), "wipe", 31)
    assert centre[0] == pytest.approx(0.75 - 0.25 / 4, abs=0.002), "what lay under the pointer stayed there"
    drawn(page, 0.6, steps=4)  # beside the line: moves the picture
    moved = told(page)
    assert moved[1][0] == pytest.approx(centre[0] - 0.1 / 4, abs=0.003) and moved[3] == position
    stage.focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    for key, name in enumerate(("wipe", "side-by-side", "blink", "difference"), 1):
        page.keyboard.press(str(key))
        now.to_have_attribute("data-mode", name)
        until(page, lambda: alike(places(page)), "both halves show the same part")
        page.screenshot(path=folder / f"zoomed_{name}.png")
    zoom, centre, mode, _ = told(page)
    assert mode == "difference" and centre[1] < 0.5

    # The figures are those of the samples in that window.
    frames = {p.name: [b.planes[0][0] for b in Clip.open(p).batches(1)] for p in (truth, folder / "after.mkv")}
    times = [float(b.times[0]) for b in Clip.open(truth).batches(1)]
    number = max(n for n, t in enumerate(times) if t <= 0.2)
    low = [(min(max(c, 0.125), 0.875) - 0.125) * size for c, size in zip(centre, (s.WIDTH, s.HEIGHT), strict=True)]
    rows, columns = (slice(math.floor(v), math.ceil(v + n / 4)) for v, n in ((low[1], s.HEIGHT), (low[0], s.WIDTH)))
    a, b = (f[number][rows, columns].astype(float) for f in frames.values())
    want = 10 * math.log10(255**2 / ((a - b) ** 2).mean())
    shown = page.locator(".vhs-wipe .figures tr").last.locator("td").first
    sync_api.expect(shown).to_have_text(f"{want:.2f} dB")
    sync_api.expect(page.locator(".vhs-wipe .of")).to_contain_text(f"{a.shape[1]}x{a.shape[0]} samples")

    page.locator(".vhs-wipe .stage").focus()
    page.keyboard.press("0")
    page.wait_for_selector(".vhs-wipe .stage:not(.zoomed)")
    page.keyboard.press("1")
    sized(page, ".vhs-wipe", 600)
    assert page.evaluate("document.querySelector('.vhs-wipe').getBoundingClientRect().right <= innerWidth")
    page.screenshot(path=folder / "narrow.png")


def test_the_stop_button_ends_a_restore_and_nothing_is_left(page, url, folder):
    notebook(folder / "stop.ipynb", "import os\nprint('ready')", STOPPED)
    run_all(page, url, "stop.ipynb", ".jp-OutputArea-output", ends=False)
    until(page, lambda: list(folder.glob("*.part")) or (folder / "out.mp4").exists(), "something is written")
    page.click("[data-command='notebook:interrupt-kernel'], [data-jp-item-name='interrupt']")
    page.wait_for_selector(".jp-OutputArea-output pre:has-text('stopped')")
    stopped = page.locator(".jp-OutputArea-output pre:has-text('stopped')").first
    sync_api.expect(stopped).to_contain_text("stopped, left: []")
