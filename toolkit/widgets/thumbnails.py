"""Thumbnails for widgets: the process's one bounded cache, and rows of them along a tape."""

from __future__ import annotations

from toolkit.media.thumbnails import Thumbnails, shared, thumbnail

__all__ = ["Thumbnails", "along", "shared", "thumbnail"]


def along(start: float, length: float, count: int) -> list[tuple[int, float]]:
    """Place and time of `count` thumbnails, each in the middle of its share of `length` seconds from `start` on.

    In the order in which to draw them: every eighth first, so that a row is soon filled evenly.
    """
    order = sorted(range(count), key=lambda i: next(n for n, step in enumerate((8, 4, 2, 1)) if i % step == 0))
    return [(i, start + length * (i + 0.5) / count) for i in order]
