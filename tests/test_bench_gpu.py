"""What can be held of the GPU benchmark without a GPU: every kernel has its inputs, and it says why it stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernels import all_kernels

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import bench_gpu

    return bench_gpu


@pytest.mark.parametrize("name", all_kernels())
def test_every_kernel_takes_the_arrays_made_for_it(bench, name):
    kernel = all_kernels()[name]
    results = bench.flat(kernel(*bench.arrays_of(kernel, bench.picture(9, 192, 192))))
    assert all(np.isfinite(r).any() for r in results)


def test_goals_are_set_for_kernels_that_exist(bench):
    assert set(bench.BY_MEMORY) | set(bench.INSTRUCTIONS) <= set(all_kernels())


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path):
    if __import__("cupy").is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_gpu.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1 and "nothing was measured" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
