"""A real browser on a real JupyterLab or Voila."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

try:
    from playwright import sync_api
except ImportError:
    sync_api = None

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Set where these tests must not be skipped.
REQUIRED = bool(os.environ.get("VHS_TOOLKIT_REQUIRE_BROWSER"))
#: Seconds after which what was waited for will not come: a machine that does much else is slow, not wrong.
LIMIT = 120
if sync_api is not None:
    sync_api.expect.set_options(timeout=1000 * LIMIT)
needs_browser = pytest.mark.skipif(
    not REQUIRED and (CHROMIUM is None or sync_api is None),
    reason="needs Chromium and Playwright: apt-get install chromium, pip install playwright",
)
ROOT = Path(__file__).parents[1]
#: What a page says for reasons of its own: Voila's fonts from the net, a kernel that is gone, a server that ended.
EXPECTED = ("net::ERR_", "widget model not found", "404", "Failed to fetch")


@contextlib.contextmanager
def server(words, folder, theme="light"):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, settings = f"http://127.0.0.1:{port}", folder / ".settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": f"JupyterLab {theme.capitalize()}"}))
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false"}))
    env = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".spaces"),
    }  # fmt: skip
    with (folder / "server.log").open("w") as log:
        program = subprocess.Popen(
            [sys.executable, "-m", *words, "--no-browser", f"--port={port}"],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + LIMIT
        while not _answers(url):
            said = (folder / "server.log").read_text()[-2000:]
            assert program.poll() is None and time.monotonic() < end, said
            time.sleep(0.25)
        yield url
    finally:
        program.terminate()
        try:
            program.wait(60)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(60)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/static/favicon.ico", timeout=5)
    except urllib.error.HTTPError:
        pass
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def lab(folder, theme="light"):
    words = ["jupyterlab", "--allow-root", "--IdentityProvider.token=", "--ServerApp.password="]
    # Another port than the one that was asked for would never be found; the page's own `jupyterapp` is for `run_all`.
    words += ["--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"]
    return server([*words, f"--ServerApp.root_dir={folder}"], folder, theme)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, tmp_path):
    page = another(browser)
    said = []
    page.on("console", lambda c: said.append(c.text) if c.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    page.screenshot(path=tmp_path / "last.png")  # to be looked at, above all when the test failed
    page.close()
    assert [s for s in said if not any(e in s for e in EXPECTED)] == []


def another(browser):
    """A window beside the test's own."""
    page = browser.new_page(viewport={"width": 1300, "height": 1300})
    page.set_default_timeout(1000 * LIMIT)
    return page


def seen(page, selector: str, wanted: list[bool]) -> None:
    """Waits until the elements of `selector` are loaded, as many as `wanted`, and in sight where that says so."""
    page.wait_for_function(
        "([selector, wanted]) => { const all = [...document.querySelectorAll(selector)];"
        " if (wanted.at(-1)) all.at(-1)?.scrollIntoView();"  # a long notebook renders what comes into view
        " return all.length === wanted.length"
        "   && all.every((e, n) => e.complete !== false && (e.getClientRects().length > 0) === wanted[n]) }",
        arg=[selector, wanted],
    )


def saved(page, book: Path, done) -> str:
    """Saves a notebook until its text is as `done` says; that text.  What an output becomes last arrives between cells.

    The file itself may be half written: the page saves it again and again.
    """
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        page.keyboard.press("Control+s")
        time.sleep(0.5)
        text = book.read_text()
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text)
            if done(text):
                return text
    raise AssertionError(f"{book.name} was not saved as it should be: {book.read_text()[-3000:]}")


def run_all(page, url: str, book: str, shown: str, ends: bool = True) -> None:
    """Opens a notebook, runs all its cells once and waits until `shown`, a selector, is there.

    ends : whether the last cell comes to an end; then that is waited for, too: JupyterLab scrolls and takes the focus
           until it has.
    """
    page.goto(f"{url}/lab/tree/{book}?reset")
    page.wait_for_function(_READY, arg=book)
    page.evaluate(_RUN)
    if ends:
        page.wait_for_function("window.ran === true")
    page.wait_for_selector(shown)


#: JupyterLab calls a kernel idle before it has one, asks then which to take, and forgets the cells meanwhile.
_READY = """(book) => {
  const { context } = window.jupyterapp?.shell.currentWidget ?? {};
  const session = context?.sessionContext;
  const kernel = session?.session?.kernel;
  return context?.path === book && context.isReady && session.isReady
    && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
_RUN = """() => {
  window.ran = false;
  const ended = (how) => (window.ran = how);
  jupyterapp.commands.execute("notebook:run-all-cells").then(() => ended(true), (error) => ended(String(error)));
}"""


def sized(page, selector: str, width: int) -> None:
    """Makes the window `width` wide and waits until `selector` and all in it have come to rest."""
    page.set_viewport_size({"width": width, "height": 1300})
    page.wait_for_function("width => innerWidth === width", arg=width)
    page.evaluate(_REST, selector)


#: Rest is counted in frames, not in time: a page that stalls draws none.
_REST = """async (selector) => {
  const look = () => [...document.querySelectorAll(`${selector}, ${selector} *`)].map((e) => {
    const { x, width, height } = e.getBoundingClientRect();
    return `${x} ${width} ${height}`;
  }).join();
  for (let [before, same] = ["", 0]; same < 20; ) {
    await new Promise(requestAnimationFrame);
    const now = look();
    same = now === before ? same + 1 : 0;
    before = now;
  }
}"""


def restart(page, book: str) -> None:
    """Restarts the kernel of an open notebook behind its page's back."""
    page.evaluate(_RESTART, book)


_RESTART = """async (book) => {
  const sessions = await (await fetch('/api/sessions')).json();
  const kernel = sessions.find((s) => s.path === book).kernel.id;
  const headers = { 'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1] };
  const answer = await fetch(`/api/kernels/${kernel}/restart`, { method: 'POST', headers });
  if (!answer.ok) throw new Error(`not restarted: ${answer.status} ${await answer.text()}`);
}"""


def shows(page, selector: str, text: str) -> None:
    """Waits until the first `selector` reads `text`."""
    page.wait_for_function(
        "([s, t]) => { const e = document.querySelector(s); return e && (e.value ?? e.textContent).includes(t) }",
        arg=[selector, text],
    )


def notebook(path: Path, *cells: str) -> Path:
    """A notebook of these code cells, not run yet."""
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_code_cell(text) for text in cells]
    nbformat.write(book, path)
    return path
