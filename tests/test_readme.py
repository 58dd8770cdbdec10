"""Every command line of README.md is one that the program takes, with stages, knobs and modes that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from toolkit.audio import chain_of
from toolkit.cli import app
from toolkit.presets import preset
from toolkit.sweep.space import axes_of, parse_axis

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    (vhs-toolkit .*)$", README.replace("\\\n", " "), re.MULTILINE)


def test_there_are_some():
    assert len(LINES) > 30


@pytest.mark.parametrize("line", LINES, ids=[re.sub(r"\W+", "-", line)[12:50] for line in LINES])
def test_a_command_of_the_readme_is_taken(line):
    words = shlex.split(line, comments=True)[1:]
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    asked = bound.arguments
    if how := asked.get("how"):
        chosen, _ = how.steps()
        if (mode := how.settings().get("audio", chosen.audio)) not in ("keep", "none"):
            assert chain_of(mode)
    if command.__name__ == "sweep":
        steps = preset(asked.get("preset", "vhs")).pipeline
        assert axes_of(steps, dict(parse_axis(text) for text in asked["knob"]))
