"""BM3D against bm3dcpu, hand-written for AVX2, at equal settings and on the same frames.

    python3.13 -m venv older
    older/bin/pip install vapoursynth==77 vapoursynth-bm3dcpu numpy
    python benchmarks/bench_bm3d.py --older older/bin/python [--quick] [--save]

720x480 luma, real footage with seeded Gaussian noise (deviation 10).  Blocks of 8x8, groups of eight, search of 9
samples each way, on both sides; over time bm3dcpu searches 4 samples around its two best matches, ours 4 samples around
the block.  Each side has the best of four strengths by PSNR against the truth: they mean different things by them.  One
core: both pinned to it, one thread.  Ours is timed on arrays of bytes, bm3dcpu on float clips, what VapourSynth takes
to hand the frames over measured and subtracted.  Rounds go in turn, and medians are compared; `ratio_cpu` counts
processor seconds and so holds on a busy machine too.

Goal: at least 1.0 times bm3dcpu, PSNR at least within 0.05 dB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from denoise_quality import psnr, real_footage, with_noise

SIGMA, FRAMES = 10.0, 8
FASTER, BELOW = 1.0, 0.05  # times, dB
PATIENCE = 60.0  # seconds for one call of bm3dcpu
#: Name, step, radius, second step.
CASES = (("basic, step 8", 8, 0, False), ("basic, step 4", 4, 0, False), ("basic and final, step 8", 8, 0, True),
         ("basic, radius 1, step 8", 8, 1, False), ("basic and final, radius 1, step 8", 8, 1, True))  # fmt: skip


def ours(frames: np.ndarray, case: tuple, noise: float) -> np.ndarray:
    from kernels.denoise.bm3d import bm3d, bm3d_wiener

    _, step, radius, final = case
    knobs = {"noise": noise, "step": str(step), "search": 9, "radius": radius}
    basic = bm3d(frames, **knobs)
    return bm3d_wiener(frames, basic, **knobs) if final else basic


def timed(frames: np.ndarray, case: tuple, noise: float, loops: int) -> np.ndarray:
    """Wall and processor seconds a frame."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(loops):
        ours(frames, case, noise)
    return np.array([time.perf_counter() - began, time.process_time() - cpu]) / (loops * len(frames))


def theirs(python: str, case: tuple, sigmas: list[float], loops: int, data: bytes, threads: int) -> dict[str, Any]:
    _, step, radius, final = case
    wish = {"width": 720, "height": 480, "threads": threads, "loops": loops, "radius": radius, "final": final,
            "sigma": sigmas, "step": step}  # fmt: skip
    words = [python, str(Path(__file__).with_name("vs_bm3d.py")), json.dumps(wish)]
    done = subprocess.run(words, input=data, capture_output=True, timeout=PATIENCE)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise RuntimeError(said or f"bm3dcpu's process ended with {done.returncode} and said nothing")
    return json.loads(done.stderr.decode().strip().splitlines()[-1])


def measure(python: str, quick: bool) -> dict[str, Any]:
    truth = real_footage(FRAMES)
    rows, versions, left = [], {}, []
    for case in CASES:
        try:
            found, versions = compared(python, case, truth, with_noise(truth, SIGMA), quick)
        except (RuntimeError, subprocess.TimeoutExpired) as error:  # the plugin has been seen to die
            left.append({"case": case[0], "why": str(error)})
            print(left[-1], flush=True)
            continue
        rows += found
    return {"rows": rows, "left_out": left, "versions": versions, "sigma": SIGMA, "frames": FRAMES}


def compared(python: str, case: tuple, truth: np.ndarray, noisy: np.ndarray, quick: bool) -> tuple[list, dict]:
    """A row for one core and one for two, and the versions that bm3dcpu told."""
    import numba

    data, loops, repeats = noisy.tobytes() + truth.tobytes(), 1 if quick else 3, 1 if quick else 3
    whole, rows = os.sched_getaffinity(0), []
    tried = {s: psnr(truth, ours(noisy, case, s * SIGMA)) for s in (0.8, 0.9, 1.0, 1.1)}
    best = max(tried, key=tried.get)
    told = theirs(python, case, [s * SIGMA for s in (1.1, 1.3, 1.5, 1.7)], 1, data, len(whole))
    sigma = float(max(told["psnr"], key=told["psnr"].get))
    try:
        for count in (1,) if quick else (1, 2):
            os.sched_setaffinity(0, set(sorted(whole)[:count]))
            numba.set_num_threads(count)
            spent: dict[str, list[np.ndarray]] = {"ours": [], "theirs": []}
            for _ in range(repeats):
                spent["ours"].append(timed(noisy, case, best * SIGMA, loops))
                nothing, filtering = (run := theirs(python, case, [sigma], loops, data, count))["seconds"]
                spent["theirs"].append(np.subtract(filtering, nothing) / run["frames"])
            us, them = (np.median(spent[k], axis=0).tolist() for k in ("ours", "theirs"))
            mine, other = max(tried.values()), round(max(told["psnr"].values()), 2)
            rows.append({
                "case": case[0], "cores": count, "ours_fps": round(1 / us[0], 1), "bm3dcpu_fps": round(1 / them[0], 1),
                "ratio": round(them[0] / us[0], 2), "ratio_cpu": round(them[1] / us[1], 2),
                "ours_psnr": mine, "bm3dcpu_psnr": other,
                "faster": "met" if them[0] >= FASTER * us[0] else "MISSED",
                "as_good": "met" if mine >= other - BELOW else "MISSED",
                "ours_noise": best * SIGMA, "bm3dcpu_sigma": sigma,
            })  # fmt: skip
            print(rows[-1], flush=True)
    finally:
        os.sched_setaffinity(0, whole)
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    return rows, told["versions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--older", required=True, help="a Python that has VapourSynth 77 and bm3dcpu")
    parser.add_argument("--quick", action="store_true", help="one round on one core: does it run?")
    parser.add_argument("--save", action="store_true", help="write results/bm3d.json")
    chosen = parser.parse_args()
    found = measure(chosen.older, chosen.quick)
    if chosen.save and not chosen.quick:
        print(save("bm3d", found))


if __name__ == "__main__":
    main()
