"""A slider through the tape: the same moment before and after, side by side, with one part magnified."""

from __future__ import annotations

import io
from typing import Any

import ipywidgets

from toolkit.clip import Clip
from toolkit.compare.grid import before_after
from toolkit.widgets.sentence import plain, sentence


def look(
    before: Any, after: Any, *, truth: Any = None, labels: tuple[str, str] = ("tape", "restored"), height: int = 320
) -> Any:
    """Shows a moment of `before` and `after` (and of `truth`, when given), chosen by a slider in seconds.

    before, after, truth : paths or Clips.
    height : of each picture, in pixels.

    What cannot be shown (a file that is gone, say) is said below the slider.
    """
    end = min(_length(c) for c in (before, after))
    slider = ipywidgets.FloatSlider(
        value=round(end / 2, 1),
        min=0,
        max=max(round(end - 0.1, 1), 0),
        step=0.1,
        description="seconds",
        continuous_update=False,  # a frame is looked up when the slider is let go
        readout_format=".1f",
        layout=ipywidgets.Layout(width="60%"),
    )
    picture, message = ipywidgets.Image(format="jpeg", layout=ipywidgets.Layout(max_width="100%")), ipywidgets.HTML()

    def show(_: Any = None) -> None:
        try:
            sheet = before_after(before, after, time=slider.value, truth=truth, labels=labels, height=height)
        except Exception as error:  # a dead slider would be worse than a plain message
            message.value = sentence(plain(error, again="move the slider"), error=True)
            return
        box = io.BytesIO()
        sheet.convert("RGB").save(box, "JPEG", quality=90)
        picture.value, message.value = box.getvalue(), ""

    slider.observe(show, names="value")
    show()
    return ipywidgets.VBox([slider, message, picture])


def _length(source: Any) -> float:
    clip = source if isinstance(source, Clip) else Clip.open(source)
    return clip.duration or 0.0
