"""Numba's start without SciPy's linear algebra: it is gone from the first call, and still there for who needs it."""

from __future__ import annotations

import subprocess
import sys

from numba.np import arraymath, linalg

from kernels import start

_FIRST_CALL = """
import sys
import numpy as np
from kernels.repair.levels import levels
levels(np.zeros((1, 8, 8), np.uint8))
print("scipy.linalg" in sys.modules)

from numba import njit
from numba.np import arraymath

@njit
def product(a, b):
    return np.dot(a, b), np.linalg.solve(a, b)

a, b = np.array([[4.0, 1.0], [2.0, 3.0]]), np.array([1.0, 2.0])
print(all(np.allclose(*pair) for pair in zip(product(a, b), (np.dot(a, b), np.linalg.solve(a, b)))))
print(arraymath._HAVE_BLAS, "scipy.linalg" in sys.modules)
"""


def test_a_first_call_leaves_scipys_linear_algebra_out_until_it_is_needed():
    """The second and third line: other people's code in this process multiplies and solves as it would without us."""
    done = subprocess.run([sys.executable, "-c", _FIRST_CALL], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["False", "True", "True", "True"], done.stdout + done.stderr[-2000:]


def test_numbas_own_check_is_back_in_its_place():
    assert linalg.ensure_blas is arraymath.ensure_blas
    assert linalg.ensure_blas.__module__ == linalg.__name__


def test_an_unknown_numba_is_left_alone(monkeypatch):
    """Without the function that asks, or without SciPy, nothing is imported and nothing is replaced."""
    for name in (start.ASKS, "scipy.linalg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with monkeypatch.context() as other:
        other.delattr(linalg, "ensure_blas")
        start.wake()
        assert start.ASKS not in sys.modules
        assert not hasattr(linalg, "ensure_blas")
    with monkeypatch.context() as other:
        other.setattr(start.importlib.util, "find_spec", lambda name: None)
        start.wake()
        assert start.ASKS not in sys.modules


def test_a_numba_without_these_modules_is_left_alone(monkeypatch):
    for name in (start.ASKS, "scipy.linalg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = linalg.ensure_blas
    for missing in ("ASKS", "ASKED"):
        with monkeypatch.context() as other:
            other.setattr(start, missing, "numba.np.no_such_module")
            start.wake()
        assert linalg.ensure_blas is before
