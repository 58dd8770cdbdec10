"""Instruments that find leaks and wasted work, and mend what can be mended safely.

slope(action, rounds=20)            what an action leaves behind each time it is done, with a confidence interval
plot({"name": slope}, "temporary")  its readings as a picture
"""

from __future__ import annotations

# Not lazy: the modules have the functions' names, and whichever is bound last would win.
from toolkit.profiling.plot import plot
from toolkit.profiling.slope import slope

__all__ = ["plot", "slope"]
