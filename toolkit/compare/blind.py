"""Ranks settings without a truth: how well a pipeline predicts samples of the tape that it was not shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SCORES: dict[str, Callable] = {}


def applies(name: str, pipelines: list[Any], fmt: Any) -> bool:
    return False
