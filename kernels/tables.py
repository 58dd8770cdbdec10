"""Puts bytes through a table of 256, 64 at a time where the processor can.

A loop takes one byte after the other.  AVX-512's VBMI picks 64 from 128 bytes that stand in two registers with one
instruction (vpermi2b); two of them and the sample's upper bit make 256.  LLVM has no general name for it, so elsewhere
it stays a loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels import stamps  # noqa: F401  (bodies on disk follow this module)

_LANES = 64
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)
_BYTES = ir.VectorType(_BYTE, _LANES)


@intrinsic
def look_up(typing, table, source, i, out, j, count):
    """`out[j : j + count] = table[source[i : i + count]]` of flat uint8 arrays, the table's 256; nothing is checked."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        def data(n: int) -> ir.Value:
            return context.make_array(signature.args[n])(context, builder, args[n]).data

        table, source, out = data(0), builder.gep(data(1), [args[2]]), builder.gep(data(3), [args[4]])
        done = cgutils.alloca_once_value(builder, _LONG(0))
        if "+avx512vbmi" in context.codegen().magic_tuple()[2].split(","):
            _in_vectors(builder, table, source, out, args[5], done)
        with cgutils.for_range_slice(builder, builder.load(done), args[5], _LONG(1), intp=_LONG) as (at, _):
            sample = builder.zext(builder.load(builder.gep(source, [at])), _LONG)
            builder.store(builder.load(builder.gep(table, [sample])), builder.gep(out, [at]))
        return context.get_dummy_value()

    return types.void(table, source, types.intp, out, types.intp, types.intp), emit


def _in_vectors(builder: ir.IRBuilder, table: Any, source: Any, out: Any, count: Any, done: Any) -> None:
    """All whole vectors; says in `done` how many bytes that were."""

    def vector(start: ir.Value, at: ir.Value) -> ir.Value:
        return builder.bitcast(builder.gep(start, [at]), _BYTES.as_pointer())

    kind = ir.FunctionType(_BYTES, [_BYTES] * 3)
    pick = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.qi.512")
    quarters = [builder.load(vector(table, _LONG(n * _LANES)), align=1) for n in range(4)]
    whole = builder.udiv(count, _LONG(_LANES))
    with cgutils.for_range(builder, whole, intp=_LONG) as loop:
        at = builder.mul(loop.index, _LONG(_LANES))
        samples = builder.load(vector(source, at), align=1)
        low, high = (builder.call(pick, [quarters[n], samples, quarters[n + 1]]) for n in (0, 2))
        upper = builder.icmp_signed("<", samples, ir.Constant(_BYTES, None))
        builder.store(builder.select(upper, high, low), vector(out, at), align=1)
    builder.store(builder.mul(whole, _LONG(_LANES)), done)
