"""Programs that go on until whoever watches them has seen enough, however late a busy machine lets it look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.profiling.alerts import Alert, Alerts
from toolkit.profiling.looks import Look, Tree


@dataclass(frozen=True)
class Enough:
    """A file that comes to be when enough was seen, and the lines with which programs wait for it."""

    path: Path

    @property
    def shell(self) -> str:
        return f"until [ -e {self.path} ]; do sleep 0.05; done"

    @property
    def python(self) -> str:
        return f"import os, time\nwhile not os.path.exists({str(self.path)!r}): time.sleep(0.05)\n"

    def say(self) -> None:
        self.path.touch()


def when_seen(
    monkeypatch: Any, condition: Callable[[list[Look], list[Alert], Tree], bool], action: Callable[[], None]
) -> None:
    """Has `profile watch` do `action` once, after the first look at which `condition(looks, alerts, tree)` holds."""
    real, looks, alerts, done = Alerts.look, [], [], []

    def look(self: Alerts, now: Look, tree: Tree) -> list[Alert]:
        found = real(self, now, tree)
        looks.append(now)
        alerts.extend(found)
        if not done and condition(looks, alerts, tree):
            done.append(True)
            action()
        return found

    monkeypatch.setattr(Alerts, "look", look)
