"""Settings as people type them: `NAME:knob=value,...`, `A:B`, `2GiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernels.declare import Parameter
from toolkit.errors import KnobError, RequestError, UnknownName
from toolkit.pipeline import Pipeline
from toolkit.stages import CHAINS, GROUPS, Step, all_stages, in_order, stage

_WEIGHTS = (".pth", ".pt", ".safetensors")
_UNITS = {"": 1, "b": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def parse_bytes(text: str) -> int:
    """ "2GiB", "500MB", "1073741824" as bytes.  Raises `KnobError`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", text.lower())
    if not match or float(match[1]) == 0:
        raise KnobError(f"{text!r} is not an amount of memory", expected="for instance 2GiB or 500MB")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def parse_range(text: str | None) -> tuple[int, int | None]:
    """ "A:B" as `(A, B)`; either may be left out.  Raises `KnobError`."""
    if text is None:
        return 0, None
    match = re.fullmatch(r"(\d*):(\d*)", text.strip())
    if not match:
        raise KnobError(f"frames is {text!r}", expected="A:B, for instance 0:250, 100: or :50")
    first, stop = int(match[1] or 0), int(match[2]) if match[2] else None
    if stop is not None and stop <= first:
        raise KnobError(f"frames is {text!r}", expected="A:B with B larger than A")
    return first, stop


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """ "LEFT,TOP,RIGHT,BOTTOM" in samples.  Raises `KnobError`."""
    parts = [p.strip() for p in text.split(",")]
    if len(parts) != 4 or not all(p.isdecimal() for p in parts):
        raise KnobError(f"crop is {text!r}", expected="LEFT,TOP,RIGHT,BOTTOM in samples, for instance 0,0,0,10")
    return tuple(int(p) for p in parts)


def parse_step(group: str, text: str) -> Step | None:
    """ "NAME:knob=value,..." as a step of `group`; "none" is None.  Raises `UnknownName` / `KnobError`."""
    if text.strip().lower() in ("none", "off"):
        return None
    name, colon, rest = text.partition(":")
    if not name.strip():
        raise KnobError(f"{group} names no stage", expected="NAME[:knob=value,...] or none", hint="vhs-toolkit stages")
    knobs: dict[str, Any] = {}
    if group == "upscale" and Path(name).suffix.lower() in _WEIGHTS:
        name, knobs = "net", {"model": name}
    found = stage(f"{group}.{name.strip()}")
    for part in filter(None, rest.split(",")) if colon else ():
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals:
            raise KnobError(f"{part!r} in {text!r} has no value", expected="knob=value")
        if key not in found.parameters:
            raise UnknownName(f"knob of {found.name}", key, found.parameters or ["(it has none)"])
        knobs[key] = parse_value(found.parameters[key], value.strip(), found.name)
    return found(**knobs)


def parse_steps(group: str, text: str) -> list[Step]:
    """ "NAME[:knob=value,...]" as steps of `group`, several joined by + where the group is a chain; "none" is none.

    Raises `UnknownName` / `KnobError`.
    """
    parts = text.split("+") if group in CHAINS else [text]
    name = text.partition(":")[0]  # files may have a plus in their names, and numbers, as 1e+1
    if "+" in name and group not in CHAINS and Path(name).suffix.lower() not in _WEIGHTS:
        raise KnobError(f"{group} is {text!r}", expected="one stage; only repair takes several, joined by +")
    return [step for step in (parse_step(group, part) for part in parts) if step is not None]


def spoken(pipeline: Pipeline) -> list[str]:
    """The words for the command line that stand for `pipeline`, whatever the preset; the reverse of `changed`.

    Raises `RequestError` where there are none: two steps of a group, or another order than the command line's.
    """
    groups = [step.stage.group for step in pipeline]
    single = [g for g in groups if g not in CHAINS]
    if in_order(pipeline) != list(pipeline) or len(set(single)) != len(single):
        raise RequestError(
            "the command line takes one step of each group, in their order", hint="save a preset, and name its file"
        )
    words = []
    for group in GROUPS:
        texts = []
        for step in (s for s in pipeline if s.stage.group == group):
            own = {k: v for k, v in step.settings if v != step.stage.parameters[k].default}
            told = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in own.items())
            texts.append(step.name.partition(".")[2] + (f":{told}" if told else ""))
        words += [f"--{group}", "+".join(texts) or "none"]
    return words


def parse_pairs(text: str) -> dict[str, Any]:
    """ "knob=value,..." as a dictionary of numbers, truth values and words.  Raises `KnobError`."""
    pairs: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals or not key or not value:
            raise KnobError(f"{part!r} is not a setting", expected="knob=value")
        try:
            pairs[key] = int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError:
            pairs[key] = {"true": True, "false": False}.get(value.lower(), value)
    return pairs


def parse_value(parameter: Any, text: str, owner: str) -> Any:
    """A knob's value from text, in the knob's own type.  Raises `KnobError`."""
    if parameter.kind is bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if text.lower() not in words:
            raise KnobError(f"{owner}: {parameter.name} is {text!r}", expected="true or false")
        return words[text.lower()]
    if parameter.kind is str:
        return text
    try:
        return float(text)
    except ValueError:
        raise KnobError(f"{owner}: {parameter.name} is {text!r}", expected="a number") from None


def changed(
    pipeline: Pipeline,
    *,
    deinterlace: str | None = None,
    repair: str | None = None,
    denoise: str | None = None,
    upscale: str | None = None,
    scale: float | None = None,
    height: int | None = None,
) -> Pipeline:
    """`pipeline` with the steps of a group replaced by those asked for ("none" takes them out).

    `scale` and `height` set the size of the upscale step; without one, Lanczos is put in.
    """
    by_group: dict[str, list[Step]] = {g: [s for s in pipeline if s.stage.group == g] for g in GROUPS}
    asked = {"deinterlace": deinterlace, "repair": repair, "denoise": denoise, "upscale": upscale}
    for group, text in asked.items():
        if text is not None:
            by_group[group] = parse_steps(group, text)
    if scale is not None or height is not None:
        if scale is not None and height is not None:
            raise KnobError("--scale was given together with --height", expected="one of the two")
        if scale is not None and scale <= 0:
            raise KnobError(f"scale is {scale:g}", expected="more than 0")
        size = {"scale": scale or 0.0, "height": height or 0}
        last = by_group["upscale"][-1] if by_group["upscale"] else stage("upscale.lanczos")()
        if "scale" in last.stage.parameters:
            last = last.stage(**{**last.knobs, "width": 0, **size})
        by_group["upscale"] = [*by_group["upscale"][:-1], last]
    return Pipeline(in_order(step for group in GROUPS for step in by_group[group]))


def stage_table() -> list[dict[str, Any]]:
    """Every picture stage with its knobs, for listings."""
    return [knob_rows(name, found.summary, found.parameters) for name, found in all_stages().items()]


def knob_rows(name: str, summary: str | None, knobs: Mapping[str, Parameter]) -> dict[str, Any]:
    """A stage, of the picture or the sound, with its knobs, for listings."""
    rows = []
    for p in knobs.values():
        span = "|".join(p.choices) if p.choices else f"{p.knob.low:g}..{p.knob.high:g}" if p.knob else p.kind.__name__
        rows.append({"name": p.name, "default": p.default, "range": span, "unit": p.knob.unit if p.knob else ""})
    return {"name": name, "summary": (summary or "").strip().splitlines()[0], "knobs": rows}
