"""Numba's own start, without SciPy's linear algebra.

Before the first function of a process Numba loads what it knows of NumPy, and imports `scipy.linalg` only to learn that
a BLAS is there: 0.15 s of 0.3 s, in every process of ours, and no kernel calls one.  Here that question is answered by
the presence of SciPy.  Code of others that does linear algebra loses nothing: Numba asks again, in earnest, whenever it
compiles a call of it.  Where Numba has another shape than expected, or is awake already, nothing is done.
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
    asked = importlib.import_module(ASKED)
    in_earnest = getattr(asked, "ensure_blas", None)
    if in_earnest is None:
        return
    asked.ensure_blas = lambda: None
    try:
        asks = importlib.import_module(ASKS)
    finally:
        asked.ensure_blas = in_earnest
    if hasattr(asks, "ensure_blas"):
        asks.ensure_blas = in_earnest


wake()
