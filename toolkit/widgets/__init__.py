"""Widgets for JupyterLab.  Nothing else of the toolkit imports this.

open(clip)             the tape bench: frames, fields, zoom, scopes, sound, findings
look(before, after)    a slider through the tape, the same moment side by side
wipe(before, after)    one moment laid over another, to wipe between
sweep(tape, steps, {}) settings tried, a row and a point for each as it comes
jobs(queue)            the queue, how far it is, and what may be done with each job
watch(pid)             a run looked at from outside: figures and curves as they come, alerts, a button that ends it
"""

from __future__ import annotations

from toolkit.widgets.bench import Bench, open
from toolkit.widgets.job_board import JobBoard, jobs
from toolkit.widgets.look import look
from toolkit.widgets.panel import Panel, panel
from toolkit.widgets.sweeping import SweepView, sweep
from toolkit.widgets.watching import WatchView, watch
from toolkit.widgets.wipe import Wipe, wipe

__all__ = [
    "Bench", "JobBoard", "Panel", "SweepView", "WatchView", "Wipe", "jobs", "look", "open", "panel", "sweep", "watch",
    "wipe",
]  # fmt: skip
