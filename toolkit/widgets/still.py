"""The picture that stays in a notebook where there is no kernel to draw a widget."""

from __future__ import annotations

import base64
import io
from typing import Any

WIDTH = 640  # pixels
#: A class that JupyterLab, Voila and nbconvert give the picture, by which the page tells it from the user's own.
_MARK = {"needs_background": "dark"}


def hidden_beside(selector: str) -> str:
    """The CSS that hides the picture where the widget, found by `selector`, is there as well."""
    return (
        ".jp-OutputArea-child:has(img.jp-needs-dark-background)"
        f":has(+ .jp-OutputArea-child {selector}) {{ display: none; }}"
    )


class Still:
    """A widget (mix this in before its class) that leaves a picture in the notebook, right before itself.

    A notebook does not keep what widgets show unless asked to, so it would open empty without a kernel.  The widget's
    CSS holds what `hidden_beside` gives, `still` returns the picture, or None as long as there is none.
    """

    def still(self) -> Any:
        """What stays, as a Pillow image."""
        raise NotImplementedError

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        picture = self.still()
        name = type(self).__name__
        if picture is not None:
            height = max(1, round(picture.height * WIDTH / picture.width))
            box = io.BytesIO()
            picture.convert("RGB").resize((WIDTH, height)).save(box, "JPEG", quality=80)
            data = {"image/jpeg": base64.b64encode(box.getvalue()).decode(), "text/plain": f"{name}, a picture of it"}
            display(data, metadata={"image/jpeg": {"width": WIDTH, "height": height}, **_MARK}, raw=True)
        found = self._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found, {})
        data["text/plain"] = f"{name}: run the cell to use it"
        display(data, metadata=metadata, raw=True)
