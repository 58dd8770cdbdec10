"""Repairing kernels beside what FFmpeg and OpenCV have for the same fault, per core.

    python benchmarks/kernels_repair.py [--frames 480] [--repeats 7] [--cases levels heal ...] [--save]

How it is measured is said in `kernels_compare.py`.  Few of these faults are a video filter's business: where nobody
computes the same thing, the nearest thing is taken and the row says how well both do, and where there is nothing near,
the row has our speed alone.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from kernels_compare import HELD, Case, Planes, alone, command, on_luma, run_alone
from kernels_deinterlace import HEIGHT, WIDTH, planes

LINES = 8  # of the head-switching band
BLACK, WHITE, GAMMA, SATURATION = -4.0, 10.0, 1.1, 1.2


def different(ours: Planes, theirs: Planes) -> str:
    wrong = sum(int((a != b).sum()) for a, b in zip(ours, theirs, strict=True))
    return "equal" if not wrong else f"{wrong} of {sum(a.size for a in ours)} samples differ"


def through_ffmpeg(folder: Path, chain: str, source: Planes | None = None, frames: int = HELD) -> Planes:
    """The first frames of a.yuv, or of `source`, after FFmpeg's `chain`."""
    out = folder / "theirs.yuv"
    words = command(folder, False, chain, "-frames:v", str(frames), "-f", "rawvideo", str(out))
    if source is not None:
        given = folder / "given.yuv"
        np.concatenate([p.reshape(len(p), -1) for p in source], axis=1).tofile(given)
        words[words.index(str(folder / "a.yuv"))] = str(given)
    subprocess.run(words, check=True, timeout=120)
    return planes(out, frames)


def psnr(truth: np.ndarray, picture: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((truth.astype(np.float64) - picture) ** 2)))


# Levels


def levels_ours(a: Planes, b: Planes) -> Planes:
    from kernels.repair.levels import levels

    chroma = [levels(p, saturation=SATURATION, plane="chroma") for p in a[1:]]
    return [levels(a[0], black=BLACK, white=WHITE, gamma=GAMMA), *chroma]


def _levels_chain() -> str:
    """The formulas of `kernels.repair.levels` as tables of FFmpeg's lutyuv, rounded as there."""
    at, span = 16 + BLACK, (235 + WHITE) - (16 + BLACK)
    x = f"(val-{at})/{span}"
    luma = f"clip(floor(16+219*if(gt(val,{at}),pow({x},1/{GAMMA}),{x})+0.5),0,255)"
    chroma = f"clip(floor(128+{SATURATION}*(val-128)+0.5),0,255)"
    return f"lutyuv=y='{luma}':u='{chroma}':v='{chroma}'"


def levels_agree(a: Planes, b: Planes, folder: Path) -> str:
    return different(levels_ours(a, b), through_ffmpeg(folder, _levels_chain()))


def levels_opencv(a: Planes, b: Planes) -> Any:
    import cv2

    return [[cv2.LUT(f, table) for f in p] for p, table in zip(a, _tables(), strict=True)]


def levels_opencv_agrees(a: Planes, b: Planes, folder: Path) -> str:
    return different(levels_ours(a, b), [np.stack(p) for p in levels_opencv(a, b)])


@functools.cache
def _tables() -> Planes:
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, -1)
    return [t.reshape(-1) for t in levels_ours([every] * 3, [])]


# Head switching


