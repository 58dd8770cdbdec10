"""What a widget says in words."""

from __future__ import annotations

import html
import re

from toolkit.errors import ToolkitError


def sentence(text: str, error: bool) -> str:
    """HTML of a sentence in the colours of the notebook's theme."""
    colour = "var(--jp-error-color1, #b00)" if error else "var(--jp-ui-font-color2, #777)"
    return f"<span style='color:{colour}'>{html.escape(text)}</span>"


def to_copy(text: str) -> str:
    """HTML of a call or a command line, which a click selects.

    Lines break between words, and within one only where it is longer than a line.
    """
    # JupyterLab breaks code anywhere, and a browser behind every hyphen; that would tear "--denoise".
    word = "<span style='display:inline-block;max-width:100%;overflow-wrap:anywhere;word-break:normal'>{}</span>"
    parts = (p if p.isspace() else word.format(html.escape(p)) for p in re.split(r"(\s+)", text) if p)
    return f"<pre style='user-select:all;white-space:pre-wrap'>{''.join(parts)}</pre>"


def plain(error: Exception, name: str = "the file", again: str = "try again") -> str:
    """An error as one sentence: a traceback helps nobody who looks at a picture.

    name, again : what could not be read, and what to do when it can be.
    """
    if isinstance(error, ToolkitError):
        return str(error)
    if isinstance(error, OSError):
        return f"{name} cannot be read ({error.strerror}); put it back and {again}"
    return f"this could not be shown: {type(error).__name__}: {error}"
