"""One picture that changes by the thousand."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """A picture on a canvas: `value` is a file (JPEG, PNG) as bytes; `label` says to those who cannot see what it is.

    Unlike `ipywidgets.Image` the page lets go of each picture as soon as the next one is drawn.
    """

    _esm = HERE / "picture.js"
    _css = ".vhs-picture { display: block; max-width: 100%; }"
    value = traitlets.Bytes().tag(sync=True)
    label = traitlets.Unicode("picture").tag(sync=True)
