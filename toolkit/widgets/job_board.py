"""The queue under one's hands: how far each job is, and buttons for what may be done with it."""

from __future__ import annotations

import base64
import functools
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from toolkit import process
from toolkit.clip import Clip
from toolkit.errors import ToolkitError
from toolkit.jobs.claims import Claims
from toolkit.jobs.queue import Job, Queue
from toolkit.media import thumbnails
from toolkit.widgets.page import joined
from toolkit.widgets.polling import Polling
from toolkit.widgets.pulse import WHOLE, Pulse
from toolkit.widgets.sentence import sentence
from toolkit.widgets.still import Still, table

EVERY = 2.0  # seconds between two looks at the queue
MOST = 200  # jobs shown
STAYS = 50  # of them in a notebook without a kernel
#: What may be done with a job in each state.
ACTIONS = {
    "pending": ("earlier", "later", "pause", "cancel"), "running": ("pause", "cancel"),
    "paused": ("earlier", "later", "resume", "cancel"), "done": (), "failed": ("retry",), "cancelled": ("retry",),
}  # fmt: skip


class JobTable(anywidget.AnyWidget):
    """The list.  All it shows lies in its traits, so it stands in a notebook without a kernel too."""

    _esm = joined("page.js", "kernel.js", "sideways.js", "jobs.js")
    _css = joined("grid.css")
    rows = traitlets.List().tag(sync=True)


