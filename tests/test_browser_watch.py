"""The watch in a real browser: figures and curves come while a command works, the button ends it, a picture stays."""

from __future__ import annotations

import json
import re

from tests._browser import another, lab, needs_browser, notebook, run_all, saved, seen, shows, sync_api
from tests._process import gone

pytestmark = needs_browser
CELL = """
import sys
from toolkit import widgets
from toolkit.profiling.alerts import Limits
works = '''
import json, time
held, n = [], 0
while True:
    n += 1
    held = [*held[-30:], bytearray(b"1") * 5_000_000]
    print(json.dumps({"stage": "read" if n < 20 else "restore", "per_second": 50.0 - n % 7}), flush=True)
    time.sleep(0.1)
'''
view = widgets.watch(command=[sys.executable, "-S", "-c", works], every=0.2, limits=Limits(memory=60e6))
view
"""


def whole(text: str) -> bool:
    """Whether a notebook holds the picture of the whole run."""
    outputs = json.loads(text)["cells"][0]["outputs"]
    return any("stopped with the watching" in str(o["data"].get("text/plain")) for o in outputs)


def test_a_run_is_seen_while_it_works_and_a_picture_stays(page, browser, tmp_path):
    notebook(tmp_path / "watch.ipynb", CELL)
    with lab(tmp_path, "dark") as url:
        run_all(page, url, "watch.ipynb", ".vhs-watch tbody tr")
        page.wait_for_selector(".vhs-watch tr:has-text('frames/s, restore')")
        shows(page, ".vhs-watch .alerts", "ALERT at")
        curve = page.locator(".vhs-watch tr:has-text('memory') path").first
        sync_api.expect(curve).to_have_attribute("d", re.compile("L.*L"))
        sync_api.expect(curve).not_to_have_attribute("d", curve.get_attribute("d"))
        ink = page.evaluate("getComputedStyle(document.querySelector('.vhs-watch')).color").split("(")[1].split(",")
        assert int(ink[0]) > 128, "light ink on a dark page"
        page.screenshot(path=tmp_path / "live.png")
        name = page.locator(".vhs-watch .name").inner_text()
        page.click("text=Run >> nth=0")
        page.click("text=Run All Cells")
        page.wait_for_selector(f".vhs-watch .name:text-matches('[0-9]'):not(:text-is('{name}'))")
        assert gone(int(name.split("(")[1].rstrip(")"))), "the cell run again takes the place of its old run"
        page.wait_for_selector(".vhs-watch tbody tr")
        page.click(".vhs-watch button")
        shows(page, ".vhs-watch .message", "was stopped with the watching")
        sync_api.expect(page.locator(".vhs-watch button")).to_be_hidden()
        kept = saved(page, tmp_path / "watch.ipynb", whole)
        seen(page, ".jp-RenderedImage img", [False])  # the still hides behind the living widget
        page.screenshot(path=tmp_path / "ended.png")
        (tmp_path / "later.ipynb").write_text(kept)
        other = another(browser)
        other.goto(f"{url}/lab/tree/later.ipynb?reset")
        seen(other, ".jp-RenderedImage img", [True])
        assert other.locator(".jp-RenderedImage img").evaluate("i => i.naturalWidth") > 500
        other.screenshot(path=tmp_path / "later.png")
        other.close()
