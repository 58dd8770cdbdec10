"""What stays in a notebook where there is no kernel to draw a widget: a picture, or a table."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from toolkit.decimals import decimals, shown

WIDTH = 640  # pixels
#: A class that JupyterLab, Voila and nbconvert give the picture, by which page.css tells it from the user's own.
MARK = {"needs_background": "dark"}
#: What a notebook keeps of one output: data and metadata by MIME type.
Output = tuple[dict[str, Any], dict[str, Any]]


class Still:
    """A widget (mix this in before its class) that leaves something to see in the notebook, right before itself.

    A notebook does not keep what widgets show unless asked to, so it would open empty without a kernel.  `still`
    returns what stays: a Pillow image, or a `table`; None as long as there is nothing to be seen.  The page's style
    (page.css) hides it beside the living widget.
    """

    _handle: Any = None

    def still(self) -> Any:
        raise NotImplementedError

    def keep(self) -> None:
        """Brings what stays up to date, for widgets that go on after their cell."""
        if self._handle is not None and (found := self._leaves()) is not None:
            self._handle.update(found[0], metadata=found[1], raw=True)

    def _leaves(self) -> Output | None:
        found = self.still()
        if found is None:
            return None
        words = f"{type(self).__name__}, as it was"
        if isinstance(found, str):
            return {"text/html": found, "text/plain": words}, {}
        height = max(1, round(found.height * WIDTH / found.width))
        box = io.BytesIO()
        found.convert("RGB").resize((WIDTH, height)).save(box, "JPEG", quality=80)
        data = {"image/jpeg": base64.b64encode(box.getvalue()).decode(), "text/plain": words}
        return data, {"image/jpeg": {"width": WIDTH, "height": height}, **MARK}

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        if (found := self._leaves()) is not None:
            self._handle = display(found[0], metadata=found[1], raw=True, display_id=True)
        found = self._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found, {})
        data["text/plain"] = f"{type(self).__name__}: run the cell to use it"
        display(data, metadata=metadata, raw=True)


def table(words: str, rows: Sequence[dict[str, Any]]) -> str:
    """Rows as an HTML table under a sentence, as `Still.still` may return it."""
    names = list(dict.fromkeys(name for row in rows for name in row))

    places = {name: decimals(row.get(name) for row in rows) for name in names}

    def line(tag: str, texts: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

    body = "".join(line("td", [shown(row.get(name), places[name]) for name in names]) for row in rows)
    grid = f"<table>{line('th', names)}{body}</table>" if rows else ""
    return f'<div class="vhs-still"><p>{html.escape(words)}</p>{grid}</div>'
