"""Knobs as controls: one declaration gives a slider with a number to type, a dropdown or a switch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets

from kernels.declare import Parameter
from toolkit.widgets.sentence import sentence

#: For a row of controls: what has no place in it goes below.
WRAPS = {"flex_flow": "row wrap"}
_WIDE = {"flex": "1 1 10em", "max_width": "26em"}


class Control:
    """One knob as a widget, with its unit, its soft range and a button that brings the default back.

    `value` reads it in the knob's own type; `changed` is called after every change.  `typed`, None where there is no
    number, takes all that the knob allows, beyond the slider's soft range too; what is out of it is brought back, and
    `note` says so.
    """

    def __init__(self, parameter: Parameter, value: Any, changed: Callable[[], None]) -> None:
        self.parameter = parameter
        self.field = _field(parameter, value)
        self.typed = _typed(parameter, value)
        self.note = ipywidgets.HTML()
        small = {"width": "3em", "flex": "none", "padding": "0"}
        self.reset = ipywidgets.Button(icon="undo", tooltip=f"back to {parameter.default}", layout=small)
        self.reset.on_click(lambda _: setattr(self.field, "value", parameter.default))
        unit = ipywidgets.Label(parameter.knob.unit if parameter.knob else "", layout={"flex": "none"})
        number = [self.typed] if self.typed else []
        self.box = ipywidgets.HBox([self.field, *number, unit, self.reset, self.note], layout=WRAPS)
        self.field.observe(lambda _: self._follow(changed), "value")
        if self.typed:
            self.typed.observe(lambda change: self._take(change["new"]), "value")

    @property
    def value(self) -> Any:
        value = self.field.value
        # A slider adds its steps up: 10.000000000000002 is nothing to read or to paste.
        return self.parameter.kind(float(f"{value:.10g}") if self.parameter.kind is float else value)

    def _follow(self, changed: Callable[[], None]) -> None:
        self.note.value = ""
        if self.typed and self.typed.value != self.field.value:
            self.typed.value = _short(self.field.value)
        changed()

    def _take(self, wanted: float) -> None:
        if _short(self.field.value) == wanted:
            return  # it came from the slider
        knob = self.parameter.knob
        held = min(max(wanted, knob.low), knob.high) if math.isfinite(wanted) else self.field.value
        with self.field.hold_trait_notifications():
            self.field.min, self.field.max = min(self.field.min, held), max(self.field.max, held)
            self.field.value = held
        if held != wanted:
            self.typed.value = _short(held)
            span = f"{knob.low:g} to {knob.high:g} {knob.unit}".strip()
            text = f"{self.parameter.name} of {wanted:g} was asked for; it goes from {span}"
            self.note.value = sentence(text, True)


def _short(value: float) -> float:
    """Without the digits that binary fractions bring."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _field(parameter: Parameter, value: Any) -> Any:
    style = {"description_width": "7em"}
    shared = {"value": value, "description": parameter.name, "style": style, "layout": _WIDE}
    if parameter.choices:
        return ipywidgets.Dropdown(options=list(parameter.choices), **shared)
    if parameter.kind is bool:
        return ipywidgets.Checkbox(**shared)
    if parameter.kind is str or parameter.knob is None:
        return ipywidgets.Text(continuous_update=False, **shared)
    knob = parameter.knob
    low, high = knob.soft or (knob.low, knob.high)
    low, high = min(low, value), max(high, value)
    if parameter.kind is int:
        return ipywidgets.IntSlider(min=int(low), max=int(high), step=int(knob.step or 1), readout=False, **shared)
    # About two hundred places, in steps that read well.
    step = knob.step or 10 ** math.floor(math.log10(max(high - low, 1e-6) / 100))
    return ipywidgets.FloatSlider(min=low, max=high, step=step, readout=False, **shared)


def _typed(parameter: Parameter, value: Any) -> Any:
    if parameter.knob is None or parameter.kind not in (int, float):
        return None
    kind = ipywidgets.IntText if parameter.kind is int else ipywidgets.FloatText
    layout = ipywidgets.Layout(width="6em", flex="none")
    made = kind(value=_short(value), continuous_update=False, layout=layout)
    made.tooltip = f"{parameter.name}: type a number"
    return made