def head_ours(a: Planes, b: Planes) -> Planes:
    from kernels.repair.foot import head_switching

    return [head_switching(p, lines=LINES if n == 0 else LINES // 2) for n, p in enumerate(a)]


HEAD = f"fillborders=bottom={LINES}:mode=smear"


def head_agrees(a: Planes, b: Planes, folder: Path) -> str:
    """Not equal: theirs repeats the line.  Both are compared with what the clip shows on the lines that they cover."""
    torn = slice(HEIGHT - LINES, None)
    truth, ours, theirs = (p[0][:HELD, torn] for p in (a, head_ours(a, b), through_ffmpeg(folder, HEAD)))
    return f"{psnr(truth, ours):.1f} dB on the covered lines, theirs (the line repeated) {psnr(truth, theirs):.1f} dB"


# Jitter


@functools.cache
def shifts() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1.5, (HELD, HEIGHT, 1)).astype(np.float32)


def shift_ours(a: Planes, b: Planes) -> np.ndarray:
    from kernels.repair.jitter import shift_lines

    return shift_lines(a[0], shifts())


@functools.cache
def _maps() -> list[tuple[np.ndarray, np.ndarray]]:
    """Made beforehand, which is not counted."""
    import cv2

    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return [cv2.convertMaps(x + s, y, cv2.CV_16SC2) for s in shifts()]


def shift_opencv(a: Planes, b: Planes) -> list[np.ndarray]:
    import cv2

    return [cv2.remap(f, *m, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
            for f, m in zip(a[0], _maps(), strict=True)]  # fmt: skip


def shift_agrees(a: Planes, b: Planes, folder: Path) -> str:
    """What is left of the picture after it was moved away and back."""
    import cv2

    from kernels.repair.jitter import shift_lines

    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    inner = (slice(0, 4), slice(None), slice(16, -16))
    ours = shift_lines(shift_lines(a[0][:4], shifts()[:4]), -shifts()[:4])
    theirs = []
    for f, s in zip(a[0][:4], shifts()[:4], strict=True):
        for sign in (1, -1):
            f = cv2.remap(f, x + sign * s, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
        theirs.append(f)
    both = psnr(a[0][inner], ours[inner]), psnr(a[0][inner], np.stack(theirs)[inner])
    return "there and back {:.1f} dB, theirs {:.1f} dB".format(*both)


# Dropouts


@functools.cache
def streaks() -> np.ndarray:
    """Marks of thirty streaks a frame, one to three lines high."""
    rng, marks = np.random.default_rng(3), np.zeros((HELD, HEIGHT, WIDTH), np.uint8)
    for t in range(HELD):
        for _ in range(30):
            y, x = rng.integers(0, HEIGHT - 3), rng.integers(0, WIDTH - 20)
            marks[t, y : y + rng.integers(1, 4), x : x + rng.integers(16, 200)] = 255
    return marks


def heal_ours(a: Planes, b: Planes) -> np.ndarray:
    from kernels.repair.dropouts import heal_dropouts

    return heal_dropouts(a[0], streaks()[: len(a[0])])


def heal_opencv(a: Planes, b: Planes) -> list[np.ndarray]:
    import cv2

    return [cv2.inpaint(f, m, 3, cv2.INPAINT_TELEA) for f, m in zip(a[0], streaks(), strict=False)]


def heal_agrees(a: Planes, b: Planes, folder: Path) -> str:
    truth, where = a[0][:4], streaks()[:4] > 0
    damaged = [np.where(where, np.uint8(230), truth)]
    both = (psnr(truth[where], np.stack(heal(damaged, b))[where]) for heal in (heal_ours, heal_opencv))
    return "{:.1f} dB on the marked samples, theirs (from one frame alone) {:.1f} dB".format(*both)


# Rainbows and dot crawl

DEDOT = "dedot=m=dotcrawl"


def comb_ours(a: Planes, b: Planes) -> np.ndarray:
    from kernels.repair.comb import frame_comb

    return frame_comb(a[0])


def comb_agrees(a: Planes, b: Planes, folder: Path) -> str:
    """Both on a still picture with a carrier of six levels, which turns by half a cycle a frame, and light noise."""
    rng = np.random.default_rng(4)
    t, y, x = np.meshgrid(np.arange(HELD), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij", sparse=True)
    carrier = 6 * np.sin(2 * np.pi * (0.265 * x + 0.5 * y + 0.5 * t)) + rng.normal(0, 1, (HELD, HEIGHT, WIDTH))
    still = [np.repeat(p[:1], HELD, 0) for p in a]
    dotted = [np.clip(np.rint(still[0] + carrier), 0, 255).astype(np.uint8), *still[1:]]
    inner = slice(2, HELD - 2)
    truth = still[0][inner]
    before = psnr(truth, dotted[0][inner])
    ours, theirs = comb_ours(dotted, b)[inner], through_ffmpeg(folder, DEDOT, dotted)[0][inner]
    return f"dots of {before:.1f} dB on a still: {psnr(truth, ours):.1f} dB, theirs {psnr(truth, theirs):.1f} dB"


def cases() -> list[Case]:
    jitter, dropouts = "kernels.repair.jitter", "kernels.repair.dropouts"
    return [
        Case("levels", levels_ours, _levels_chain(), levels_agree),
        Case("levels, OpenCV", levels_ours, levels_opencv, levels_opencv_agrees, whose="OpenCV",
             taken=HELD),
        Case("head_switching", head_ours, HEAD, head_agrees),
        Case("shift_lines, luma", shift_ours, shift_opencv, shift_agrees, whose="OpenCV", taken=HELD),
        Case("heal_dropouts, luma", heal_ours, heal_opencv, heal_agrees, whose="OpenCV", taken=2),
        Case("frame_comb, luma", comb_ours, DEDOT, comb_agrees),
        alone("find_dropouts, luma", on_luma(dropouts, "find_dropouts"), "none of them finds streaks"),
        alone("line_costs, luma", on_luma(jitter, "line_costs"), "none of them measures it"),
        alone("dehalo, luma", on_luma("kernels.repair.halo", "dehalo"), "none of them has it"),
    ]


if __name__ == "__main__":
    run_alone(__doc__, cases(), "kernels_repair")
