"""A pipeline under one's hands: every knob a control, the picture follows, and the words for the whole tape."""

from __future__ import annotations

import html
import io
import math
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from kernels.resize import resize
from toolkit.clip import FIELD_ORDERS, Batch, Clip
from toolkit.compare.grid import to_rgb
from toolkit.errors import KnobError, RequestError, ToolkitError
from toolkit.media.times import frame_times, identity
from toolkit.pipeline import Pipeline
from toolkit.presets import Preset, preset, save
from toolkit.settings import spoken
from toolkit.stages import Step
from toolkit.widgets.controls import WRAPS, Control
from toolkit.widgets.debounce import Debounced
from toolkit.widgets.interruptible import interruptible
from toolkit.widgets.keep import KeepPreset
from toolkit.widgets.moment import Moment
from toolkit.widgets.picture import Picture
from toolkit.widgets.pulse import WHOLE, Pulse
from toolkit.widgets.reel import opened
from toolkit.widgets.sentence import plain, sentence, to_copy
from toolkit.widgets.still import Still

ZOOMS = {"whole picture": 1, "2x": 2, "4x": 4, "8x": 8}
VIEWS = ("after", "before", "both")
WIDTH = 960  # pixels on the screen
QUICK = 0.15  # seconds: a picture that is made in less follows a slider while it is dragged


class StepRow:
    """One step: a switch, its place in the order, and its controls."""

    def __init__(self, step: Step, panel: Panel) -> None:
        self.stage = step.stage
        self.on = ipywidgets.Checkbox(value=True, indent=False, layout=ipywidgets.Layout(width="2em", flex="none"))
        small = ipywidgets.Layout(width="2.6em", flex="none", padding="0")
        up = ipywidgets.Button(icon="arrow-up", tooltip="earlier", layout=small)
        down = ipywidgets.Button(icon="arrow-down", tooltip="later", layout=small)
        words = f"<b>{step.name}</b> &nbsp;{html.escape(self.stage.summary)}"
        name = ipywidgets.HTML(f"<div style='line-height:1.4;padding:5px 0'>{words}</div>")
        self.controls = {n: Control(p, step.knobs[n], panel.update) for n, p in self.stage.parameters.items()}
        told = ipywidgets.HTML(f"<pre style='white-space:pre-wrap'>{html.escape(_doc(self.stage))}</pre>")
        more = ipywidgets.Accordion([told], titles=("what the knobs mean",), selected_index=None)
        head = ipywidgets.HBox([self.on, up, down, name])
        self.box = ipywidgets.VBox([head, *(c.box for c in self.controls.values()), more])
        self.on.observe(lambda _: panel.update(), "value")
        up.on_click(lambda _: panel.move(self, -1))
        down.on_click(lambda _: panel.move(self, 1))

    @property
    def step(self) -> Step:
        return self.stage(**{n: c.value for n, c in self.controls.items()})


def _doc(stage: Any) -> str:
    lines = (stage.__doc__ or "").strip().splitlines()
    return "\n".join([lines[0], *(line.removeprefix("    ") for line in lines[1:])]) if lines else ""


