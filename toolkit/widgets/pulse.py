"""Notices that no kernel answers, for widgets that are made of ipywidgets and have no code of their own in the page."""

from __future__ import annotations

from typing import Any

import anywidget

from toolkit.widgets.page import joined

#: The class of the box that a `Pulse` speaks for.
WHOLE = "vhs-whole"


class Pulse(anywidget.AnyWidget):
    """A line that is empty as long as the kernel answers; put it into a box of the class `WHOLE`.

    Where there is no kernel, or one that was started later than the box was drawn, it says so and the box's controls
    go out of reach: a dead widget must not look alive.
    """

    _esm = joined("page.js", "kernel.js", "pulse.js")
    _css = joined("page.css")

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self.on_msg(lambda _, said, __: self.send({"kind": "done", "number": said.get("number")}))
