"""Compiles `.cu` files to PTX with NVRTC, which needs no GPU."""

from __future__ import annotations

from pathlib import Path

from cupy_backends.cuda.libs import nvrtc

HERE = Path(__file__).parent


def ptx(body, dtype: str) -> str:
    """PTX of a `CudaBody` for `dtype`; an AssertionError with the compiler's own message when it does not compile."""
    program = nvrtc.createProgram(body.source.read_text(), body.source.name, [], [])
    options = ("--std=c++17", "--gpu-architecture=compute_80", f"-I{HERE.parent / 'kernels'}", *body.defines(dtype))
    try:
        nvrtc.compileProgram(program, options)
    except Exception as error:
        raise AssertionError(f"{body.source.name} ({dtype}): {nvrtc.getProgramLog(program)}") from error
    ptx = nvrtc.getPTX(program)
    return ptx.decode() if isinstance(ptx, bytes) else ptx