class JobBoard(Still, ipywidgets.VBox):
    """What `jobs` shows; `queue` is None while the file cannot be opened."""

    def __init__(self, path: Path | str | None = None, queue: Queue | None = None) -> None:
        self.queue, self._path, self._worker, self.said = queue, path, None, ""
        self.table, self.message = JobTable(), ipywidgets.HTML()
        self.start_button = ipywidgets.Button(description="start a worker", icon="play")
        self.stop_button = ipywidgets.Button(description="stop the worker", icon="stop", disabled=True)
        self._buttons = ipywidgets.HBox([self.start_button, self.stop_button])
        super().__init__([Pulse(), self._buttons, self.message, self.table])
        self.add_class(WHOLE)
        self.start_button.on_click(lambda _: self._try(self.start_worker))
        self.stop_button.on_click(lambda _: self._try(self.stop_worker))
        self.table.on_msg(self._told)
        self._polling = Polling(self.refresh, EVERY)
        self.refresh()
        self._polling.start()

    def close(self) -> None:
        """Stops looking; a worker that was started here stops as well."""
        self._polling.stop()
        self.stop_worker()
        super().close()

    # -- looking -------------------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Shows the queue as it is now.  Always True: there is always something to wait for."""
        self._try(self._look)
        return True

    def _look(self, note: str = "") -> None:
        if self.queue is None:
            import warnings

            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                self.queue = Queue(self._path)
            note = "; ".join(str(w.message) for w in told)
        if self._worker is not None and self._worker.poll() is not None:
            process.end(self._worker)  # reaped
            self._worker = None
        Claims(self.queue).reap()
        jobs, counts = self.queue.jobs(limit=MOST), self.queue.counts()
        waits = self.queue.waits([j.id for j in jobs if j.state in ("pending", "paused")])
        rows = [self._row(job, waits.get(job.id, [])) for job in jobs]
        moved = _states(rows) != _states(self.table.rows)
        if rows != self.table.rows:
            self.table.rows = rows
        self.start_button.disabled, self.stop_button.disabled = self._worker is not None, self._worker is None
        words = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "the queue is empty"
        if (more := sum(counts.values()) - len(jobs)) > 0:
            words += f"; {more} more are not shown"
        self.say(note or words, error=bool(note))
        if moved:
            self.keep()

    def _row(self, job: Job, waits: list[int]) -> dict[str, Any]:
        told = job.progress if job.state == "running" else None
        share = told["done"] / told["total"] if told and told["total"] else None
        reason = job.reason
        if not job.source.is_file() and job.state in ("pending", "running", "paused", "failed") and not waits:
            reason = "; ".join(filter(None, [reason, f"the tape is not at {job.source} any more"]))
        if job.wish:
            reason = "is about to stop"
        left = told["left"] if told else None
        return {
            "id": job.id, "state": job.state, "tape": job.source.name, "output": job.output.name,
            "stage": told["stage"] if told else "", "share": 1.0 if job.state == "done" else share,
            "left": None if left is None else str(timedelta(seconds=round(left))),
            "note": "; ".join(filter(None, [reason, f"after job {', '.join(map(str, waits))}" if waits else ""])),
            "thumb": self._thumb(job.source), "actions": list(ACTIONS[job.state]),
        }  # fmt: skip

    def _thumb(self, path: Path) -> str:
        try:
            stat = path.stat()
        except OSError:
            return ""
        return thumbnail(path, stat.st_mtime_ns, stat.st_size)

    # -- doing ---------------------------------------------------------------------------------------------------

    def _told(self, _: Any, said: dict[str, Any], __: Any) -> None:
        self.act(str(said.get("do", "")), int(said.get("job", 0)))
        self.table.send({"kind": "done", "number": said.get("number")})

    def act(self, what: str, number: int) -> None:
        """Does "cancel", "pause", "resume", "retry", "earlier" or "later" with a job and shows the queue."""
        self._try(lambda: self._act(what, number))

    def _act(self, what: str, number: int) -> None:
        if self.queue is None:
            return
        if what in ("cancel", "pause", "resume", "retry"):
            getattr(self.queue, what)(number)
        elif what in ("earlier", "later"):
            waiting = [j.id for j in self.queue.jobs(["pending", "paused"])]
            if number in waiting:
                self.queue.move(number, max(1, waiting.index(number) + (0 if what == "earlier" else 2)))
        self._look()

    def start_worker(self) -> None:
        """Starts a worker in the background; it ends when nothing is left to do, when it is stopped, and with the
        kernel."""
        if self._worker is None and self.queue is not None:
            self.queue.files.mkdir(parents=True, exist_ok=True)
            words = [sys.executable, "-m", "toolkit.cli", "queue", "run", "--queue", self.queue.path]
            self._worker = process.start(words, output=self.queue.files / "worker.log", makes_way=True)
            self._look()

    def stop_worker(self) -> None:
        """Asks the worker to end; its jobs go on where they stopped with the next one."""
        if self._worker is not None:
            program, self._worker = self._worker, None
            # Waits for a worker that puts its jobs back: not in the kernel's thread.
            # lint: ignore[thread-left-running] it ends within 15 s, and the kernel must not go before it
            threading.Thread(target=process.end, args=(program, 15.0), name="vhs-worker-end").start()
            self.stop_button.disabled = True
            self.say("the worker is asked to stop; what it has finished is kept", error=False)

    def _try(self, work: Any) -> None:
        try:
            work()
        except ToolkitError as error:
            self.say(str(error))
        except Exception as error:  # a dead widget would be worse than a plain message
            self.say(f"the queue cannot be shown: {type(error).__name__}: {error}")

    def say(self, text: str, error: bool = True) -> None:
        self.said = text
        self.message.value = sentence(text, error)

    def still(self) -> str:
        """The queue as a table, without its pictures."""
        names = {"id": "job", "state": "state", "tape": "tape", "output": "result", "note": "note"}
        return table(self.said, [{told: row[name] for name, told in names.items()} for row in self.table.rows[:STAYS]])


def _states(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(row["id"], row["state"]) for row in rows]


@functools.lru_cache(maxsize=128)
def thumbnail(path: Path, changed: int, size: int) -> str:
    """A picture from the middle of a tape as a data URL, "" when there is none to be had, which is remembered too.

    changed, size : of the file, so that another one of its name gets a picture of its own.
    """
    try:
        picture = thumbnails.thumbnail(path, (Clip.open(path).duration or 0.0) / 2, width=64)
    except Exception:  # no thumbnail is no reason for no list
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def jobs(queue: Queue | Path | str | None = None) -> JobBoard:
    """Shows the queue: state, progress, time left and a picture of each tape, with buttons for what may be done.

    queue : a `Queue` or its file; the user's own when left out.

    Looked at every two seconds between cells.  A file that is damaged or held by another is said in the widget, which
    goes on trying.
    """
    return JobBoard(None, queue) if isinstance(queue, Queue) else JobBoard(queue)