class Panel(Still, ipywidgets.VBox):
    """What `panel` gives.  `pipeline` is the one that is set, `call` and `command` the words for it.

    As long as the clip or the pipeline cannot be had, `clip` is None and the panel says why in place of its controls.
    """

    def __init__(
        self, pipeline: Pipeline | str, clip: Clip | str | Path, *, field_order: str = "auto", time: float | None = None
    ) -> None:
        self._wanted = pipeline, clip, field_order, time
        self.clip: Clip | None = None
        self.pipeline, self.call, self.command = Pipeline([]), "", ""
        self.rows: list[StepRow] = []
        self.drawn = 0  # pictures
        self.picture = Picture(label="the tape's frame through the steps")
        self.message, self.words = ipywidgets.HTML(), ipywidgets.HTML()
        self.again_button = ipywidgets.Button(description="try again", icon="refresh")
        self._pulse, self._later = Pulse(), Debounced(self._follow, quick=QUICK)
        super().__init__()
        for name in ("vhs-panel", WHOLE):
            self.add_class(name)
        self.again_button.on_click(lambda _: self.load())
        self.load()

    def load(self) -> None:
        """Opens the clip and shows its controls; what stands in the way is said in their place."""
        pipeline, clip, field_order, time = self._wanted
        try:
            if not isinstance(pipeline, (Pipeline, str)):
                kind = type(pipeline).__name__
                raise RequestError(f"the pipeline is {kind}", expected="a Pipeline or a preset's name", files="")
            chosen = preset(pipeline) if isinstance(pipeline, str) else Preset("", "", pipeline)
            self.pipeline, self._like = chosen.pipeline, chosen
            if time is not None and not math.isfinite(time):
                raise RequestError(f"the time is {time}", expected="seconds from the beginning", files="")
            decided = _decided(opened(clip), field_order)
            self._build(decided, time)
            self._take(decided)
        except Exception as error:  # a traceback in place of the panel would help nobody
            self._say(plain(error, str(clip)))
            self.children = [self._pulse, self.message, self.again_button]
            return
        self.draw()

    def _take(self, clip: Clip) -> None:
        self.clip, self._moment, self._stamp = clip, Moment(clip), identity(clip.path)
        self.time.max = max(clip.duration or 0.0, 0.01)

    def _build(self, clip: Clip, time: float | None) -> None:
        length = clip.duration or 0.0
        self.time = ipywidgets.FloatSlider(
            value=length / 2 if time is None else float(time), min=0, max=max(length, 0.01), step=_frame(clip),
            description="seconds", readout_format=".2f", layout=ipywidgets.Layout(flex="1 1 18em", max_width="40em"),
        )  # fmt: skip
        beside = ipywidgets.Layout(width="max-content", flex="none")
        self.view = ipywidgets.ToggleButtons(options=VIEWS, style={"button_width": "5em"}, layout=beside)
        self.zoom = ipywidgets.Dropdown(options=list(ZOOMS.items()), description="zoom")
        place = {"min": 0.0, "max": 1.0, "step": 0.01, "value": 0.5}
        place["layout"] = {"flex": "1 1 13em", "max_width": "18em"}
        self.across = ipywidgets.FloatSlider(description="across", readout=False, **place)
        self.down = ipywidgets.FloatSlider(description="down", readout=False, **place)
        self.preset = KeepPreset(self.save, self._say, lambda: self.clip.path.name)
        self.rows = [StepRow(step, self) for step in self.pipeline]
        self._list = ipywidgets.VBox([row.box for row in self.rows])
        when = ipywidgets.HBox([self.time, self.view], layout=WRAPS)
        where = ipywidgets.HBox([self.zoom, self.across, self.down], layout=WRAPS)
        self.children = [
            self._pulse, when, where, self.message, self.picture, self._list, self.words, self.preset,
        ]  # fmt: skip
        for widget in (self.time, self.view, self.zoom, self.across, self.down):
            widget.observe(self.update, "value")

    def update(self, *_: Any) -> None:
        """Draws anew: at once while pictures are made quickly, else as soon as changes pause."""
        self._later()

    def move(self, row: StepRow, by: int) -> None:
        """Puts a step earlier (-1) or later (1)."""
        at = self.rows.index(row)
        to = min(max(at + by, 0), len(self.rows) - 1)
        self.rows.insert(to, self.rows.pop(at))
        self._list.children = [r.box for r in self.rows]
        self.update()

    def draw(self) -> None:
        """Computes and shows the picture for what is set now; what cannot be done is said in words."""
        if self.clip is None:
            self.load()
            return
        began = time.perf_counter()
        try:
            changed = identity(self.clip.path) != self._stamp
            if changed:  # other headers, another field order
                self._take(_decided(Clip.open(self.clip.path), self._wanted[2]))
            self.pipeline = Pipeline(row.step for row in self.rows if row.on.value)
            self._say_words()
            before, after = self._moment.frame(self.pipeline, self._index(), self._part())
            self.picture.value = _jpeg(before, after, self.view.value)
        except ToolkitError as error:
            self._say(str(error))
        except OSError as error:  # the file is gone, or cannot be read any more
            self._say(f"{self.clip.path.name} cannot be read ({error.strerror}); put it back and move a slider")
        except Exception as error:  # a dead widget would be worse than a plain message
            self._say(f"this could not be computed: {type(error).__name__}: {error}")
        else:
            self.drawn += 1
            news = f"{self.clip.path.name} was changed, this is its new content; " if changed else ""
            self._say(f"{news}{after.format}, {1000 * (time.perf_counter() - began):.0f} ms", error=changed)

    def still(self) -> Image.Image | None:
        return Image.open(io.BytesIO(self.picture.value)) if self.picture.value else None

    def _follow(self) -> None:
        try:
            with interruptible():
                self.draw()
        except KeyboardInterrupt:
            self._say("stopped before the picture was done; move a slider to compute it again")

    def save(self, path: str | Path, when: str = "Made by hand for one tape.") -> Path:
        """Writes what is set as a preset (YAML), sound and encoder as in the preset that it began with.

        Raises `RequestError`, also when the file is there already.
        """
        return save(path, replace(self._like, name=Path(path).stem, when=when, pipeline=self.pipeline))

    def _say(self, text: str, error: bool = True) -> None:
        self.message.value = sentence(text, error)

    def _say_words(self) -> None:
        name = self.clip.path.name
        steps = ",\n    ".join(map(repr, self.pipeline))
        self.call = f"steps = toolkit.Pipeline([\n    {steps},\n])" if self.pipeline else "steps = toolkit.Pipeline([])"
        self.call += f'\ntoolkit.restore("{name}", "restored.mp4", pipeline=steps)'
        try:
            words = ["vhs-toolkit", "restore", name, "restored.mp4", *spoken(self.pipeline)]
            self.command = shlex.join(words)
        except ToolkitError as error:
            self.command = f"# {error}"
        self.words.value = to_copy(self.call) + to_copy(self.command)

    def _index(self) -> int:
        times = frame_times(self.clip)
        if times is None:
            return round(self.time.value / _frame(self.clip))
        # The frame on show then, wherever frames are not evenly spaced; the slider's steps are rounded.
        due = self.clip.start + self.time.value + 0.25 * _frame(self.clip)
        return max(0, int(np.searchsorted(times, due / float(self.clip.time_base), side="right")) - 1)

    def _part(self) -> tuple[float, float, float, float]:
        share = 1 / self.zoom.value
        return self.across.value * (1 - share), self.down.value * (1 - share), share, share


