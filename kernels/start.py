"""Numba's own start, without SciPy's linear algebra.

Before the first function of a process Numba loads what it knows of NumPy, and imports `scipy.linalg` only to learn that
a BLAS is there: half of the time of a first call, in every process of ours, and no picture kernel calls one.  Here that
question is answered by the presence of SciPy.  Whoever does linear algebra loses nothing: Numba asks again, in earnest,
whenever it compiles a call of it.  Where Numba is of another shape than expected, or awake already, nothing is done.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

ASKS, ASKED = "numba.np.arraymath", "numba.np.linalg"  # `ASKS` calls `ASKED.ensure_blas` once, while it is imported


def wake() -> None:
    """Imports Numba's array functions; `scipy.linalg` stays out unless it is there already."""
    if ASKS in sys.modules or "scipy.linalg" in sys.modules or importlib.util.find_spec("scipy") is None:
        return
    try:
        asked = importlib.import_module(ASKED)
    except ImportError:
        return
    in_earnest = getattr(asked, "ensure_blas", None)
    if in_earnest is None:
        return
    asked.ensure_blas = lambda: None
    try:
        asks = importlib.import_module(ASKS)
    except ImportError:  # Numba says so itself at the first call
        return
    finally:
        asked.ensure_blas = in_earnest
    if hasattr(asks, "ensure_blas"):
        asks.ensure_blas = in_earnest


wake()
