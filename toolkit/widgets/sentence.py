"""What a widget says in words."""

from __future__ import annotations

import html


def sentence(text: str, error: bool) -> str:
    """HTML of a sentence in the colours of the notebook's theme."""
    colour = "var(--jp-error-color1, #b00)" if error else "var(--jp-ui-font-color2, #777)"
    return f"<span style='color:{colour}'>{html.escape(text)}</span>"
