"""Denoising kernels beside VapourSynth's plugins and OpenCV: frames per second and quality at equal windows.

    python benchmarks/kernels_denoise_rivals.py [--vapoursynth PYTHON] [--repeats 3] [--only median] [--quick] [--save]

720x480, luma alone, 8 bit, real footage with seeded Gaussian noise (deviation 10), 16 frames held in memory by every
side and worked on over and over.  VapourSynth runs in another Python (`--vapoursynth`, one that has the plugins; its
rows are left out without) and counts its own seconds, without start-up and less what handing out the frames takes;
OpenCV runs here.  Equal threads, both pinned to the same cores; rounds go in turn and medians are compared;
`ratio_cpu` counts processor seconds and so holds on a busy machine too.  Where strengths mean different things each
side has the best of a few, the first is timed; PSNR is against the clip without noise.

The motion mean is search and mean on the noisy frames themselves, both sides at half samples, blocks of 16 every 8.
Goals: motion mean 1.0 times mvutensils, dft_threshold 1.0 times dfttest2, nlmeans 1.2 times nlm-ispc, medians 1.0 times
zsmooth's; all at no less PSNR than theirs less 0.1 dB.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import kernel_named, median, save
from kernels_deinterlace import HEIGHT, WIDTH
from kernels_denoise import HELD, SIGMA, make_clips, psnr, spend

WORSE = 0.1  # dB


@dataclass(frozen=True)
class Pair:
    """One comparison: `ours` a kernel of ours (or "motion") and settings, `method` the rival's and settings."""

    name: str
    rival: str
    ours: str
    knobs: tuple[dict[str, Any], ...]
    method: str
    settings: tuple[dict[str, Any], ...]
    loops: int
    goal: float


def motion(radius: int, loops: int) -> Pair:
    limits = tuple({"radius": radius, "limit": e} for e in (60.0, 25.0, 40.0, 90.0, 255.0))
    thresholds = tuple({"radius": radius, "block": 16, "thsad": t} for t in (5000, 1200, 2400, 3600, 8000, 16000))
    return Pair(f"motion mean radius {radius}", "mvutensils", "motion", limits, "degrain", thresholds, loops, 1.0)


def dft(radius: int, loops: int) -> Pair:
    mine = tuple({"noise": float(SIGMA), "threshold": t, "radius": radius} for t in (2.5, 2.2, 2.8))
    others = tuple({"sigma": s, "tbsize": 2 * radius + 1} for s in (300.0, 150.0, 500.0, 800.0))
    return Pair(f"dft_threshold radius {radius}", "dfttest2", "dft_threshold", mine, "dfttest2", others, loops, 1.0)


def patches(patch: int, search: int, loops: int, rival: str) -> Pair:
    mine = tuple({"patch": patch, "search": search, "noise": SIGMA, "strength": h * SIGMA} for h in (0.8, 0.6, 1.0))
    if rival == "nlm-ispc":
        others = tuple({"d": 0, "a": search, "s": patch, "h": h} for h in (6.0, 4.5, 8.0))
    else:
        others = tuple({"h": h, "templateWindowSize": 2 * patch + 1, "searchWindowSize": 2 * search + 1}
                       for h in (10, 8, 12))  # fmt: skip
    sides = 2 * patch + 1, 2 * search + 1
    name = "nlmeans {0}x{0} in {1}x{1}".format(*sides)
    method, goal = ("nlm_ispc", 1.2) if rival == "nlm-ispc" else ("fastNlMeans", 1.0)
    return Pair(name, rival, "nlmeans", mine, method, others, loops, goal)


PAIRS = (
    motion(1, 4), motion(2, 3), motion(4, 1), dft(0, 3), dft(1, 2), patches(3, 7, 1, "nlm-ispc"),
    patches(2, 4, 2, "nlm-ispc"), patches(3, 7, 1, "OpenCV"),
    Pair("median 3x3", "zsmooth", "median", ({},), "median", ({"radius": 1},), 128, 1.0),
    Pair("median 3x3", "OpenCV", "median", ({},), "medianBlur", ({},), 128, 1.0),
    Pair("temporal median radius 1", "zsmooth", "temporal_median", ({"radius": 1},), "temporal_median",
         ({"radius": 1},), 128, 1.0),
)  # fmt: skip


def run_ours(pair: Pair, frames: np.ndarray, knobs: dict[str, Any]) -> np.ndarray:
    if pair.ours == "motion":
        vectors = kernel_named("find_motion")(frames, radius=knobs["radius"], block="16")
        return kernel_named("motion_mean")(frames, vectors, block="16", **knobs)
    return kernel_named(pair.ours)(frames, **knobs)


def opencv(method: str, frames: np.ndarray, knobs: dict[str, Any], threads: int) -> np.ndarray:
    import cv2

    cv2.setNumThreads(threads)
    if method == "medianBlur":
        return np.stack([cv2.medianBlur(f, 3) for f in frames])
    return np.stack([cv2.fastNlMeansDenoising(f, None, **knobs) for f in frames])


