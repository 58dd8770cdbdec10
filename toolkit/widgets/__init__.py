"""Widgets for JupyterLab: `look` moves through a tape before and after.  Nothing else of the toolkit imports this."""

from __future__ import annotations

from toolkit.widgets.look import look

__all__ = ["look"]
