"""What a run has to say beside its result."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from toolkit.errors import ToolkitWarning

MOST = 20  # alike but for their numbers; a bad tape has a hole in its sound every second


@contextlib.contextmanager
def warnings_noted(notes: list[str], most: int = MOST) -> Iterator[None]:
    """Adds what is warned of (`ToolkitWarning`) to `notes`; of those alike `most` and how many more there were.

    Other warnings are left out.
    """
    kinds: Counter[str] = Counter()

    def take(message: Any, category: type[Warning], *_: Any) -> None:
        if issubclass(category, ToolkitWarning):
            text = str(message)
            kind = re.sub(r"-?\d+(\.\d+)?", "...", text)
            kinds[kind] += 1
            if kinds[kind] <= most:
                notes.append(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ToolkitWarning)
        warnings.showwarning = take
        yield
    notes += [f"{count - most} more times: {kind}" for kind, count in kinds.items() if count > most]
