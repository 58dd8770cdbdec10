"""Knobs as controls: one declaration gives a slider, a dropdown or a switch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets

from kernels.declare import Parameter

_WIDE = ipywidgets.Layout(width="26em")


class Control:
    """One knob as a widget, with its unit, its soft range and a button that brings the default back.

    `value` reads it in the knob's own type; `changed` is called after every change.
    """

    def __init__(self, parameter: Parameter, value: Any, changed: Callable[[], None]) -> None:
        self.parameter = parameter
        self.field = _field(parameter, value)
        self.reset = ipywidgets.Button(
            icon="undo", tooltip=f"back to {parameter.default}", layout=ipywidgets.Layout(width="3em")
        )
        self.reset.on_click(lambda _: setattr(self.field, "value", parameter.default))
        unit = parameter.knob.unit if parameter.knob else ""
        self.box = ipywidgets.HBox([self.field, ipywidgets.Label(unit), self.reset])
        self.field.observe(lambda _: changed(), "value")

    @property
    def value(self) -> Any:
        value = self.field.value
        # A slider adds its steps up: 10.000000000000002 is nothing to read or to paste.
        return self.parameter.kind(float(f"{value:.10g}") if self.parameter.kind is float else value)


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
        return ipywidgets.IntSlider(min=int(low), max=int(high), step=int(knob.step or 1), **shared)
    # About two hundred places, in steps that read well.
    step = knob.step or 10 ** math.floor(math.log10(max(high - low, 1e-6) / 100))
    return ipywidgets.FloatSlider(min=low, max=high, step=step, readout_format=".4g", **shared)
