"""Scratch on the stack, which LLVM knows to be nobody else's memory.

A loop that looks values up in a table and stores into an array is not vectorised: the store might change the table,
and the reach of a look-up cannot be tested beforehand.  Looked up into such a row first, the loop becomes gathers.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic(prefer_literal=True)
def stack_array(typingctx, length):
    """An uninitialised int32 array of `length` (a constant) elements that lives until the calling function returns."""
    if not isinstance(length, types.IntegerLiteral):
        raise TypingError("an array on the stack needs a constant length")
    kind = types.Array(types.int32, 1, "C")

    def codegen(context, builder, sig, args):
        element = context.get_data_type(types.int32)
        block = cgutils.alloca_once(builder, ir.ArrayType(element, length.literal_value))
        array = make_array(kind)(context, builder)
        populate_array(
            array,
            data=builder.bitcast(block, element.as_pointer()),
            shape=[context.get_constant(types.intp, length.literal_value)],
            strides=[context.get_constant(types.intp, 4)],
            itemsize=context.get_constant(types.intp, 4),
            meminfo=None,
        )
        return array._getvalue()

    return signature(kind, length), codegen
