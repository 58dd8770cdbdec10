"""Widgets that say in words what went wrong, and that show a picture through a window which can be moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anywidget
import traitlets

from toolkit.widgets.sentence import plain

ZOOM = 16.0  # the most


class Saying(anywidget.AnyWidget):
    """`message` holds what the widget says: {"text", "kind"}, the kind being "note" or "error"."""

    message = traitlets.Dict({"text": "", "kind": "note"}).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        self._notes: list[str] = []
        self._inside, self._drawn = False, ()
        super().__init__(**state)

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """What goes wrong inside is said in the widget; so is what was brought into range."""
        if self._inside:
            yield
            return
        self._inside = True
        try:
            yield
        except Exception as error:  # a dead widget would be worse than a plain message
            self._drawn = ()  # so that the next move tries again
            self._notes.clear()
            self._say(plain(error), "error")
        finally:
            self._inside = False
        if self._notes:
            self._say("; ".join(self._notes), "note")
            self._notes.clear()

    def _note(self, text: str, now: bool = False) -> None:
        """To be said when the work that goes on is done; `now` when none may follow."""
        self._notes.append(text)
        if now:
            with self._saying():
                pass

    def _say(self, text: str, kind: str) -> None:
        self.message = {"text": text, "kind": kind}


class Zooming(Saying):
    """A part of a picture is shown: `1 / zoom` of it each way, about `centre`.

    zoom   : from 1 (whole) to 16.
    centre : the point in the middle, as fractions of the picture from left and top.
    asked  : counts what the page asks for; `answered` follows when it is shown.
    """

    zoom = traitlets.Float(1.0).tag(sync=True)
    most = traitlets.Float(ZOOM).tag(sync=True)
    centre = traitlets.List([0.5, 0.5]).tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)

    @traitlets.validate("zoom")
    def _zoom_within(self, proposal: Any) -> float:
        wanted = proposal["value"]
        held = min(max(wanted, 1.0), ZOOM) if math.isfinite(wanted) else 1.0
        if wanted != held:
            self._note(f"a zoom of {wanted:g} was asked for; it goes from 1 to {ZOOM:g}", held == self.zoom)
        return held

    @traitlets.validate("centre")
    def _centre_within(self, proposal: Any) -> list[float]:
        try:
            x, y = (float(v) for v in proposal["value"])
        except (TypeError, ValueError):
            x = y = math.nan
        return [min(max(v, 0.0), 1.0) if math.isfinite(v) else 0.5 for v in (x, y)]
