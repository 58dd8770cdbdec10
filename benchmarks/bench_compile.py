"""What the first call of every kernel costs: compiled anew, and from Numba's cache on disk.

    PYTHONPATH=. python benchmarks/bench_compile.py [--only yadif nlmeans] [--at-once 2] [--quick] [--save]

Each kernel has a copy of `kernels/` to itself with nothing compiled in it, and two fresh processes after each other:
the first compiles, the second finds what the first left on disk.  Counted is the first call on three 8-bit frames of
256x192 with all knobs at their defaults, checks and arithmetic included (the second call says how much that is);
imports are apart.  Arrays that other kernels make are made here and handed over, so only one kernel is ever compiled.

Compiling takes one thread, so the goals are held against processor time, which is the clock's time on an idle machine
and, unlike it, can be measured on a busy one; `--at-once` kernels are worked on side by side.
Goals: 10 s cold, 0.3 s from the disk.  What Numba itself takes to wake up is measured on a function that does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from kernel_inputs import arrays_of, picture

FRAMES, WIDTH, HEIGHT = 3, 256, 192
GOALS = {"cold": 10.0, "cached": 0.3}  # seconds
QUICK = ("levels", "psnr")

#: Run with the copy of `kernels/` in front of everything else.  Prints seconds: [processor, clock] of each part.
FIRST_CALL = r"""
import importlib, json, sys, time
import numpy as np

def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return made, [time.process_time() - cpu, time.perf_counter() - wall]

copy, module, name, arrays = sys.argv[1:]
arrays = np.load(arrays)
arrays = [arrays[key] for key in sorted(arrays.files)]
found, imports = timed(lambda: getattr(importlib.import_module(module), name))
assert sys.modules[module].__file__.startswith(copy), sys.modules[module].__file__
_, first = timed(lambda: found(*arrays))
_, second = timed(lambda: found(*arrays))
print(json.dumps({"imports": imports, "first": first, "second": second}))
"""


def fresh(copy: Path, module: str, name: str, arrays: Path) -> dict[str, list[float]]:
    """The times of a process that has called nothing yet."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(copy)}
    words = [sys.executable, "-c", FIRST_CALL, str(copy), module, name, str(arrays)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=environment, cwd=copy)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


#: Numba's own share: what it loads before the first function of a process, whichever that is.
NOTHING = """
from numba import njit

@njit(cache=True, nogil=True)
def nothing(a):
    return a.shape[0]
"""


def numbas_share() -> dict[str, list[float]]:
    """The first call of a function that does nothing, from the disk cache."""
    with tempfile.TemporaryDirectory(prefix="first-call-") as folder:
        copy, file = Path(folder), Path(folder) / "arrays.npz"
        (copy / "does_nothing.py").write_text(NOTHING)
        np.savez(file, a=np.zeros(3, np.uint8))
        return [fresh(copy, "does_nothing", "nothing", file) for _ in range(2)][1]


def one(name: str, module: str, arrays: list[np.ndarray]) -> dict[str, Any]:
    import kernels

    with tempfile.TemporaryDirectory(prefix="first-call-") as folder:
        copy, file = Path(folder), Path(folder) / "arrays.npz"
        shutil.copytree(Path(kernels.__file__).parent, copy / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
        np.savez(file, **{f"{n:02}": a for n, a in enumerate(arrays)})
        cold, cached = (fresh(copy, module, name, file) for _ in range(2))
        files = [p.stat().st_size for p in copy.rglob("*.nbc")]
    row = {
        "kernel": name, "imports": cached["imports"], "cold": cold["first"], "cached": cached["first"],
        "second_call": cached["second"], "compiled_functions": len(files), "bytes_on_disk": sum(files),
    }  # fmt: skip
    row |= {f"{key}_met": row[key][0] < goal for key, goal in GOALS.items()}
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def measure(only: list[str], at_once: int) -> dict[str, Any]:
    from kernels import all_kernels

    frames = picture(FRAMES, HEIGHT, WIDTH)
    chosen = {n: k for n, k in all_kernels().items() if not only or n in only}
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(one, n, k.__module__, arrays_of(k, frames)) for n, k in chosen.items()]
        empty = pool.submit(numbas_share)
        rows = [job.result() for job in jobs]
    facts = {"size": f"{WIDTH}x{HEIGHT}", "frames": FRAMES, "at_once": at_once, "nothing": empty.result()["first"]}
    return {"goals": GOALS, **facts, "rows": rows}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", nargs="*", default=[], help="kernels")
    options.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="kernels side by side")
    options.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}: does it run?")
    options.add_argument("--save", action="store_true", help="write results/compile.json")
    asked = options.parse_args()
    found = measure(list(QUICK) if asked.quick else asked.only, asked.at_once)
    for row in sorted(found["rows"], key=lambda r: -r["cold"][0]):
        words = [f"{row[k][0]:7.3f}" for k in ("imports", "cold", "cached", "second_call")]
        print(f"{row['kernel']:18}", *words, row["compiled_functions"], row["bytes_on_disk"])
    print(f"a function that does nothing, from the cache: {found['nothing'][0]:.3f}")
    if asked.save and not (asked.quick or asked.only):
        print(save("compile", found))


if __name__ == "__main__":
    main()
