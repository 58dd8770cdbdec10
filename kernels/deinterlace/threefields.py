"""The three-field interpolation of the BBC: one formula, used by w3fdif whole and by bwdif in part.

"Weston 3 Field Deinterlacing Filter", BBC R&D, after Jim Weston's patent.  A missing sample is the low vertical
frequencies of its own field plus the high ones of the fields before and after:

    own field      -852  17236   17236  -852         lines -3 -1 +1 +3          over 32768
    both others    1016  -3801    5570  -3801  1016  lines -4 -2  0 +2 +4       over 32768, each

`own` alone, for where nothing else is to be trusted, weighs -981, 5077, 5077, -981 over 8192.

In 8 bit the lanes need no more than 16 bits for exactly the same result, because a floor of a floor is one floor:
with A, B the sums of the lines at 1 and 3, P, Q, R those of both other fields at 0, 2 and 4, and

    D = A - B,  U = 2P - Q,  V = 2P - R
    own            floor((5077 A - 981 B) / 2^13) = (A + floor(15696 D / 2^16)) >> 1, the inner floor one `mulhi`
    three fields   floor((16384 A + 852 D + 3801 U - 1016 V) / 2^15)
                 = (A + ((X + (Y >> 6)) >> 6)) >> 1,  X = 3 D + 15 U - 4 V,  Y = 21 D - 10 U + 2 V + (U >> 2)

where |X + (Y >> 6)| < 17200 and |Y| < 21200.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from kernels.deinterlace.around import half
from kernels.lanes import Lanes

#: Weights over 2^15, of lines 1 and 3 of the own field and of lines 0, 2, 4 of the two others.
OWN_PART = (17236, -852)
OTHER_PART = (5570, -3801, 1016)
#: The same without the highest frequencies: the filter called "simple".
OWN_PART_SIMPLE = (16384, 0)
OTHER_PART_SIMPLE = (4096, -2048, 0)
#: Weights over 2^13 of lines 1 and 3 when the own field stands alone.
OWN_ALONE = (5077, -981)


def over(total: Any, shift: int) -> Any:
    """total / 2^shift: rounded down for integers, exact for float."""
    return total * np.float32(2.0**-shift) if total.dtype.kind == "f" else total >> shift


@overload(over)
def _over(total, shift):
    if isinstance(total, types.Float):
        return lambda total, shift: total * np.float32(2.0 ** (-shift))
    return lambda total, shift: np.int32(total >> shift)


# On lanes, for one half of the samples of the rows: `near`, `far` are the sums of lines 1 and 3 of the own field,
# `here`, `two`, `four` those of lines 0, 2, 4 of both others.  What comes back is added to `near` before halving.


def own_detail(near: Lanes, far: Lanes) -> Lanes:
    d = near - far
    return d.times_high(981 << 4) if d.bits == 16 else (d * 981) >> 12


def simple_detail(here: Lanes, two: Lanes) -> Lanes:
    return ((here << 1) - two) >> 3


def complex_detail(near: Lanes, far: Lanes, here: Lanes, two: Lanes, four: Lanes) -> Lanes:
    d, u, v = near - far, (here << 1) - two, (here << 1) - four
    if d.bits > 16:
        return (d * 852 + u * 3801 - v * 1016) >> 14
    x = d * 3 + u * 15 - (v << 2)
    y = d * 21 - u * 10 + (v << 1) + (u >> 2)
    return (x + (y >> 6)) >> 6


# On single samples: the same sums, int32 or float32.


@njit(cache=True, nogil=True)
def own_sample(near, far):
    return half(near + over((near - far) * 981, 12))


@njit(cache=True, nogil=True)
def simple_sample(near, here, two):
    return half(near + over(here * 2 - two, 3))


@njit(cache=True, nogil=True)
def complex_sample(near, far, here, two, four):
    return half(near + over((near - far) * 852 + (here * 2 - two) * 3801 - (here * 2 - four) * 1016, 14))