def _frame(clip: Clip) -> float:
    return float(1 / clip.rate) if clip.rate else 0.04


def _decided(clip: Clip, field_order: str) -> Clip:
    from toolkit.decisions import decide_field_order

    if field_order not in ("auto", *FIELD_ORDERS[:3]):
        raise KnobError(f"field order is {field_order!r}", expected="auto, tff, bff or progressive")
    return replace(clip, format=clip.format.replace(field_order=decide_field_order(clip, field_order, [])))


def _jpeg(before: Batch, after: Batch, view: str) -> bytes:
    """The chosen picture at its display aspect, or both side by side at one size."""
    chosen = {"after": [after], "before": [before], "both": [before, after]}[view]
    images = []
    for batch in chosen:
        width = WIDTH // len(chosen)
        images.append(_sized(to_rgb(batch)[0], width, max(2, round(width / float(batch.format.dar)))))
    sheet = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)))
    at = 0
    for image in images:
        sheet.paste(image, (at, 0))
        at += image.width
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=92)
    return out.getvalue()


def _sized(rgb: np.ndarray, width: int, height: int) -> Image.Image:
    """An RGB picture at another size: made smaller by Lanczos, samples left as squares where it grows."""
    if rgb.shape[1] <= width:
        return Image.fromarray(rgb).resize((width, height), Image.Resampling.NEAREST)
    planes = np.ascontiguousarray(np.moveaxis(rgb, 2, 0))
    # Ours works on all cores, Pillow on one.
    return Image.merge("RGB", [Image.fromarray(p) for p in resize(planes, width=width, height=height)])


def panel(
    pipeline: Pipeline | str, clip: Clip | str | Path, *, field_order: str = "auto", time: float | None = None
) -> Panel:
    """Shows a frame of `clip` through `pipeline`, with a control for every knob; the picture follows.

    pipeline    : a `Pipeline`, or the name of a preset.
    clip        : a `Clip` or a path.
    field_order : as for `restore`; "auto" measures it once.
    time        : seconds at which to begin; the middle by default.

    Steps can be switched off and put into another order.  Only the frames that the steps look at and the part that is
    shown are computed, and nothing in front of the step that was changed is computed again.  The panel says the call
    and the command line that do the same to the whole tape, and saves them as a preset.  What cannot be opened or read
    is said in the panel, which can try again.
    """
    return Panel(pipeline, clip, field_order=field_order, time=time)
