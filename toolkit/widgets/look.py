"""A slider through the tape: the same moment before and after, side by side, with one part magnified."""

from __future__ import annotations

import io
from typing import Any

import ipywidgets
from PIL import Image

from toolkit.compare.grid import before_after
from toolkit.widgets.picture import Picture
from toolkit.widgets.pulse import WHOLE, Pulse
from toolkit.widgets.reel import opened
from toolkit.widgets.sentence import plain, sentence
from toolkit.widgets.still import Still


class Look(Still, ipywidgets.VBox):
    """What `look` gives.  `slider` says which moment is shown, in seconds."""

    def __init__(self, before: Any, after: Any, **sheet: Any) -> None:
        self._sources, self._sheet, self._length = (before, after), sheet, None
        self.slider = ipywidgets.FloatSlider(
            min=0, max=1, step=0.1, description="seconds", readout_format=".1f",
            continuous_update=False,  # a frame is looked up when the slider is let go
            layout=ipywidgets.Layout(width="60%"),
        )  # fmt: skip
        self.again_button = ipywidgets.Button(description="try again", icon="refresh")
        self.picture, self.message = Picture(label="before and after"), ipywidgets.HTML()
        super().__init__([Pulse(), self.slider, self.message, self.again_button, self.picture])
        self.add_class(WHOLE)
        self.again_button.on_click(self.draw)
        self.draw()

    def draw(self, _: Any = None) -> None:
        """Shows the moment that is set; what cannot be shown is said in words."""
        try:
            if self._length is None:
                self._measure()
            sheet = before_after(*self._sources, time=self.slider.value, **self._sheet)
        except Exception as error:  # a dead slider would be worse than a plain message
            self.message.value = sentence(plain(error, again="move the slider"), error=True)
        else:
            box = io.BytesIO()
            sheet.convert("RGB").save(box, "JPEG", quality=90)
            self.picture.value, self.message.value = box.getvalue(), ""
        failed = bool(self.message.value)
        self.again_button.layout.display = None if failed else "none"
        self.slider.layout.display = "none" if self._length is None else None

    def _measure(self) -> None:
        length = min(_length(source) for source in self._sources)
        self.slider.max = max(round(length - 0.1, 1), 0.1)
        self.slider.value = round(length / 2, 1)
        self.slider.observe(self.draw, "value")
        self._length = length

    def still(self) -> Any:
        return Image.open(io.BytesIO(self.picture.value)) if self.picture.value else None


def look(
    before: Any, after: Any, *, truth: Any = None, labels: tuple[str, str] = ("tape", "restored"), height: int = 320
) -> Look:
    """Shows a moment of `before` and `after` (and of `truth`, when given), chosen by a slider in seconds.

    before, after, truth : paths or Clips.
    height : of each picture, in pixels.

    What cannot be shown (a file that is not there, say) is said below the slider, and the next move tries again.
    """
    return Look(before, after, truth=truth, labels=labels, height=height)


def _length(source: Any) -> float:
    return opened(source).duration or 0.0
