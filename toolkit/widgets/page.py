"""The widgets' pages: each is one JavaScript module and one style sheet, joined of files that several of them share.

page.js   elements, pictures from bytes, the line of words
kernel.js asking the kernel, and noticing that none answers
pulse.js  a line that speaks for widgets without code of their own in the page; page.css, what hides and what greys
sideways.js   tables that are wider than the page
zoom.js   the window through which a picture is seen
play.js, strip.js   a burst that plays, a row of thumbnails
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def joined(*names: str) -> str:
    """The text of files in this folder, one after the other."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)
