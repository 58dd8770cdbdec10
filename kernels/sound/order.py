"""The value that would stand at some place if values were sorted, without sorting them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True)
def in_order(values, place):
    """What would stand at `place` if the values, none negative, were sorted; counting vectorises and sorting does not.

    The bits of such floats are in their order, so the value is found bit by bit from the top.
    """
    bits = values.view(np.int32)
    found = np.zeros(1, np.int32)
    for b in range(30, -1, -1):
        attempt = np.int32(found[0] | (1 << b))
        below = np.int32(0)
        for v in bits:
            below += np.int32(v < attempt)
        if below <= place:
            found[0] = attempt
    return found.view(np.float32)[0]
