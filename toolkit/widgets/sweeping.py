"""A sweep as it happens: rows fill in, sort, lie in a plot, and open beside the tape."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets

from toolkit import process, scratch
from toolkit.clip import Clip
from toolkit.compare.part import FrameAgainstTruth
from toolkit.errors import RequestError, ToolkitError
from toolkit.media.times import identity
from toolkit.pipeline import Pipeline
from toolkit.presets import Preset, preset, save
from toolkit.sweep import open_sweep
from toolkit.sweep.store import read_about
from toolkit.widgets.interruptible import interruptible
from toolkit.widgets.keep import KeepPreset
from toolkit.widgets.polling import Polling
from toolkit.widgets.pulse import WHOLE, Pulse
from toolkit.widgets.reel import check
from toolkit.widgets.sentence import plain, sentence
from toolkit.widgets.still import Still, table
from toolkit.widgets.sweep_grid import Grid
from toolkit.widgets.trying import finite, packed_space
from toolkit.widgets.wipe import Wipe

STAYS = 20  # rows, in a notebook without a kernel
#: Seconds between asking the sweep to end and killing it, and for it to be gone: stop is over within one.
GRACE, PATIENCE = 0.6, 0.2


class SweepView(Still, ipywidgets.VBox):
    """What `sweep` shows.  `rows` are those so far; `state` is "running", "done", "stopped" or "failed"."""

    def __init__(self, wish: dict[str, Any] | None, metric: str | None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.state, self._wish, self._metric = "done", wish, metric
        self._read, self._total, self._program, self._stack = 0, None, None, None
        self._stamp: Any = None  # what the tape was when its numbers were taken
        self.grid = Grid()
        self.message, self.bar = ipywidgets.HTML(), ipywidgets.IntProgress(layout=ipywidgets.Layout(width="20em"))
        self.stop_button = ipywidgets.Button(description="stop", icon="stop", disabled=True)
        self.wipe = Wipe(layout=ipywidgets.Layout(display="none"))
        self.preset = KeepPreset(self.save, self.say, lambda: Path(self._tape()).name, disabled=True)
        super().__init__(
            [Pulse(), ipywidgets.HBox([self.bar, self.stop_button]), self.message, self.grid, self.preset, self.wipe]
        )
        self.add_class(WHOLE)
        self.stop_button.on_click(lambda _: self.stop())
        self.grid.on_msg(self._told)
        self._polling = Polling(self.refresh, 1.0)

    # -- the sweep's process -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins the sweep; rows that its folder holds are not computed again."""
        self._stack = ExitStack()
        here = self._stack.enter_context(scratch.folder())
        self._log = here / "said"
        (here / "wish.json").write_text(json.dumps(self._wish, default=str), encoding="utf-8")
        self._program = process.start(
            [sys.executable, "-m", "toolkit.widgets.trying", here / "wish.json"], output=self._log
        )
        self.state, self.stop_button.disabled = "running", False
        self.say("takes samples of the tape ...", error=False)
        self._polling.start()

    def stop(self) -> None:
        """Ends the sweep within a second.  Finished rows stay, in the widget and in the folder."""
        if self.state == "running":
            self._end("stopped")
            self.say(f"stopped with {len(self.rows)} rows; the same call goes on from there", error=False)
            self.keep()

    def refresh(self) -> bool:
        """Shows what has come since; whether there is more to wait for."""
        if self._program is None:
            return False
        ended = self._program.poll() is not None  # before reading, so that the last words are not missed
        said = self._take()
        if not ended:
            if said:
                self.show()
            return True
        self._end("done" if self._program.returncode == 0 else "failed")
        self.keep()
        return False

    def _take(self) -> bool:
        """Reads what the process said since; whether there was anything."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]  # the last line may be half written
        self._read += len(data)
        for line in data.decode(errors="replace").splitlines():
            try:
                told = json.loads(line)
                event = told["event"]
            except (ValueError, TypeError, KeyError):
                continue  # a warning
            if event == "row":
                self.rows[told["row"]["key"]] = told["row"]
            elif event == "progress":
                self._total = told["total"]
            elif event == "error":
                self.error = told["error"]
            elif event == "done":
                self.notes = told["notes"]
        return bool(data)

    error, notes, said, _words = "", (), "", ""
    _like = Preset("", "", Pipeline([]))  # whose sound and encoder a row is kept with; a sweep of before tells none

    def _end(self, state: str) -> None:
        self._polling.stop()
        code = self._program.poll()
        process.end(self._program, grace=GRACE, patience=PATIENCE)
        self._take()
        self._program = None
        self._stack.close()
        self.state, self.stop_button.disabled = state, True
        self.show()
        if state == "failed":
            self.say(self.error or f"the sweep's process ended with code {code}; rows that were finished are kept")

    # -- what is shown -------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Draws the table and the plot anew."""
        rows = list(self.rows.values())
        said = self.grid.fill(rows, self._metric)
        total = self._total or len(rows)
        self.bar.max, self.bar.value = max(total, 1), len(rows)
        failed = sum(bool(r.get("error")) for r in rows)
        words = f"{len(rows)} of {total} settings{f', {failed} failed' if failed else ''}"
        self._words = "; ".join(filter(None, [words, said, *self.notes])) + "; click a row to see it"
        self.say(self._words, error=False)

    def say(self, text: str, error: bool = True) -> None:
        self.said = text
        self.message.value = sentence(text, error)

    def still(self) -> str:
        """The best rows as a table."""
        return table(self.said, self.grid.best(STAYS))

    # -- the row that was clicked --------------------------------------------------------------------------------

    def _tape(self) -> str:
        return str((self._wish or {}).get("source") or "the tape")

    def _pipeline(self) -> Pipeline:
        return Pipeline.from_dict(json.loads(self.rows[self.grid.chosen]["pipeline"]))

    def choose(self, key: str) -> None:
        """Computes a row's picture, in this thread, and shows it in the wipe beside the tape."""
        if key not in self.rows:
            return
        self.grid.chosen = key
        self.preset.button.disabled = False
        try:
            with interruptible():
                self._open(self._pipeline())
        except KeyboardInterrupt:
            self.say("stopped before the picture was done; click again to compute it")
        except Exception as error:  # a dead widget would be worse than a plain message
            self.say(plain(error, self._tape(), "click again"))

    def _told(self, _: Any, said: dict[str, Any], __: Any) -> None:
        self.choose(str(said.get("open", "")))
        self.grid.send({"kind": "done", "number": said.get("number")})

    def _open(self, pipeline: Pipeline) -> None:
        from toolkit.compare.samples import sample

        if not self._wish or not self._wish.get("source"):
            raise RequestError("the sweep does not say which tape it looked at", files="")
        clip = Clip.open(self._wish["source"])
        times = self._wish.get("times") or [clip.start + (clip.duration or 0.0) / 2]
        some = sample(
            clip, [times[len(times) // 2]], length=1, pipeline=pipeline, field_order=self._wish["field_order"]
        )
        tape, result = (one.bursts[0].own[:1] for one in (some, some.through(pipeline)))
        said, wrong = self._words, False
        if self._stamp is not None and identity(clip.path) != self._stamp:
            wrong = True
            said = f"{clip.path.name} was changed since these numbers were taken; the picture is of what it holds now"
        judges: tuple[FrameAgainstTruth, ...] = ()
        if self._wish.get("truth"):
            try:
                truth = some.beside(self._wish["truth"]).bursts[0].own[:1]
                judges = tuple(FrameAgainstTruth(truth, frame, float(tape.times[0])) for frame in (tape, result))
            except ToolkitError as error:  # the pictures can be shown all the same
                said, wrong = f"nothing is measured: {error}", True
        labels = ["tape", self.grid.label(self.rows[self.grid.chosen])]
        self.wipe.show(tape, result, judges=judges, labels=labels)
        self.wipe.layout.display = None
        self.say(said, error=wrong)

    def save(self, path: str | Path) -> Path:
        """Writes the chosen row as a preset (YAML), sound and encoder as in the sweep's.  Raises `RequestError`."""
        if self.grid.chosen not in self.rows:
            raise RequestError("no row is chosen", hint="click one", files="")
        when = f"Chosen by hand from a sweep: {self.grid.label(self.rows[self.grid.chosen])}."
        return save(path, replace(self._like, name=Path(path).stem, when=when, pipeline=self._pipeline()))


def sweep(
    source: str | Path | Clip,
    pipeline: Pipeline | str = "vhs",
    space: dict[str, Any] | None = None,
    *,
    truth: str | Path | None = None,
    metric: str | None = None,
    field_order: str = "auto",
    times: list[float] | None = None,
    folder: str | Path | None = None,
    **more: Any,
) -> SweepView:
    """Tries settings of a pipeline on samples of a tape; the table and the plot of them fill in as they come.

    source   : a tape (path or `Clip`), or the folder of an earlier sweep, whose rows are shown.
    pipeline : a `Pipeline` or a preset's name; `space`, `truth`, `times`, `folder` and `more` as for `toolkit.sweep`.
    metric   : what the plot and the front take as quality; the usual measure when left out.

    The sweep runs in a process of its own, so the kernel stays free.  Click a row or a point to see its picture in a
    wipe beside the tape; "stop" ends the sweep within a second and keeps the rows.  The same call after a restart of
    the kernel begins with the rows that are there.  What goes wrong is said in the widget.
    """
    view = SweepView(None, metric)
    try:
        check(source, "tape", "a path, a Clip, or the folder of a sweep")
        if not isinstance(source, Clip) and Path(source).is_dir():
            _reopen(view, Path(source))
            return view
        if space is None:
            raise RequestError("no settings to try were given", expected='space={"denoise.strength": [2, 4, 8]}')
        path = source.path if isinstance(source, Clip) else Path(source)
        for one in filter(None, (path, truth)):
            Clip.open(one)  # says now what its process would say later
        view._like = preset(pipeline) if isinstance(pipeline, str) else Preset("", "", pipeline)
        view._wish = {
            "source": str(path), "pipeline": view._like.pipeline.to_dict(), "space": packed_space(space),
            "truth": None if truth is None else str(truth), "field_order": field_order, "times": times,
            "folder": None if folder is None else str(folder), **more,
        }  # fmt: skip
        view._stamp = identity(path)
        view.start()
    except Exception as error:  # a traceback in place of the widget would help nobody
        view.state = "failed"
        view.say(plain(error, str(source), "run the cell again"))
    return view


def _reopen(view: SweepView, folder: Path) -> None:
    about = read_about(folder)
    origin = about.get("sample") or {}
    view._wish = {
        "source": origin.get("source"), "times": origin.get("times"), "field_order": origin.get("field_order", "auto")
    }  # fmt: skip
    found = open_sweep(folder)
    text = [json.dumps(t.pipeline.to_dict(), sort_keys=True) for t in found.trials]
    for row, pipeline in zip(found.table.to_dict("records"), text, strict=True):
        view.rows[row["key"]] = finite({**row, "pipeline": pipeline, "error": row.get("error") or None})
    view.show()
