"""What 2,000 moves of a slider of `widgets.panel` leave behind: in the kernel, and in the page that shows it.

    python benchmarks/widgets_memory.py [--quick]

Every move is a key on the slider, and the next waits until its picture was drawn.  After each hundred, garbage is
collected on both sides (V8's by the browser's HeapProfiler), the browser is told that memory is short, so that it gives
back what it only keeps for later, and the memory of the kernel and of the page's renderer process that is theirs alone
(unique set size) is read, with V8's heap and the number of nodes.  Judged is the sum of the two processes: the slope of
the line through the readings (Theil and Sen) after the first moves.  The browser's other processes are told beside it.

Chromium is driven over its own protocol without the network inspector.  That keeps what it has seen, among it each
picture: through Playwright, which always switches it on, a page grows by a picture a move whatever the page does.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import psutil
from common import save
from websocket import create_connection

from tests import _media as m
from tests._browser import CHROMIUM, notebook, server
from toolkit.profiling.slope import fit

GOAL = 10 * 1024.0  # bytes a move
STEP, FIRST = 100, 400  # moves between two readings, and before the first that counts
CELL = """
import gc, os, signal
from pathlib import Path
from toolkit import Pipeline, widgets
from toolkit.stages import deinterlace, denoise, repair
signal.signal(signal.SIGUSR1, lambda *_: gc.collect())
Path('kernel').write_text(str(os.getpid()))
steps = Pipeline([deinterlace.bwdif(rate='frame'), denoise.temporal(radius=1), repair.levels(gamma=1.1)])
widgets.panel(steps, 'tape.avi', field_order='bff')
"""
#: A key at a time, the way back at the end of the slider; resolves when the last picture was drawn.  Every step of
#: gamma changes the picture (one that is the same is not drawn again).
MOVE = """(async (count) => {
  const image = document.querySelector('.jp-OutputArea-output .vhs-picture');
  const sliders = [...document.querySelectorAll('.jp-OutputArea-output .widget-slider')];
  const handle = sliders.find((s) => s.textContent.includes('gamma')).querySelector('.noUi-handle');
  for (let n = 0; n < count; n += 1) {
    if (handle.ariaValueNow === handle.ariaValueMax) window.key = 'ArrowLeft';
    else if (!window.key || handle.ariaValueNow === handle.ariaValueMin) window.key = 'ArrowRight';
    const drawn = new Promise((done, failed) => {
      const watch = new MutationObserver(() => { watch.disconnect(); done(); });
      watch.observe(image, { attributeFilter: ['data-shown'] });
      setTimeout(() => failed(new Error('no picture came')), 10000);
    });
    handle.dispatchEvent(new KeyboardEvent('keydown', { key: window.key, bubbles: true }));
    await drawn;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  return count;
})(%d)"""


class Tab:
    """One page of Chromium, spoken to over its own protocol."""

    def __init__(self, folder: Path, url: str) -> None:
        words = [CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--remote-allow-origins=*",
                 "--window-size=1300,1300", f"--user-data-dir={folder / 'profile'}", "about:blank"]  # fmt: skip
        with (folder / "chromium.log").open("w") as log:
            self.program = subprocess.Popen(words, stdout=log, stderr=log)
        said, until = None, time.monotonic() + 60
        while said is None and time.monotonic() < until:
            time.sleep(0.1)
            said = re.search(r"ws://(\S+?)/devtools/browser/\S+", (folder / "chromium.log").read_text())
        self.browser = create_connection(said[0], timeout=60)
        asked = urllib.request.Request(f"http://{said[1]}/json/new?{url}", method="PUT")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            self.page = create_connection(json.load(answer)["webSocketDebuggerUrl"], timeout=300)
        self.number = 0

    def ask(self, method: str, where: Any = None, **params: Any) -> dict[str, Any]:
        where, self.number = where or self.page, self.number + 1
        where.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(where.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def run(self, script: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not self.run(script):
            if time.monotonic() > end:
                raise RuntimeError(f"never true: {script}")
            time.sleep(0.2)

    def renderer(self) -> psutil.Process:
        """The process of the page: of several the largest, for Chromium keeps an empty one ready."""
        told = self.ask("SystemInfo.getProcessInfo", self.browser)["processInfo"]
        mine = [psutil.Process(p["id"]) for p in told if p["type"] == "renderer"]
        return max(mine, key=uss)

    def others(self, renderer: psutil.Process) -> list[psutil.Process]:
        """The browser's own process, which holds blobs, and those for graphics, network and so on."""
        top = psutil.Process(self.program.pid)
        return [p for p in (top, *top.children(recursive=True)) if p.pid != renderer.pid]

    def close(self) -> None:
        self.ask("Browser.close", self.browser)
        self.page.close()
        self.browser.close()
        self.program.wait(20)


def uss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().uss
    except psutil.Error:  # gone meanwhile, or about to
        return 0


def reading(tab: Tab, kernel: psutil.Process, renderer: psutil.Process) -> dict[str, float]:
    kernel.send_signal(signal.SIGUSR1)
    for _ in range(2):
        tab.ask("HeapProfiler.collectGarbage")
    tab.ask("Memory.simulatePressureNotification", level="critical")
    time.sleep(0.5)
    told = {m["name"]: m["value"] for m in tab.ask("Performance.getMetrics")["metrics"]}
    return {
        "kernel": uss(kernel), "page": uss(renderer),
        "others": sum(uss(p) for p in tab.others(renderer)),
        "heap": told["JSHeapUsedSize"], "nodes": told["Nodes"], "listeners": told["JSEventListeners"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="600 moves; nothing is saved")
    parser.add_argument("--inspected", action="store_true", help="with the network inspector on; nothing is saved")
    asked = parser.parse_args()
    quick = asked.quick or asked.inspected
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        folder = Path(here)
        (folder / "tape.avi").write_bytes(m.made("dv_pal.avi").read_bytes())
        notebook(folder / "panel.ipynb", CELL.strip())
        words = ["jupyterlab", "--allow-root", "--IdentityProvider.token=", "--ServerApp.password=",
                 "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]  # fmt: skip
        with server(words, folder) as url:
            tab = Tab(folder, f"{url}/lab/tree/panel.ipynb?reset")
            try:
                tab.until("""!!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')""")
                time.sleep(2)
                tab.run("jupyterapp.commands.execute('notebook:run-all-cells').then(() => 1)")
                tab.until("!!document.querySelector('.jp-OutputArea-output .vhs-picture[data-shown]')")
                time.sleep(2)
                tab.ask("Performance.enable")
                if asked.inspected:
                    tab.ask("Network.enable")
                kernel, renderer = psutil.Process(int((folder / "kernel").read_text())), tab.renderer()
                readings, began = [reading(tab, kernel, renderer)], time.perf_counter()
                for _ in range((600 if quick else 2000) // STEP):
                    tab.run(MOVE % STEP)
                    readings.append(reading(tab, kernel, renderer))
                taken = time.perf_counter() - began
            finally:
                tab.close()
    found = judged(readings, taken)
    print(json.dumps(found, indent=1))
    if not quick:
        print(save("widgets_memory", found))


def judged(readings: list[dict[str, float]], taken: float) -> dict[str, Any]:
    counted = readings[FIRST // STEP :]
    series = {name: [r[name] for r in counted] for name in counted[0]}
    series["both"] = [r["kernel"] + r["page"] for r in counted]
    slopes = {}
    for name, values in series.items():
        trend = fit(name, values)
        slopes[name] = {"per_move": round(trend.slope / STEP, 2), "low": round(trend.low / STEP, 2),
                        "high": round(trend.high / STEP, 2), "first": values[0], "last": values[-1]}  # fmt: skip
    return {
        "moves": STEP * (len(readings) - 1), "counted_from": FIRST, "seconds": round(taken), "slopes": slopes,
        "readings": readings, "goal_bytes_per_move": GOAL, "met": slopes["both"]["per_move"] < GOAL,
    }  # fmt: skip


if __name__ == "__main__":
    main()
