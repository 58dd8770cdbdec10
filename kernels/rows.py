"""Copies of lines for Numba bodies.

Numba's own `to[...] = source[...]` compiles, for every body, the words of the error that it would raise for shapes that
do not fit: two to three seconds of a first call, half of what a simple kernel takes.  Loops become the same copy.
"""

from __future__ import annotations

from numba import njit


@njit(nogil=True)
def copy_row(to, source):
    """`to[:] = source` for one line; nothing is checked."""
    for x in range(to.shape[0]):
        to[x] = source[x]


@njit(nogil=True)
def copy_rows(to, source):
    """`to[:] = source` for lines of one length; nothing is checked."""
    for y in range(to.shape[0]):
        copy_row(to[y], source[y])
