"""A run looked at from outside while it works: figures and curves as they come, alerts, and a button that ends it."""

from __future__ import annotations

import base64
import copy
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from toolkit.errors import ToolkitError
from toolkit.profiling import watch as watching
from toolkit.profiling.alerts import Alert, Limits
from toolkit.profiling.course import Course
from toolkit.profiling.looks import Look
from toolkit.profiling.records import Records
from toolkit.widgets.page import joined
from toolkit.widgets.polling import Polling
from toolkit.widgets.still import MARK, Output, Still

DRAW = 1.0  # least seconds between two drawings
KEEP = 60.0  # seconds between two stills that stay in the notebook
ALERTS = 20  # shown, the last ones
_watching: set[WatchView] = set()


class WatchView(Still, anywidget.AnyWidget):
    """What `watch` shows.  All it shows lies in its traits; `found` is the sum of it once it has ended.

    state : "watching", "ended" or "failed".
    """

    _esm = joined("page.js", "kernel.js", "watch.js")
    _css = joined("page.css", "watch.css")
    name = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("watching").tag(sync=True)
    seen = traitlets.Dict({"times": [], "rows": [], "alerts": []}).tag(sync=True)  # one trait: one message a drawing
    message = traitlets.Dict({"text": "", "kind": "note"}).tag(sync=True)
    action = traitlets.Unicode("stop watching").tag(sync=True)

    def __init__(
        self, wanted: dict[str, Any], every: float, limits: Limits | None, output: Path | None, **more: Any
    ) -> None:
        super().__init__(**more)
        self.course, self.found = Course(), None
        self._wanted, self._every, self._limits, self._output = wanted, every, limits, output
        self._told: list[Alert] = []
        self._stop, self._ended, self._next = threading.Event(), threading.Event(), 0.0
        self._lock = threading.Lock()  # on the course
        self._kept, self._cell = 0.0, _running_cell()
        if wanted.get("command") is not None:
            self.action = "end the command"
        self.on_msg(self._asked)
        # A thread, so that a cell that computes is watched too.  It ends with the target, the button and the kernel.
        self._thread = threading.Thread(target=self._run, name="vhs-watch")
        self._polling = Polling(self._keep_still, DRAW)

    def _asked(self, _: Any, said: dict[str, Any], __: Any) -> None:
        if said.get("do") == "stop":
            self._stop.set()
        self.send({"kind": "done", "number": said.get("number")})

    def start(self) -> None:
        """Begins; what was asked for is opened in the watching thread.  What the same cell began before is stopped."""
        for old in list(_watching):
            if self._cell and old._cell and old._cell[0] == self._cell[0] and old._cell[1] != self._cell[1]:
                old._stop.set()
        _watching.add(self)
        self._thread.start()
        self._polling.start()

    def stop(self) -> None:
        """Ends the watching within a second or so, and a command that was started for it."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wait(self, timeout: float | None = None) -> watching.Watched | None:
        """Waits until the watched has ended; what was seen in all, None when it goes on after `timeout` seconds.

        An interrupt (the notebook's stop button, Ctrl-C) ends the watching, and a command with it.
        """
        try:
            self._ended.wait(timeout)
        except KeyboardInterrupt:
            self.stop()
            raise
        finally:
            self._keep_still()
        return self.found

    def close(self) -> None:
        """Ends the watching and takes the widget away."""
        self._polling.stop()
        self.stop()
        super().close()

    # -- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._watch()
        except ToolkitError as error:
            self._say(str(error))
        except Exception as error:  # a dead widget would be worse than a plain message
            self._say(f"this could not be watched: {type(error).__name__}: {error}")
        _watching.discard(self)
        self._ended.set()

    def _watch(self) -> None:
        with ExitStack() as stack:
            target = stack.enter_context(watching.opened(**self._wanted))
            self.name = f"{target.tree.name} ({target.tree.root.pid})"
            records = None if self._output is None else stack.enter_context(Records(self._output, Look))

            def on_look(look: Look) -> None:
                with self._lock:
                    self.course.add(look)
                if records is not None:
                    records.add(look)
                if (now := time.monotonic()) >= self._next:
                    self._next = (self._next if now - self._next < DRAW else now) + DRAW
                    self._draw()

            found = watching.watch(
                target, every=self._every, limits=self._limits, on_look=on_look, on_alert=self._told.append,
                stopped=self._stopped,
            )  # fmt: skip
            failed = watching.failure(found.code, target.log)
        self.found = found
        self._draw()
        self._say(failed or str(found), "error" if failed else "note")

    def _stopped(self) -> bool:
        return self._stop.is_set() or not threading.main_thread().is_alive()  # the kernel ends

    def _draw(self) -> None:
        self.seen = {
            "times": [round(t, 2) for t in self.course.times], "rows": self.course.rows([a.kind for a in self._told]),
            "alerts": [str(a) for a in self._told[-ALERTS:]],
        }  # fmt: skip

    def _say(self, text: str, kind: str = "error") -> None:
        self.message = {"text": text, "kind": kind}
        self.state = "failed" if kind == "error" else "ended"

    # -- the picture that stays ----------------------------------------------------------------------------------

    def _keep_still(self) -> bool:
        """Brings the still up to date when it is time; whether there is more to wait for."""
        ended = self._ended.is_set()  # before drawing, so that the last looks are in it
        if self.course.times and (ended or time.monotonic() - self._kept >= KEEP):
            self.keep()
        if ended:
            self._handle = None
        return not ended

    def _leaves(self) -> Output:
        words = self.message["text"] or f"{self.name or 'the run'} is watched"
        with self._lock:
            course, told = copy.deepcopy(self.course), list(self._told)
        self._kept = time.monotonic()
        picture = base64.b64encode(course.picture(words, told)._repr_png_()).decode()
        return {"image/png": picture, "text/plain": repr(self)}, MARK

    def _ipython_display_(self, **_: Any) -> None:
        ended = self._ended.is_set()
        super()._ipython_display_()
        if ended:
            self._handle = None
        else:
            self._kept += 5 - KEEP  # the first one with something in it comes soon

    def __repr__(self) -> str:
        return f"WatchView({self.message['text'] or self.name or 'nothing seen yet'})"


def _running_cell() -> tuple[str, str] | None:
    """The cell that runs and this run of it, where the notebook tells."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else {}
    cell = parent.get("metadata", {}).get("cellId")
    return (cell, parent["header"]["msg_id"]) if cell else None


def watch(
    pid: Any = None,
    *,
    command: str | Sequence[str] | None = None,
    job: Any = None,
    queue: Any = None,
    every: float = 1.0,
    limits: Limits | None = None,
    output: Path | str | None = None,
) -> WatchView:
    """Watches a run: memory, temporary files, processor, GPU, disk, open files, frames a second by stage, alerts.

    pid     : a process that runs, or its number: `os.getpid()` for this notebook itself.
    command : a program to start and watch, as one string or as its words; it ends with the watching.
    job     : a running job of the queue, or its number.  queue : a `Queue` or its file, in place of the user's own;
              without `job`, its only running one.
    every   : seconds between two looks.  limits : when to alert, a `profiling.alerts.Limits`.
    output  : every look into a .jsonl or .parquet file as well.

    The same as `vhs-toolkit profile watch`, drawn at most once a second.  It looks from a thread of its own, so that a
    cell that computes is seen as well.  The button stops it; so do the end of the run, the same cell run again and the
    end of the kernel.  `wait()` waits for the end.  What goes wrong is said in the widget.
    """
    wanted = {
        "pid": getattr(pid, "pid", pid), "command": command, "job": getattr(job, "id", job),
        "queue": getattr(queue, "path", queue),
    }  # fmt: skip
    view = WatchView(wanted, every, limits, None if output is None else Path(output))
    view.start()
    return view
