"""The course of a watched run: every figure in a bounded number of points, however long it lasts, and as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.profiling.alerts import MIB, Alert
from toolkit.profiling.looks import Look

if TYPE_CHECKING:
    from toolkit.profiling.plot import Picture

POINTS = 240  # of each curve, at most


@dataclass(frozen=True)
class Measure:
    """A figure of a look.  alerts : the kinds of alert that are about it."""

    name: str
    unit: str
    of: Callable[[Look], float | None]
    alerts: tuple[str, ...] = ()


def _scaled(name: str, scale: float) -> Callable[[Look], float | None]:
    def read(look: Look) -> float | None:
        value = getattr(look, name)
        return None if value is None else value / scale

    return read


MEASURES = (
    Measure("memory", "MiB", _scaled("memory", MIB), ("memory",)),
    Measure("temporary files", "MiB", _scaled("temp_bytes", MIB), ("temporary",)),
    Measure("processor", "%", _scaled("cpu", 0.01)),
    Measure("processor, with all others", "%", _scaled("machine_cpu", 0.01), ("cpu",)),
    Measure("GPU", "%", _scaled("gpu", 0.01), ("gpu",)),
    Measure("GPU memory", "MiB", _scaled("gpu_bytes", MIB)),
    Measure("read", "MiB/s", _scaled("read_rate", MIB)),
    Measure("written", "MiB/s", _scaled("write_rate", MIB)),
    Measure("open files", "", _scaled("open_files", 1), ("open files",)),
    Measure("processes", "", _scaled("processes", 1), ("zombies", "left running")),
    Measure("threads", "", _scaled("threads", 1)),
    Measure("waited in the queue", "s", _scaled("queue_latency", 1)),
    Measure("wait for the queue's lock", "ms", _scaled("lock_wait", 1e-3)),
)
_UNITS = {m.name: m.unit for m in MEASURES}


class Course:
    """What was seen from the beginning on.  Each point keeps the largest value of the looks it stands for.

    times : seconds, one for each point.  values : for each figure as many values, None where there was none.
    A figure that was never known is left out; frames a second are a figure for each stage.
    """

    def __init__(self, points: int = POINTS) -> None:
        self.times: list[float] = []
        self.values: dict[str, list[float | None]] = {}
        self.now: dict[str, float | None] = {}
        self.most: dict[str, float] = {}
        self._points, self._each, self._room = max(2, points), 1, 0  # looks that a point stands for; left in the last

    def add(self, look: Look) -> None:
        """Takes in one look."""
        found = {m.name: m.of(look) for m in MEASURES}
        if look.stage and look.frames_per_second is not None:
            found[f"frames/s, {look.stage}"] = look.frames_per_second
        found = {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
        if self._room == 0:
            if len(self.times) == self._points:
                self._halve()
            self.times.append(look.seconds)
            for curve in self.values.values():
                curve.append(None)
            self._room = self._each
        self._room -= 1
        self.times[-1] = look.seconds
        self.now = dict.fromkeys(self.values) | found
        for name, value in found.items():
            curve = self.values.setdefault(name, [None] * len(self.times))
            curve[-1] = _larger(curve[-1], value)
            self.most[name] = max(self.most.get(name, value), value)

    def _halve(self) -> None:
        self._each *= 2
        self.times = [pair[-1] for pair in _pairs(self.times)]
        self.values = {n: [_larger(*pair) for pair in _pairs(curve)] for n, curve in self.values.items()}

    def rows(self, alerted: Sequence[str] = ()) -> list[dict[str, Any]]:
        """For each figure its name, unit, value now, largest value and points, as plain data.

        alerted : kinds of alert that were told; the rows they are about say so.
        """
        order = [*(m.name for m in MEASURES if m.name in self.values), *(n for n in self.values if n not in _UNITS)]
        about = {m.name: bool(set(m.alerts) & set(alerted)) for m in MEASURES}
        return [
            {
                "name": name, "unit": _UNITS.get(name, ""), "now": _short(self.now.get(name)),
                "most": _short(self.most[name]), "points": [_short(v) for v in self.values[name]],
                "alert": about.get(name, False),
            }
            for name in order
        ]  # fmt: skip

    def picture(self, title: str, alerts: Sequence[Alert] = ()) -> Picture:
        """Four panels: memory and files, processor and GPU, disk, frames a second by stage; alerts as red lines."""
        from matplotlib.figure import Figure

        from toolkit.profiling.plot import Picture

        words = [title, *(f"alert at {a.at:.0f} s, {a.kind}: {a.seen}" for a in list(alerts)[-3:])]
        lines = [line for text in words for line in textwrap.wrap(text, 100)]
        figure = Figure(figsize=(8, 4.2 + 0.17 * len(lines)), layout="constrained")
        figure.suptitle("\n".join(lines), fontsize=9)
        stages = [n for n in self.values if n.startswith("frames/s, ")]
        panels = {
            "MiB": ["memory", "temporary files", "GPU memory"], "%": ["processor", "GPU"],
            "MiB/s": ["read", "written"], "frames/s": stages,
        }  # fmt: skip
        for axes, (unit, names) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
            for name in names:
                if curve := self.values.get(name):
                    drawn = [math.nan if v is None else v for v in curve]
                    axes.plot(self.times, drawn, label=name.removeprefix("frames/s, "), marker="." * (len(curve) < 9))
            for alert in alerts:
                axes.axvline(alert.at, color="#c62828", linewidth=0.8)
            axes.set(xlabel="seconds", ylabel=unit)
            axes.set_ylim(0, None if any(self.most.get(name) for name in names) else 1)
            axes.grid(alpha=0.3)
            if axes.lines and axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=7)
        return Picture(figure)


def _pairs(values: list[Any]) -> list[list[Any]]:
    return [values[n : n + 2] for n in range(0, len(values), 2)]


def _larger(*values: float | None) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _short(value: float | None) -> float | None:
    """Four digits are more than can be seen."""
    return None if value is None else float(f"{value:.4g}")
