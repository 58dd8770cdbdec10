"""Widgets for JupyterLab.  Nothing else of the toolkit imports this.

open(clip)             the tape bench: frames, fields, zoom, scopes, sound, findings
look(before, after)    a slider through the tape, the same moment side by side
wipe(before, after)    one moment laid over another, to wipe between
"""

from __future__ import annotations

from toolkit.widgets.bench import Bench, open
from toolkit.widgets.look import look
from toolkit.widgets.panel import Panel, panel
from toolkit.widgets.wipe import Wipe, wipe

__all__ = ["Bench", "Panel", "Wipe", "look", "open", "panel", "wipe"]
