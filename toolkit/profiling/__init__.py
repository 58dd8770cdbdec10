"""Instruments that find leaks and wasted work, and mend what can be mended safely.

slope(action, rounds=20)    what an action leaves behind each time it is done, with a confidence interval
"""

from __future__ import annotations

# Not lazy: the module has the function's name, and whichever is bound last would win.
from toolkit.profiling.slope import slope

__all__ = ["slope"]
