"""Before and after in one frame: wipe, side by side, blink, difference; zoomed and moved together; with numbers."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import traitlets

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.compare.grid import to_rgb
from toolkit.compare.part import FrameAgainstTruth, samples_of
from toolkit.errors import RequestError, ToolkitError
from toolkit.media.preview import frame_at
from toolkit.widgets.page import joined
from toolkit.widgets.pictures import part_shown, png
from toolkit.widgets.reel import opened
from toolkit.widgets.saying import Zooming
from toolkit.widgets.still import Still

MODES = ["wipe", "side by side", "blink", "difference"]


class Wipe(Still, Zooming):
    """Two pictures laid over one another.

    before, after : data URLs of pictures of one size.
    labels        : their names.
    mode          : "wipe", "side by side", "blink" or "difference" (four times as bright as it is).
    position      : where the wipe stands, in percent from the left of what is shown.
    zoom, centre  : what part of both is shown, in every mode the same.
    figures       : PSNR and SSIM of that part against the truth, when there is one, in words.

    `load` opens files, `show` takes frames; made of data URLs alone it has no truth, and enlarges those.
    """

    _esm = joined("page.js", "kernel.js", "zoom.js", "wipe.js")
    _css = joined("page.css", "wipe.css")
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)
    labels = traitlets.List(["before", "after"]).tag(sync=True)
    mode = traitlets.Enum(MODES, "wipe").tag(sync=True)
    position = traitlets.Float(50.0, min=0, max=100).tag(sync=True)
    aspect = traitlets.Float(4 / 3).tag(sync=True)
    wide = traitlets.Int(640).tag(sync=True)  # pixels on the screen, where there is room
    detail = traitlets.Dict().tag(sync=True)  # parts, and the samples of them without loss
    figures = traitlets.Dict().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        self._forms: tuple[PictureFormat, ...] = ()
        self._rgb: tuple[np.ndarray, ...] = ()
        self._judges: tuple[FrameAgainstTruth, ...] = ()
        self._source: dict[str, Any] | None = None
        super().__init__(**state)
        self.observe(self._changed, ["zoom", "centre", "mode", "asked"])
        self.on_msg(self._told)

    def load(self, before: Any, after: Any, *, truth: Any = None, time: float | None = None, height: int = 480) -> None:
        """Shows one moment of two clips; what cannot be opened is said in the widget, which can try again."""
        self._source = {"before": before, "after": after, "truth": truth, "time": time, "height": height}
        with self._saying():
            self._load(**self._source)

    def _load(self, before: Any, after: Any, truth: Any, time: float | None, height: int) -> None:
        clips = [opened(c) for c in (before, after)]
        if time is None:
            time = min(c.duration or 0.0 for c in clips) / 2
        if not math.isfinite(time):
            raise RequestError(f"the time is {time}", expected="seconds from the beginning", files="")
        second = frame_at(clips[1], clips[1].start + time)
        moment = float(second.times[0])

        def beside(clip: Clip) -> tuple[Batch, float]:
            # On the same clock, as `compare` has it, or on clocks that begin together.
            apart = clip.start - clips[1].start
            at = moment + (apart if abs(apart) > 0.5 else 0.0)
            return frame_at(clip, at + 1e-4), at

        first, at = beside(clips[0])
        judges: tuple[FrameAgainstTruth, ...] = ()
        try:
            if truth is not None:
                right, due = beside(opened(truth))
                if abs(float(right.times[0]) - due) > float(right.durations[0] * right.time_base):
                    raise RequestError(f"the truth has no frame at {due:.3f} s", files="")
                judges = FrameAgainstTruth(right, first, at), FrameAgainstTruth(right, second, moment)
        except ToolkitError as error:  # the pictures can be shown all the same
            self._note(f"nothing is measured: {error}")
        self.show(first, second, judges=judges, height=height)

    def show(
        self, before: Batch, after: Batch, *, judges: tuple[FrameAgainstTruth, ...] = (),
        labels: list[str] | None = None, height: int = 480,
    ) -> None:  # fmt: skip
        """Shows two frames, `height` pixels high and as wide as `after` is meant to be.

        judges : of both, where their truth is known.
        """
        size = max(1, round(height * after.format.dar)), height
        shown = tuple(to_rgb(batch)[0] for batch in (before, after))
        with self.hold_sync():
            self._forms, self._rgb, self._judges, self._drawn = (before.format, after.format), shown, judges, ()
            self.before, self.after = (data_url(picture, size) for picture in shown)
            self.aspect, self.wide = size[0] / size[1], size[0]
            if labels is not None:
                self.labels = labels
            self._draw()

    # -- what the page asks for ------------------------------------------------------------------------------------

    def _changed(self, _: Any) -> None:
        if not self._inside:
            with self._saying(), self.hold_sync():
                self._draw()
        self.answered = self.asked

    def _told(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("kind") == "again" and self._source is not None:
            self.load(**self._source)
        self.send({"kind": "done", "number": content.get("number")})

    def _draw(self) -> None:
        now = (self.zoom, tuple(self.centre), self.zoom > 1 or self.mode == "difference")
        if not self._rgb or self._drawn == now:
            return
        if self._drawn[:2] != now[:2]:
            self.figures = self._measured()
        # A difference of pictures that were compressed would show the compression.
        self.detail = self._enlarged() if now[2] else {}
        self._drawn = now
        self._say("", "note")

    def _enlarged(self) -> dict[str, Any]:
        """What is shown of both, sample for sample."""
        parts = [part_shown(form, self.zoom, self.centre) for form in self._forms]
        cuts = [samples_of(part, form) for part, form in zip(parts, self._forms, strict=True)]
        pictures = [png(picture[cut]) for picture, cut in zip(self._rgb, cuts, strict=True)]
        return {"parts": [list(part) for part in parts], "pictures": pictures}

    def _measured(self) -> dict[str, Any]:
        if not self._judges:
            return {}
        form = self._judges[0].truth.format
        part = part_shown(form, self.zoom, self.centre)
        rows, columns = samples_of(part, form)
        wide, high = columns.stop - columns.start, rows.stop - rows.start
        found = [judge(part) for judge in self._judges]
        of = "the whole picture" if self.zoom <= 1 else f"this part, {wide}x{high} samples,"
        figures = [
            ["equal" if math.isinf(level) else f"{level:.2f} dB", "too small" if math.isnan(alike) else f"{alike:.4f}"]
            for level, alike in found
        ]
        notes = [f"{name}: {n}" for name, judge in zip(self.labels, self._judges, strict=True) for n in judge.notes]
        return {"of": f"luma of {of} against the truth", "rows": figures, "notes": "; ".join(notes)}

    def still(self) -> Any:
        """Before on the left, after on the right, as it is wiped now."""
        if not (self.before and self.after):
            return None
        first, second = (_picture(url) for url in (self.before, self.after))
        at = round(first.width * self.position / 100)
        first.paste(second.crop((at, 0, *second.size)), (at, 0))
        return first


def wipe(
    before: Any,
    after: Any,
    *,
    truth: Any = None,
    time: float | None = None,
    labels: tuple[str, str] = ("before", "after"),
    height: int = 480,
) -> Wipe:
    """Shows one moment of two clips (paths or Clips), `time` seconds in (the middle when left out), to wipe between.

    truth : of both, where it is known: PSNR and SSIM of the part that is shown stand below, and follow zoom and pan.

    Both are shown at the same size and `after`'s display aspect, `height` pixels high.  Zoom with the wheel or plus and
    minus: enlarged, both show their own samples.  What cannot be opened is said in the widget.
    """
    shown = Wipe(labels=list(labels))
    shown.load(before, after, truth=truth, time=time, height=height)
    return shown


def _picture(url: str) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def data_url(picture: np.ndarray, size: tuple[int, int]) -> str:
    """An RGB picture `(H, W, 3)` uint8 at `size` `(width, height)` as a data URL."""
    from PIL import Image

    shown = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    box = io.BytesIO()
    shown.save(box, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(box.getvalue()).decode()
