"""Vector arithmetic of `kernels.lanes` against NumPy, and the disk cache of compiled bodies against edited modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from kernels import lanes, stamps


@lanes.step(16, outputs=10)
def _narrow(a, b):
    return (
        lanes.low(a, b),
        lanes.high(a, b),
        lanes.apart(a, b),
        lanes.excess(a, b),
        lanes.sum_held(a, b),
        lanes.average_up(a, b),
        lanes.average_down(a, b),
        lanes.pick(a > b, a, ~b),
        lanes.by_halves(lambda x, y: (x * 3 - y) >> 1, a, b),
        lanes.woven(*((part(a) * 3 - part(b)) >> 2 for part in (lanes.even, lanes.odd))),
    )


@njit
def _run(a, b, out):
    o = out.reshape(-1)
    n, step = a.size, 16 // a.itemsize
    n2, n4, n6, n8 = 2 * n, 4 * n, 6 * n, 8 * n
    for i in range(0, n, step):
        j = n + i
        _narrow(o, i, j, n2 + i, n2 + j, n4 + i, n4 + j, n6 + i, n6 + j, n8 + i, n8 + j, a, i, b, i)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lanes_equal_numpy(dtype):
    """All pairs of 8-bit values; for 16 bit the same pairs spread over its range, ends included."""
    peak = int(np.iinfo(dtype).max)
    values = np.arange(256) * (peak // 255)
    a, b = (m.ravel() for m in np.meshgrid(values, values))
    out = np.zeros((10, a.size), dtype)
    _run(a.astype(dtype), b.astype(dtype), out)
    expected = (
        np.minimum(a, b),
        np.maximum(a, b),
        abs(a - b),
        np.maximum(a - b, 0),
        np.minimum(a + b, peak),
        (a + b + 1) // 2,
        (a + b) // 2,
        np.where(a > b, a, peak - b),
        np.clip((a * 3 - b) >> 1, 0, peak),
        ((a * 3 - b) >> 2) & peak,
    )
    for i, want in enumerate(expected):
        wrong = out[i] != want
        assert not wrong.any(), f"operation {i}: {out[i][wrong][:5]}, expected {want[wrong][:5]}"


def test_a_plain_processor_computes_the_same():
    """Compiled for a processor without AVX, where `packed` and all wide vectors go other ways."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-m", "pytest", __file__, "-k", "test_lanes_equal_numpy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-2000:]


def test_wrong_arguments_do_not_compile():
    @njit
    def too_few(a, out):
        _narrow(out, 0, a, 0)

    with pytest.raises(Exception, match="takes 12 rows; got 2"):
        too_few(np.zeros(16, np.uint8), np.zeros(16, np.uint8))


def test_a_compiled_body_follows_the_modules_it_was_made_from(tmp_path):
    """Without `stamps` the second run answers 1 from the disk cache."""
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(stamps.__file__, package / "stamps.py")
    (package / "body.py").write_text(
        "from numba import njit\nfrom kernels import stamps\nfrom kernels.part import part\n"
        "@njit(cache=True)\ndef body():\n    return part()\n"
    )
    for answer in (1, 2):
        (package / "part.py").write_text(f"from numba import njit\n@njit\ndef part():\n    return {answer}\n")
        # -B: Python's own cache goes by size and the second of the last change, which may be the same for both.
        program = "import kernels.body as b; print(b.body(), len(b.body.stats.cache_misses))"
        command = [sys.executable, "-B", "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == [str(answer), "1"], done.stderr
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert again.stdout.split() == ["2", "0"], "an unchanged package is compiled again"


def test_whatever_is_imported_the_stamps_are_the_same():
    """Else two processes that import different modules throw away each other's compiled bodies, again and again."""
    for path in stamps.PACKAGE.rglob("*.py"):
        if "cache=True" in path.read_text():
            known = {*stamps.sources(path), *stamps.sources(path.with_name("__init__.py"))}
            assert stamps.PACKAGE / "stamps.py" in known, path


def test_stamps_cover_what_a_module_imports():
    found = stamps.sources(stamps.PACKAGE / "deinterlace" / "bwdif.py")
    names = {path.relative_to(stamps.PACKAGE).as_posix() for path in found}
    assert {"deinterlace/bwdif.py", "deinterlace/threefields.py", "deinterlace/limit.py", "lanes.py"} <= names
    assert "deinterlace/yadif.py" not in names
