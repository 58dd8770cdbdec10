"""Hands out tasks to threads as they come.

`prange` cuts its range into equal shares before it begins.  Where the whole work takes less than a millisecond, that
waits for the thread that woke last (70 us after the first) or was taken off its core: here whoever is free takes the
next task.

    for _ in prange(numba.get_num_threads()):
        task = next_task(taken)                 # `taken` is np.zeros(1, np.int64) for each call
        while task < count:
            ...
            task = next_task(taken)
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels import stamps  # noqa: F401  (bodies on disk follow this module)


@intrinsic
def next_task(typing, taken):
    """Counts `taken[0]`, an int64, up by one for all threads and gives what it was before."""

    def emit(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(taken), emit
