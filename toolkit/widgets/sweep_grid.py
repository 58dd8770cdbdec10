"""The rows of a sweep as a table that sorts and a plot of quality against speed."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from toolkit.decimals import decimals
from toolkit.sweep.table import BETTER, USUAL, more_is_better
from toolkit.widgets.page import joined

_NO_COLUMNS = ("key", "pipeline", "taken_s", "findings", "frames", "paired")


class Grid(anywidget.AnyWidget):
    """The table and the plot.  All it shows lies in its traits, so it stands in a notebook without a kernel too.

    chosen   : the key of the row that was clicked last.
    decimals : how many each column is shown with.
    """

    _esm = joined("page.js", "kernel.js", "sideways.js", "sweep.js")
    _css = joined("grid.css")
    columns = traitlets.List().tag(sync=True)
    decimals = traitlets.Dict().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    front = traitlets.List().tag(sync=True)
    axes = traitlets.List(["fps", ""]).tag(sync=True)
    best_up = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)

    def fill(self, rows: list[dict[str, Any]], metric: str | None) -> str:
        """Shows these rows, ranked by `metric` (the usual one for None); what there is to say about that."""
        good = [r for r in rows if not r.get("error")]
        names = list(dict.fromkeys(k for r in rows for k in r))
        measures = [n for start in BETTER for n in names if n.startswith(start) and _any(good, n)]
        knobs = [n for n in names if n not in (*measures, *_NO_COLUMNS, "error") and _any(rows, n)]
        errors = ["error"] if len(good) < len(rows) else []
        quality = metric or next((n for n in USUAL if n in measures), "")
        with self.hold_sync():
            first = [n for n in (quality, "fps") if n in measures]  # what the plot shows
            self.columns = [*knobs, *first, *(n for n in measures if n not in first), *errors]
            self.best_up = {n: more_is_better(n) for n in measures}
            self.axes, self.front = ["fps", quality], front_of(good, quality)
            self.decimals = {name: decimals(r.get(name) for r in rows) for name in self.columns}
            self.rows = rows
        if quality and quality not in measures and good:
            return f"there is no measure {quality!r}, there are {', '.join(measures)}"
        if quality.startswith("blind"):
            return "no truth was given, so they are ranked by how well they predict the tape (blind)"
        return "no truth was given and no blind score applies, so only combing is told" if quality == "combing" else ""

    def best(self, count: int) -> list[dict[str, Any]]:
        """The first rows by the plot's quality, with the columns that are shown."""
        quality = self.axes[1]
        sign = -1 if more_is_better(quality) else 1
        good = sorted((r for r in self.rows if r.get(quality) is not None), key=lambda r: sign * r[quality])
        others = [r for r in self.rows if r.get(quality) is None]
        return [{name: row.get(name) for name in self.columns} for row in [*good, *others][:count]]

    def label(self, row: dict[str, Any]) -> str:
        """The settings of a row in words."""
        knobs = [c for c in self.columns if c not in self.best_up and c != "error"]
        return ", ".join(f"{k.partition('.')[2] or k}={row[k]}" for k in knobs if row.get(k) is not None)


def _any(rows: list[dict[str, Any]], name: str) -> bool:
    return any(r.get(name) is not None for r in rows)


def front_of(rows: list[dict[str, Any]], quality: str) -> list[str]:
    """The keys of the rows that none other beats in both speed and `quality`, the fastest first."""
    sign = 1 if more_is_better(quality) else -1
    points = [(r["fps"], sign * r[quality], r["key"]) for r in rows if None not in (r.get("fps"), r.get(quality))]
    found, best = [], float("-inf")
    for _, value, key in sorted(points, key=lambda p: (-p[0], -p[1])):
        if value > best:
            found.append(key)
            best = value
    return found
