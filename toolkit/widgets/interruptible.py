"""Work that a widget does between two cells, where a notebook's kernel does not hear the stop button."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `KeyboardInterrupt` inside on Ctrl-C or the stop button, whatever was to become of it outside.

    An IPython kernel ignores the signal unless it handles a message.  Outside the main thread nothing changes.
    """
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)  # None: not set from Python
