"""The stages of a pipeline by group: `deinterlace`, `repair`, `denoise`, `upscale`.

    from toolkit.stages import deinterlace, denoise, repair, upscale
    steps = [deinterlace.bwdif(), repair.heal_dropouts(), denoise.temporal(), upscale.lanczos(scale=2)]

`stage("denoise.hqdn3d")` finds one by name, `all_stages()` lists them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from toolkit.errors import UnknownName
from toolkit.stages.base import Context, Stage, Step

__all__ = [
    "Context", "GROUPS", "Stage", "Step", "all_stages", "deinterlace", "denoise", "in_order", "repair", "stage",
    "upscale",
]  # fmt: skip

#: In the order in which the command line applies them.
GROUPS = ("deinterlace", "repair", "denoise", "upscale")
#: Groups of which the command line takes several steps, joined by +.
CHAINS = ("repair",)


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Steps in the order of their groups; those that belong before deinterlacing come first.  Others keep theirs."""
    return sorted(steps, key=lambda s: -1 if s.stage.before_deinterlacing else GROUPS.index(s.stage.group))


@functools.cache
def all_stages() -> dict[str, Stage]:
    """Every stage by its full name."""
    from toolkit.stages.table import made

    return {s.name: s for s in made()}


def stage(name: str) -> Stage:
    """The stage of that full name ("denoise.hqdn3d"); `UnknownName` with near names when there is none."""
    found = all_stages()
    group, _, short = name.partition(".")
    if name not in found and group == "upscale":
        name = f"upscale.{_model(short)}"
    if name not in found:
        known = [n for n in found if n.startswith(f"{group}.")] if group in GROUPS and short else found
        elsewhere = [n for n in found if short and n.endswith(f".{short}")]
        raise UnknownName("stage", name, known, **({"hint": f"did you mean {elsewhere[0]}?"} if elsewhere else {}))
    return found[name]


def _model(short: str) -> str:
    """The registered name of a model's alias ("x4plus"), also with underscores, as Python wants it."""
    from toolkit.upscale import weights

    for name, entry in weights.table().items():
        if short in {n.replace("-", "_") for n in (name, *entry.aliases)} | {name, *entry.aliases}:
            return name
    return short


class Group:
    """The stages of one group as attributes: `denoise.hqdn3d(...)`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, short: str) -> Stage:
        if short.startswith("_"):
            raise AttributeError(short)
        try:
            return stage(f"{self._name}.{short}")
        except UnknownName as error:
            raise AttributeError(str(error)) from None

    def __iter__(self) -> Any:
        return iter(n.partition(".")[2] for n in all_stages() if n.startswith(f"{self._name}."))

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<stages {self._name}: {', '.join(self)}>"


class _Package(ModuleType):
    """Keeps the groups where they are: importing a submodule of the same name would put it in the group's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in GROUPS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
deinterlace = Group("deinterlace")
repair = Group("repair")
denoise = Group("denoise")
upscale = Group("upscale")
