"""A sweep as it happens: rows fill in, sort, lie in a plot, and open beside the tape."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from toolkit import process, scratch
from toolkit.clip import Clip
from toolkit.errors import InputMissing, RequestError, ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.presets import Preset, preset, save
from toolkit.sweep import open_sweep
from toolkit.sweep.store import read_about
from toolkit.sweep.table import BETTER, USUAL, more_is_better
from toolkit.widgets.polling import Polling
from toolkit.widgets.sentence import sentence
from toolkit.widgets.trying import packed_space, plain
from toolkit.widgets.wipe import Wipe, data_url

HERE = Path(__file__).parent
GRACE = 0.7  # seconds between asking the sweep to end and killing it: stop is over within one
_NO_COLUMNS = ("key", "pipeline", "taken_s", "findings", "frames", "paired")


class Grid(anywidget.AnyWidget):
    """The table and the plot.  All it shows lies in its traits, so it stands in a notebook without a kernel too.

    chosen : the key of the row that was clicked last.
    """

    _esm = HERE / "sweep.js"
    _css = HERE / "grid.css"
    columns = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    front = traitlets.List().tag(sync=True)
    axes = traitlets.List(["fps", ""]).tag(sync=True)
    best_up = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)


class SweepView(ipywidgets.VBox):
    """What `sweep` shows.  `rows` are those so far; `state` is "running", "done", "stopped" or "failed"."""

    def __init__(self, wish: dict[str, Any] | None, metric: str | None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.state, self._wish, self._metric = "done", wish, metric
        self._read, self._total, self._program, self._stack = 0, None, None, None
        self.grid = Grid()
        self.message, self.bar = ipywidgets.HTML(), ipywidgets.IntProgress(layout=ipywidgets.Layout(width="20em"))
        self.stop_button = ipywidgets.Button(description="stop", icon="stop", disabled=True)
        self.wipe = Wipe(layout=ipywidgets.Layout(display="none"))
        self.name = ipywidgets.Text(placeholder="my-tape.yaml", description="preset")
        self.keep = ipywidgets.Button(description="save as preset", icon="save", disabled=True)
        super().__init__(
            [ipywidgets.HBox([self.bar, self.stop_button]), self.message, self.grid,
             ipywidgets.HBox([self.name, self.keep]), self.wipe]
        )  # fmt: skip
        self.stop_button.on_click(lambda _: self.stop())
        self.keep.on_click(lambda _: self._save())
        self.grid.on_msg(lambda _, said, __: self.choose(said.get("open", "")))
        self._polling = Polling(self.refresh, 1.0)

    # -- the sweep's process -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins the sweep; rows that its folder holds are not computed again."""
        self._stack = ExitStack()
        here = self._stack.enter_context(scratch.folder())
        self._log = here / "said"
        (here / "wish.json").write_text(json.dumps(self._wish, default=str), encoding="utf-8")
        self._program = process.start(
            [sys.executable, "-m", "toolkit.widgets.trying", here / "wish.json"], output=self._log, makes_way=True
        )
        self.state, self.stop_button.disabled = "running", False
        self.say("takes samples of the tape ...", error=False)
        self._polling.start()

    def stop(self) -> None:
        """Ends the sweep within a second.  Finished rows stay, in the widget and in the folder."""
        if self.state == "running":
            self._end("stopped")
            self.say(f"stopped with {len(self.rows)} rows; the same call goes on from there", error=False)

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

    error, notes = "", ()

    def _end(self, state: str) -> None:
        self._polling.stop()
        code = self._program.poll()
        process.end(self._program, grace=GRACE)
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
        good = [r for r in rows if not r.get("error")]
        names = list(dict.fromkeys(k for r in rows for k in r))
        measures = [n for start in BETTER for n in names if n.startswith(start) and _any(good, n)]
        knobs = [n for n in names if n not in (*measures, *_NO_COLUMNS, "error") and _any(rows, n)]
        errors = ["error"] if len(good) < len(rows) else []
        quality = self._metric or next((n for n in USUAL if n in measures), "")
        with self.grid.hold_sync():
            self.grid.columns = [*knobs, *measures, *errors]
            self.grid.best_up = {n: more_is_better(n) for n in measures}
            self.grid.axes, self.grid.front = ["fps", quality], front_of(good, quality)
            self.grid.rows = rows
        total = self._total or len(rows)
        self.bar.max, self.bar.value = max(total, 1), len(rows)
        failed = len(rows) - len(good)
        words = f"{len(rows)} of {total} settings{f', {failed} failed' if failed else ''}"
        if quality and quality not in measures and good:
            words += f"; there is no measure {quality!r}, there are {', '.join(measures)}"
        elif quality.startswith("blind"):
            words += "; no truth was given, so they are ranked by how well they predict the tape (blind)"
        elif quality == "combing":
            words += "; no truth was given and no blind score applies, so only combing is told"
        self.say("; ".join([words, *self.notes]) + "; click a row to see it", error=False)

    def say(self, text: str, error: bool = True) -> None:
        self.message.value = sentence(text, error)

    # -- the row that was clicked --------------------------------------------------------------------------------

    def _pipeline(self) -> Pipeline:
        return Pipeline.from_dict(json.loads(self.rows[self.grid.chosen]["pipeline"]))

    def _label(self) -> str:
        row = self.rows[self.grid.chosen]
        knobs = [c for c in self.grid.columns if c not in self.grid.best_up and c != "error"]
        return ", ".join(f"{k.partition('.')[2] or k}={row[k]}" for k in knobs if row.get(k) is not None)

    def choose(self, key: str) -> None:
        """Computes a row's picture, in this thread, and shows it in the wipe beside the tape."""
        if key not in self.rows:
            return
        self.grid.chosen = key
        self.keep.disabled = False
        try:
            before, after = self._pictures(self._pipeline())
            with self.wipe.hold_sync():
                self.wipe.before, self.wipe.after = before, after
                self.wipe.labels = ["tape", self._label()]
            self.wipe.layout.display = None
        except ToolkitError as error:
            self.say(str(error))
        except OSError as error:
            self.say(f"{self._wish['source']} cannot be read ({error.strerror}); put it back and click again")
        except Exception as error:  # a dead widget would be worse than a plain message
            self.say(f"this could not be shown: {type(error).__name__}: {error}")

    def _pictures(self, pipeline: Pipeline, height: int = 480) -> tuple[str, str]:
        from toolkit.compare.samples import sample

        if not self._wish or not self._wish.get("source"):
            raise RequestError("the sweep does not say which tape it looked at", files="")
        clip = Clip.open(self._wish["source"])
        times = self._wish.get("times") or [clip.start + (clip.duration or 0.0) / 2]
        some = sample(
            clip, [times[len(times) // 2]], length=1, pipeline=pipeline, field_order=self._wish["field_order"]
        )
        size = round(height * clip.format.dar), height
        shown = [one.bursts[0].own[:1] for one in (some, some.through(pipeline))]
        return tuple(data_url(batch, size) for batch in shown)

    def save(self, path: str | Path) -> Path:
        """Writes the chosen row as a preset (YAML).  Raises `RequestError`."""
        if self.grid.chosen not in self.rows:
            raise RequestError("no row is chosen", hint="click one", files="")
        when = f"Chosen by hand from a sweep: {self._label()}."
        return save(path, Preset(Path(path).stem, when, self._pipeline()))

    def _save(self) -> None:
        name = self.name.value.strip() or "my-tape.yaml"
        try:
            path = self.save(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
        except ToolkitError as error:
            self.say(str(error))
        else:
            self.say(f"saved: {path}, for restore --preset {path}", error=False)


def _any(rows: list[dict[str, Any]], name: str) -> bool:
    return any(r.get(name) is not None for r in rows)


def front_of(rows: list[dict[str, Any]], quality: str) -> list[str]:
    """The keys of the rows that none other beats in both speed and `quality`, the fastest first."""
    sign = 1 if more_is_better(quality) else -1
    points = [(r["fps"], sign * r[quality], r["key"]) for r in rows if None not in (r.get("fps"), r.get(quality))]
    found, best = [], float("-inf")
    for _, value, key in sorted(points, key=lambda p: (-p[0], -p[1])):
        if value > best:
            found.append(key)
            best = value
    return found


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
        if not isinstance(source, Clip) and Path(source).is_dir():
            _reopen(view, Path(source))
            return view
        if space is None:
            raise RequestError("no settings to try were given", expected='space={"denoise.strength": [2, 4, 8]}')
        path = source.path if isinstance(source, Clip) else Path(source)
        for one in filter(None, (path, truth)):
            if not Path(one).is_file():
                raise InputMissing(f"there is no file {one}", expected="the path of a video file")
        steps = preset(pipeline).pipeline if isinstance(pipeline, str) else pipeline
        view._wish = {
            "source": str(path), "pipeline": steps.to_dict(), "space": packed_space(space),
            "truth": None if truth is None else str(truth), "field_order": field_order, "times": times,
            "folder": None if folder is None else str(folder), **more,
        }  # fmt: skip
        view.start()
    except ToolkitError as error:
        view.state = "failed"
        view.say(str(error))
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
        view.rows[row["key"]] = plain({**row, "pipeline": pipeline, "error": row.get("error") or None})
    view.show()
