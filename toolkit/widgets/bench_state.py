"""What the tape bench shows and what can be set of it: its traits, and how values out of range are brought into it."""

from __future__ import annotations

from typing import Any

import traitlets

from toolkit.widgets.page import joined
from toolkit.widgets.pictures import VIEWS
from toolkit.widgets.saying import Zooming
from toolkit.widgets.timecode import written


class BenchState(Zooming):
    """The traits of `Bench`, all of which the page sees.

    position : the frame that is shown, from 0 to `last`.
    view     : "woven", "separate" or "interleaved".
    zoom     : from 1 (whole) to 16; `centre` is the point in the middle, as fractions of the picture from left and top.
    scopes   : whether waveform and vectorscope are drawn; they look at the part that is shown.

    Values out of range are brought into it, and the widget says so; `message` holds what it says.
    """

    _esm = joined("page.js", "kernel.js", "zoom.js", "play.js", "strip.js", "bench.js")
    _css = joined("page.css", "bench.css")
    name = traitlets.Unicode().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)
    last = traitlets.Int(0).tag(sync=True)
    rate = traitlets.Float(25.0).tag(sync=True)
    view = traitlets.Unicode("woven").tag(sync=True)
    views = traitlets.Dict(VIEWS).tag(sync=True)
    scopes = traitlets.Bool(True).tag(sync=True)
    aspect = traitlets.Float(4 / 3).tag(sync=True)
    timecode = traitlets.Unicode().tag(sync=True)
    pictures = traitlets.List().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)  # part, and the same pictures of it without loss; empty when not zoomed
    waveform = traitlets.Bytes().tag(sync=True)
    vectorscope = traitlets.Bytes().tag(sync=True)
    scale = traitlets.Unicode().tag(sync=True)
    strip = traitlets.List().tag(sync=True)
    findings = traitlets.List().tag(sync=True)
    tracks = traitlets.List().tag(sync=True)

    @traitlets.validate("position")
    def _position_within(self, proposal: Any) -> int:
        wanted, held = proposal["value"], min(max(proposal["value"], 0), self.last)
        if wanted != held:
            end = "the last" if wanted > held else "the first"
            there, here = (f"{n} ({written(max(n, 0), self.rate)})" for n in (wanted, held))
            self._note(f"there is no frame {there}; this is {end}, {here}", held == self.position)
        return held

    @traitlets.validate("view")
    def _view_known(self, proposal: Any) -> str:
        if proposal["value"] in VIEWS:
            return proposal["value"]
        known = ", ".join(VIEWS)
        self._note(f"there is no view {proposal['value']!r}; there are {known}", bool(self.name))
        return self.view
