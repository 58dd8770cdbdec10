"""Readings of `slope` as pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.profiling.slope import UNITS, Slope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A Matplotlib figure that a notebook shows."""

    figure: Figure

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.figure.savefig(out, format="png", dpi=80)
        return out.getvalue()


def plot(found: Mapping[str, Slope], *names: str) -> Picture:
    """A curve over the rounds for each of `found`, a panel for each figure (such as "temporary"), from their first
    reading on."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2 * len(names), 2.8), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        unit, scale = UNITS[name], 1
        if unit == "bytes":
            top = max(abs(v - s[name].values[0]) for s in found.values() for v in s[name].values)
            unit, scale = ("MiB", 2**20) if top > 2**20 else ("KiB", 2**10)
        for label, one in found.items():
            axes.plot([(v - one[name].values[0]) / scale for v in one[name].values], marker=".", label=label)
        if all(v == one[name].values[0] for one in found.values() for v in one[name].values):
            axes.set_ylim(-0.5, 1)  # nothing changed: a scale of hundredths would look like noise
        axes.set(xlabel="round", ylabel=f"{name}, {unit}" if unit != name else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return Picture(figure)


def bars(rows: Mapping[str, Mapping[str, float]]) -> Picture:
    """A small panel of bars for each row, such as {"lag, s": {"before": 2.3, "now": 0.4}}."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.3 * len(rows), 2.6), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for axes, (title, values) in zip(panels, rows.items(), strict=True):
        drawn = axes.bar(list(values), list(values.values()), color=["#888888", "#2a7f62"])
        axes.bar_label(drawn, labels=[f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}" for v in values.values()])
        axes.set_title(title, fontsize=9)
        axes.margins(y=0.15)
    return Picture(figure)
