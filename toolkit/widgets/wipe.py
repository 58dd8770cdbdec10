"""Before and after in one frame: wipe, side by side, blink, difference; by mouse or keyboard."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from toolkit.clip import Clip
from toolkit.compare.grid import frames_at, to_rgb
from toolkit.widgets.still import Still

HERE = Path(__file__).parent


class Wipe(Still, anywidget.AnyWidget):
    """Two pictures laid over one another.

    before, after : data URLs of pictures of one size.
    labels        : their names.
    mode          : "wipe", "side by side", "blink" or "difference" (four times as bright as it is).
    position      : where the wipe stands, in percent from the left.
    """

    _esm = HERE / "wipe.js"
    _css = HERE / "wipe.css"
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)
    labels = traitlets.List(["before", "after"]).tag(sync=True)
    mode = traitlets.Enum(["wipe", "side by side", "blink", "difference"], "wipe").tag(sync=True)
    position = traitlets.Float(50.0, min=0, max=100).tag(sync=True)

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
    time: float | None = None,
    labels: tuple[str, str] = ("before", "after"),
    height: int = 480,
) -> Wipe:
    """Shows one moment of two clips (paths or Clips), `time` seconds in (the middle when left out), to wipe between.

    Both are shown at the same size and their own display aspect, `height` pixels high.
    """
    clips = [c if isinstance(c, Clip) else Clip.open(c) for c in (before, after)]
    if time is None:
        time = min(c.duration or 0.0 for c in clips) / 2
    width = round(height * clips[1].format.dar)
    urls = [data_url(frames_at(c, [time])[0], (width, height)) for c in clips]
    return Wipe(before=urls[0], after=urls[1], labels=list(labels))


def _picture(url: str) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def data_url(batch: Any, size: tuple[int, int]) -> str:
    """The first frame of `batch` at `size` `(width, height)` as a data URL."""
    from PIL import Image

    picture = Image.fromarray(to_rgb(batch)[0]).resize(size, Image.Resampling.LANCZOS)
    box = io.BytesIO()
    picture.save(box, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(box.getvalue()).decode()