class VapourSynth:
    """Runs `vs_speed.py`; remembers the versions that it told."""

    def __init__(self, python: str, frames: Path) -> None:
        self.python, self.frames, self.versions = python, frames, {}

    def __call__(self, pair: Pair, knobs: dict[str, Any], loops: int, threads: int, keep: bool = False) -> Any:
        wish = {"file": str(self.frames), "width": WIDTH, "height": HEIGHT, "loops": loops, "threads": threads,
                "keep": keep, "method": pair.method, "knobs": knobs}  # fmt: skip
        words = [self.python, str(Path(__file__).with_name("vs_speed.py")), json.dumps(wish)]
        done = subprocess.run(words, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
        told = json.loads(done.stderr.decode().strip().splitlines()[-1])
        self.versions = told["versions"]
        if keep:
            return np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH)
        return tuple(max(a - b, 1e-9) for a, b in zip(told["filter"], told["nothing"], strict=True))


def compared(
    pair: Pair, clean: np.ndarray, noisy: np.ndarray, vs: VapourSynth, repeats: int, quick: bool
) -> list[dict[str, Any]]:
    """A row for one core and one for two."""
    import numba

    outside = pair.rival != "OpenCV"
    mine = max(psnr(clean, run_ours(pair, noisy, k)) for k in pair.knobs)
    if outside:
        others = [vs(pair, k, 1, 1, keep=True) for k in pair.settings]
    else:
        others = [opencv(pair.method, noisy, k, 2) for k in pair.settings]
    best = [psnr(clean, o) for o in others]
    whole, loops, rows = os.sched_getaffinity(0), 1 if quick else pair.loops, []
    same = {}
    if pair.ours in ("median", "temporal_median"):  # edges are each side's own affair
        inner = (slice(1, -1), slice(4, -4), slice(4, -4))
        off = np.abs(run_ours(pair, noisy, pair.knobs[0])[inner].astype(int) - others[0][inner])
        same = {"levels_apart": int(off.max())}
    for count in (1, 2):
        if count > len(whole):
            continue
        os.sched_setaffinity(0, set(sorted(whole)[:count]))
        numba.set_num_threads(count)
        us, them = [], []
        for _ in range(repeats):
            us.append(spend(functools.partial(many, run_ours, loops, pair, noisy, pair.knobs[0])))
            if outside:
                them.append(vs(pair, pair.settings[0], loops, count))
            else:
                them.append(spend(functools.partial(many, opencv, loops, pair.method, noisy, pair.settings[0], count)))
        frames = loops * HELD
        wall, cpu = ([median([s[i] for s in side]) for side in (us, them)] for i in (0, 1))
        ratio = wall[1] / wall[0]
        kept = mine >= max(best) - WORSE
        rows.append({
            "kernel": pair.name, "rival": pair.rival, "cores": count, "ours_fps": round(frames / wall[0], 1),
            "rival_fps": round(frames / wall[1], 1), "ratio": round(ratio, 2), "ratio_cpu": round(cpu[1] / cpu[0], 2),
            "goal": pair.goal, "met": "met" if ratio >= pair.goal and kept else "MISSED", "ours_psnr": mine,
            "rival_psnr": max(best), "rival_setting": str(pair.settings[int(np.argmax(best))]), **same,
        })  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    os.sched_setaffinity(0, whole)
    return rows


def many(work: Any, loops: int, *args: Any) -> None:
    for _ in range(loops):
        work(*args)


def measure(python: str | None, repeats: int, only: list[str], quick: bool) -> dict[str, Any]:
    rows, left = [], []
    with tempfile.TemporaryDirectory() as name:
        clean, noisy = (side[0] for side in make_clips(Path(name)))
        vs = VapourSynth(python or "", Path(name) / "noisy.gray")
        for pair in PAIRS:
            if only and not any(o in (pair.ours, pair.rival) for o in only):
                continue
            if pair.rival != "OpenCV" and python is None:
                left.append({"kernel": pair.name, "rival": pair.rival, "why": "no --vapoursynth was given"})
                continue
            try:
                rows += compared(pair, clean, noisy, vs, repeats, quick)
            except (ImportError, RuntimeError) as error:
                left.append({"kernel": pair.name, "rival": pair.rival, "why": str(error)})
                print(left[-1], file=sys.stderr, flush=True)
    return {"sigma": SIGMA, "frames": HELD, "versions": vs.versions, "rows": rows, "left_out": left}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vapoursynth", help="a Python that has VapourSynth and the plugins")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="kernels of ours or rivals")
    parser.add_argument("--quick", action="store_true", help="one short round of each: does it run?")
    parser.add_argument("--save", action="store_true", help="write results/kernels_denoise_rivals.json")
    asked = parser.parse_args()
    found = measure(asked.vapoursynth, 1 if asked.quick else asked.repeats, asked.only, asked.quick)
    print(json.dumps(found, indent=1))
    if asked.save:
        save("kernels_denoise_rivals", found)


if __name__ == "__main__":
    main()
