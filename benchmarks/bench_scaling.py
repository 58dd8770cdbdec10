"""What the second core adds: every kernel on the same frames with one thread on one core and with two on two.

    PYTHONPATH=. python benchmarks/bench_scaling.py [--only yadif nlmeans] [--seconds 0.25] [--quick] [--save]

Sixteen 8-bit frames of 720x480, all knobs at their defaults, results made anew each time.  Rounds of one and of two
threads go in turn, and the medians of a frame's time are compared.  The goal, 1.7 times, is for kernels that take more
than a millisecond for a frame on one core; below that a batch is over before a second thread is awake, or memory, which
both cores share, is the limit.  `spent` is the processor time of two threads over that of one: above 1 the threads
spend time on each other.  Needs a quiet machine: on a busy one the second core is somebody else's.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from typing import Any

from common import median, save, timed
from kernel_inputs import arrays_of, picture

FRAMES, GOAL, JUDGED_MS = 16, 1.7, 1.0
LEAST_ROUNDS = 3


def spend(work: Any, calls: int) -> tuple[float, float]:
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - began, time.process_time() - cpu


def one(kernel: Any, arrays: list[Any], seconds: float, cores: list[int]) -> dict[str, Any]:
    """Both times of a frame in milliseconds, and what follows from them."""
    import numba

    work = functools.partial(kernel, *arrays)
    calls = max(1, round(seconds / 2 / max(timed(work, 1), 1e-6)))
    spent: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(LEAST_ROUNDS):
        for threads in spent:
            os.sched_setaffinity(0, set(cores[:threads]))
            numba.set_num_threads(threads)
            work()  # wakes or ends threads
            spent[threads].append(spend(work, calls))
    os.sched_setaffinity(0, set(cores))
    wall, cpu = ({n: median([s[i] for s in rounds]) for n, rounds in spent.items()} for i in (0, 1))
    one_ms = 1000 * wall[1] / (calls * FRAMES)
    gain = wall[1] / wall[2]
    row = {
        "kernel": kernel.name, "one_ms": round(one_ms, 3), "two_ms": round(1000 * wall[2] / (calls * FRAMES), 3),
        "gain": round(gain, 2), "spent": round(cpu[2] / cpu[1], 2), "recursive": kernel.recursive,
        "judged": 1000 * cpu[1] / (calls * FRAMES) > JUDGED_MS,
    }  # fmt: skip
    return row | ({"met": gain >= GOAL} if row["judged"] else {})


def measure(only: list[str], seconds: float) -> dict[str, Any]:
    from kernels import all_kernels

    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("bench_scaling compares one core with two and was given one; nothing was measured")
    frames, rows = picture(FRAMES), []
    for name, kernel in all_kernels().items():
        if only and name not in only:
            continue
        rows.append(one(kernel, arrays_of(kernel, frames), seconds, cores[:2]))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    os.sched_setaffinity(0, set(cores))
    load = os.getloadavg()[0]
    return {"goal": GOAL, "judged_above_ms": JUDGED_MS, "frames": FRAMES, "load_after": load, "rows": rows}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", nargs="*", default=[], help="kernels")
    options.add_argument("--seconds", type=float, default=0.25, help="about how long a round of two threads takes")
    options.add_argument("--quick", action="store_true", help="rounds of one call: does it run?")
    options.add_argument("--save", action="store_true", help="write results/scaling.json")
    asked = options.parse_args()
    found = measure(asked.only, 0.0 if asked.quick else asked.seconds)
    missed = [r["kernel"] for r in found["rows"] if r.get("met") is False]
    print(f"below {GOAL} times: {', '.join(missed) or 'none'}")
    if asked.save and not (asked.quick or asked.only):
        print(save("scaling", found))


if __name__ == "__main__":
    main()
