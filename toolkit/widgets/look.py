"""A slider through the tape: the same moment before and after, side by side, with one part magnified."""

from __future__ import annotations

import io
from typing import Any

import ipywidgets
from PIL import Image

from toolkit.clip import Clip
from toolkit.compare.grid import before_after
from toolkit.media.times import identity
from toolkit.widgets.picture import Picture
from toolkit.widgets.pulse import WHOLE, Pulse
from toolkit.widgets.reel import opened
from toolkit.widgets.sentence import plain, sentence
from toolkit.widgets.still import Still


class Look(Still, ipywidgets.VBox):
    """What `look` gives.  `slider` says which moment is shown, in seconds."""

    def __init__(self, before: Any, after: Any, **sheet: Any) -> None:
        self._sources, self._sheet = (before, after), sheet
        self._inside = False
        self._clips: list[Clip] = []
        self._stamps: list[Any] = []
        self.slider = ipywidgets.FloatSlider(
            min=0, max=1, step=0.1, description="seconds", readout_format=".1f",
            continuous_update=False,  # a frame is looked up when the slider is let go
            layout=ipywidgets.Layout(width="60%"),
        )  # fmt: skip
        self.again_button = ipywidgets.Button(description="try again", icon="refresh")
        self.picture, self.message = Picture(label="before and after"), ipywidgets.HTML()
        super().__init__([Pulse(), self.slider, self.message, self.again_button, self.picture])
        self.add_class(WHOLE)
        self.slider.observe(self.draw, "value")
        self.again_button.on_click(self.draw)
        self.draw()

    def draw(self, _: Any = None) -> None:
        """Shows the moment that is set; what cannot be shown is said in words."""
        if self._inside:
            return
        self._inside = failed = True
        try:
            changed = self._opened()
            sheet = before_after(*self._clips, time=self.slider.value, **self._sheet)
        except Exception as error:  # a dead slider would be worse than a plain message
            self._say(plain(error, again="move the slider"))
        else:
            failed = False
            box = io.BytesIO()
            sheet.convert("RGB").save(box, "JPEG", quality=90)
            self.picture.value = box.getvalue()
            self._say(f"{' and '.join(changed)} changed; this is what is there now" if changed else "")
        finally:
            self._inside = False
        self.again_button.layout.display = None if failed else "none"
        self.slider.layout.display = None if self._clips else "none"

    def _opened(self) -> list[str]:
        """Opens the clips, and again when their files were changed since; the names of those that were."""
        clips = self._clips or [opened(source) for source in self._sources]
        stamps = [identity(clip.path) for clip in clips]
        changed = [c.path.name for c, old, new in zip(clips, self._stamps, stamps, strict=False) if old != new]
        if self._clips and not changed:
            return []
        if changed:
            clips = [Clip.open(clip.path) for clip in clips]
        length = min(clip.duration or 0.0 for clip in clips)
        self.slider.max = max(round(length - 0.1, 1), 0.1)
        if not self._clips:
            self.slider.value = round(length / 2, 1)
        self._clips, self._stamps = clips, stamps
        return list(dict.fromkeys(changed))

    def _say(self, text: str) -> None:
        self.message.value = sentence(text, error=True) if text else ""

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
