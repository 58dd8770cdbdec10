"""Thumbnails in a dictionary.  Fault: it only grows."""

from __future__ import annotations

from pathlib import Path

from toolkit.media.preview import Preview
from toolkit.media.thumbnails import jpeg


class Thumbnails:
    def __init__(self) -> None:
        self._pictures: dict[tuple[str, float, int], bytes] = {}

    def get(self, path: Path | str, seconds: float = 0.0, width: int = 160) -> bytes:
        key = (str(path), seconds, width)
        if key not in self._pictures:
            with Preview(path) as preview:
                height = round(width / preview.clip.format.dar / 2) * 2
                self._pictures[key] = jpeg(preview.at(seconds), size=(height, width))
        return self._pictures[key]
