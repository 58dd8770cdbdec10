"""Compiles a kernel's `.cu` file with the C++ compiler against host.h and runs its launch plan on NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parent.parent / "kernels"


def text_of(source: Path) -> str:
    """The file and the headers of ours that it includes."""
    text = source.read_text()
    return text + "".join(text_of(KERNELS / name) for name in re.findall(r'#include "([^"]+)"', text))


@functools.cache
def build(source: Path, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The `.cu` file as a shared library with one `host_<name>` entry per `__global__` function."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        if os.environ.get("CI"):
            raise RuntimeError("CI has no C++ compiler, so the CUDA bodies would go untested")
        pytest.skip("no C++ compiler (g++): CUDA bodies cannot be run on the CPU here")
    names = re.findall(
        r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(', text_of(source)
    )
    folder = Path(tempfile.mkdtemp(prefix="cuda-host-"))
    entries = "\n".join(
        f'extern "C" int host_{n}(const unsigned* g, const unsigned* b, void** a, int c, const size_t* s) '
        f"{{ return host::launch({n}, g, b, a, c, s); }}"
        for n in names
    )
    wrapper, library = folder / "wrapper.cpp", folder / "kernel.so"
    wrapper.write_text(f'#include "host.h"\n#include "{source}"\n{entries}\n')
    flags = "-std=c++17 -O1 -ffp-contract=off -fPIC -shared -w".split()
    command = [compiler, *flags, f"-I{HERE}", f"-I{KERNELS}"]
    done = subprocess.run(
        [*command, *defines, str(wrapper), "-o", str(library)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    for path in (wrapper, library):
        path.unlink()
    folder.rmdir()
    return loaded


def run(body, launches, dtype) -> None:
    """Runs `launches` of a `CudaBody` on the CPU.  Arguments are NumPy arrays and NumPy scalars of the C types."""
    library = build(body.source, body.defines(dtype))
    for launch in launches:
        boxes, sizes = [], []
        for arg in launch.args:
            if isinstance(arg, np.ndarray):
                assert arg.flags.c_contiguous
                boxes.append(ctypes.c_void_p(arg.ctypes.data))
                sizes.append(ctypes.sizeof(ctypes.c_void_p))
            else:
                assert isinstance(arg, np.generic), (
                    f"{launch.function}: {arg!r} is not a NumPy scalar: its C type is unclear"
                )
                boxes.append(np.ctypeslib.as_ctypes(np.array(arg)))
                sizes.append(arg.nbytes)
        pointers = (ctypes.c_void_p * len(boxes))(*[ctypes.addressof(b) for b in boxes])
        triple = ctypes.c_uint * 3
        code = getattr(library, f"host_{launch.function}")(
            triple(*launch.grid), triple(*launch.block), pointers, len(boxes), (ctypes.c_size_t * len(boxes))(*sizes)
        )
        assert code == 0, f"{launch.function}: argument {code - 1 if code > 0 else 'count'} does not fit the signature"


def call(kernel, arrays, *, window=None, state=None, **knobs):
    """What `kernel(*arrays, ...)` would give on a GPU, computed by its CUDA body on the CPU."""

    class Host(type(kernel)):
        """The same kernel with the launch replaced; checks and output shapes stay those of the real call."""

        def _check(self, args, given, window, state):
            inputs, knobs, _ = super()._check(args, given, window, state)
            return inputs, knobs, "cuda"

    host = object.__new__(Host)
    host.__dict__.update(kernel.__dict__)

    class Body:
        plan = staticmethod(kernel.cuda_body.plan)
        run = staticmethod(lambda launches, dtype: run(kernel.cuda_body, launches, dtype))

    host.cuda_body = Body
    return host(*arrays, window=window, **({"state": state} if kernel.recursive else {}), **knobs)
