"""Numbers of one column with the same number of decimals, so that their points stand below each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

DIGITS = 4  # of the largest number
FEWEST = 2  # of the smallest, so that settings like 0.001 beside 100 can be told apart
NOISE = 1e-6  # of the largest: what is smaller may be shown as 0
EXACT = 1e-9  # of the largest: what sums of binary fractions are off by


def decimals(values: Iterable[Any]) -> int:
    """How many decimals a column of these values is shown with; what is no finite number does not count.

    Zeros that end every number of the column are left out: 4.0 and 40.0 need no decimals, 33.0 beside 34.97 two.
    """
    sizes = [abs(v) for v in values if _number(v) and v]
    if not sizes:
        return 0
    largest = max(sizes)
    smallest = min(s for s in sizes if s >= NOISE * largest)
    places = max(0, DIGITS - 1 - _power(largest), FEWEST - 1 - _power(smallest))
    while places and all(abs(round(s, places - 1) - s) <= EXACT * largest for s in sizes):
        places -= 1
    return places


def shown(value: Any, places: int) -> str:
    """A cell's text; nothing for None."""
    if value is None:
        return ""
    return f"{value:z.{places}f}" if _number(value) else str(value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _power(size: float) -> int:
    return int(f"{size:e}".partition("e")[2])  # not by log10, which is off by one beside a power of ten
