"""What benchmarks stand on: every kernel has its inputs and is compiled once; without a GPU it is said why it stops."""

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


LISTENING = """
import sys
sys.path.insert(0, sys.argv[1])
from numba.core import event

class Listener(event.Listener):
    def on_start(self, ev):
        function = ev.data["dispatcher"].py_func
        print(f"{function.__module__}.{function.__qualname__}")

    def on_end(self, ev):
        pass

event.register("numba:compile", Listener())
"""
EVERY_KERNEL_ONCE = """
from kernel_inputs import arrays_of, picture
from kernels import all_kernels

frames = picture(3, 192, 192)
for kernel in all_kernels().values():
    kernel(*arrays_of(kernel, frames))
"""


PSNR_ALONE = """
import numpy as np
from kernels.measure.psnr import psnr

frames = np.zeros((3, 192, 192), np.uint8)
psnr(frames, frames)
"""


def compiled(program: str = EVERY_KERNEL_ONCE) -> list[str]:
    """The functions that a fresh process compiles to run every kernel once; the others are on disk."""
    command = [sys.executable, "-c", LISTENING + program, str(ROOT / "benchmarks")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_was_compiled_once_is_never_compiled_again():
    """A body without `cache=True`, or one that Numba cannot keep, would cost its seconds in every process."""
    again = compiled() and compiled()
    assert not again, again
    alone = compiled(PSNR_ALONE)
    assert not alone, "the same kernel is compiled anew where nothing else was imported"


def rows_of(verdicts: str) -> dict[str, str]:
    """The goal's cell of each row of a rendered table."""
    lines = [line.strip("| ").split(" | ") for line in verdicts.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[6] for cells in lines if len(cells) == 8 and cells[0] not in ("kernel", "---")}


def test_a_goal_is_met_only_on_one_core_and_on_two_and_at_equal_quality(bench):
    """Speeds of the clock decide, not processor time; a faster denoiser that leaves more noise has not won."""
    from render import table
    from render_kernels import section

    def rival(name, *ratios, ours=34.0):
        shared = {"kernel": name, "rival": "theirs", "ours_fps": 10, "rival_fps": 9.0, "ratio_cpu": 2.0, "goal": 1.0,
                  "ours_psnr": ours, "rival_psnr": 34.05}  # fmt: skip
        return [{**shared, "cores": n + 1, "ratio": r} for n, r in enumerate(ratios)]

    rows = [*rival("won", 1.2, 1.0), *rival("one core", 1.2, 0.9), *rival("noisier", 1.2, 1.2, ours=33.0)]
    yadif = {"kernel": "yadif", "rival": "yadif", "rate": "field", "ours_fps": 9, "rival_fps": 5, "ratio_cpu": 2}
    alone = {"case": "dehalo, luma", "rival": None, "rival_fps": None, "ours_fps": 7, "ratio": None, "ratio_cpu": None}
    families = {
        "deinterlace": {"rows": [{**yadif, "cores": n, "ratio": 1.4, "results": "equal"} for n in (1, 2)]},
        "repair": {"rows": [{**alone, "cores": n, "agreement": "none has it"} for n in (1, 2)]},
    }
    measured = {
        "kernels": {"measured": {"ffmpeg": "9", "families": families}},
        "kernels_denoise_rivals": {"measured": {"rows": rows, "versions": {}, "left_out": []}},
    }
    text = section(measured, table, lambda result: "here\n")
    assert rows_of(text) == {
        "won": "1: met", "one core": "1: **MISSED**", "noisier": "1: **MISSED**",
        "yadif, field rate": "1.5: **MISSED**", "dehalo, luma": "",
    }  # fmt: skip
    assert "1 of 4 goals are met" in text and "dehalo, luma | nobody | 7.0 |  | 7.0 |  |  | none has it" in text
