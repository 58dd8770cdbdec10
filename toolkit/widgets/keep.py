"""A name and a button that keep what is set as a preset."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from toolkit.errors import ToolkitError

USUAL = "my-tape.yaml"


class KeepPreset(ipywidgets.HBox):
    """Calls `write(path)` with the name that was typed and says in `say(text, error)` what came of it.

    tape : the file it was made for, in the words that follow.
    """

    def __init__(
        self, write: Callable[[str], Path], say: Callable[[str, bool], None], tape: Callable[[], str], **state: bool
    ) -> None:
        # Told when it is left: a name told letter by letter would lag behind a quick click on the button.
        self.name = ipywidgets.Text(placeholder=USUAL, description="preset", continuous_update=False)
        self.button = ipywidgets.Button(description="save as preset", icon="save", layout={"flex": "none"}, **state)
        self._write, self._say, self._tape = write, say, tape
        super().__init__([self.name, self.button], layout={"flex_flow": "row wrap"})
        self.button.on_click(lambda _: self.save())

    def save(self) -> None:
        """Writes the preset; a file that is there already is not touched, and that is said."""
        name = self.name.value.strip() or USUAL
        try:
            path = self._write(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
        except ToolkitError as error:
            self._say(str(error), True)
        else:
            words = ["vhs-toolkit", "restore", self._tape(), "OUT", "--preset", str(path)]
            self._say(f"saved: {shlex.join(words)}", False)
