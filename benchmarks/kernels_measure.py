"""Measures, resizing and colour beside FFmpeg's filters, OpenCV and scikit-image, per core.

    python benchmarks/kernels_measure.py [--frames 480] [--repeats 7] [--cases psnr ssim ...] [--save]

How it is measured is said in `kernels_compare.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kernels_compare import HELD, Case, Planes, alone, command, on_luma, run_alone
from kernels_deinterlace import HEIGHT, WIDTH


def psnr_all(a: Planes, b: Planes) -> list[np.ndarray]:
    from kernels.measure.psnr import psnr

    return [psnr(p, q) for p, q in zip(a, b, strict=True)]


def psnr_agrees(a: Planes, b: Planes, folder: Path) -> str:
    chain = f"psnr=stats_file={folder / 'psnr.log'}"
    subprocess.run(command(folder, True, chain, "-frames:v", "4", "-f", "null", "-"), check=True, timeout=120)
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


def psnr_opencv(a: Planes, b: Planes) -> Any:
    import cv2

    return [[cv2.PSNR(x, y) for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def psnr_opencv_agrees(a: Planes, b: Planes, folder: Path) -> str:
    return f"within {np.abs(np.array(psnr_all(a, b)) - np.array(psnr_opencv(a, b))).max():.0e} dB"


def ssim_all(a: Planes, b: Planes) -> list[np.ndarray]:
    from kernels.measure.ssim import ssim

    return [ssim(p, q, weights="uniform") for p, q in zip(a, b, strict=True)]


def ssim_near_ffmpegs(a: Planes, b: Planes, folder: Path) -> str:
    """FFmpeg's has other windows: 8x8 samples at every fourth place."""
    chain = f"ssim=stats_file={folder / 'ssim.log'}"
    subprocess.run(command(folder, True, chain, "-frames:v", "4", "-f", "null", "-"), check=True, timeout=120)
    lines = [dict(w.split(":") for w in line.split() if ":" in w) for line in
             (folder / "ssim.log").read_text().splitlines()[:4]]  # fmt: skip
    theirs = np.array([[float(line[c]) for line in lines] for c in "YUV"])
    ours = np.stack([p[:4] for p in ssim_all(a, b)])
    return f"other windows (8x8 at every fourth place): {np.abs(ours - theirs).max():.3f} apart"


def noise_ours(a: Planes, b: Planes) -> np.ndarray:
    from kernels.measure.noise import noise_level

    return noise_level(b[0], interlaced=False)


def noise_agrees(a: Planes, b: Planes, folder: Path) -> str:
    """On the first frames, with noise that is known."""
    shake = np.random.default_rng(1).normal(0, 5, a[0][:2].shape)
    noisy = [np.clip(np.rint(a[0][:2] + shake), 0, 255).astype(np.uint8)]
    return f"5 levels of noise on the clip: it finds {noise_ours(a, noisy).mean():.2f}"


def resized(a: Planes, width: int, height: int, filter: str) -> Planes:
    from kernels.resize import chroma_offset, resize

    left = chroma_offset(WIDTH / width, 1, 0.0)
    luma = resize(a[0], width=width, height=height, filter=filter)
    return [luma, *(resize(p, width=width // 2, height=height // 2, filter=filter, left=left) for p in a[1:])]


def resize_case(width: int, height: int, filter: str, flags: str) -> Case:
    chain = f"scale={width}:{height}:in_chroma_loc=left:out_chroma_loc=left:flags={flags}"

    def agree(a: Planes, b: Planes, folder: Path) -> str:
        return compared(folder, "yuv420p", chain, (width, height), resized([p[:4] for p in a], width, height, filter))

    def ours(a: Planes, b: Planes) -> Planes:
        return resized(a, width, height, filter)

    return Case(f"resize {filter} to {width}x{height}", ours, chain, agree)


def to_rgb(a: Planes, b: Planes) -> Any:
    from kernels.colour import yuv_to_rgb

    return yuv_to_rgb(*a, matrix="bt601", subsampling="420", siting="left")


RGB = (
    "scale=in_color_matrix=smpte170m:in_range=limited:in_chroma_loc=left"
    ":flags=bilinear+full_chroma_int+accurate_rnd,format=gbrp"
)


def rgb_agrees(a: Planes, b: Planes, folder: Path) -> str:
    rgb = to_rgb([p[:4] for p in a], b)
    return compared(folder, "gbrp", RGB, (WIDTH, HEIGHT), [rgb[:, 1], rgb[:, 2], rgb[:, 0]])


def compared(folder: Path, layout: str, chain: str, size: tuple[int, int], ours: Planes) -> str:
    """PSNR of our planes against FFmpeg's, the lowest of the planes."""
    from kernels.measure.psnr import psnr

    out = folder / "theirs.raw"
    words = ("-frames:v", "4", "-pix_fmt", layout, "-f", "rawvideo", str(out))
    subprocess.run(command(folder, False, chain, *words), check=True, timeout=120)
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
        Case("psnr, OpenCV", psnr_all, psnr_opencv, psnr_opencv_agrees, whose="OpenCV", taken=HELD),
        Case("ssim gaussian, luma", ssim_ours("gaussian"), ssim_theirs("gaussian"), ssim_agrees("gaussian")),
        Case("ssim 7x7, luma", ssim_ours("uniform"), ssim_theirs("uniform"), ssim_agrees("uniform")),
        Case("ssim 7x7, FFmpeg", ssim_all, "ssim", ssim_near_ffmpegs, two_inputs=True),
        Case("noise level, luma", noise_ours, None, noise_agrees),
        alone("ms_ssim, luma", on_luma("kernels.measure.ms_ssim", "ms_ssim", True), "none of them has it"),
        alone("flicker, luma", on_luma("kernels.measure.flicker", "flicker", True), "none of them has it"),
        alone("combing, luma", on_luma("kernels.measure.combing", "combing"), "none of them has it"),
        alone("change, luma", on_luma("kernels.deinterlace.film", "change"), "FFmpeg's fieldmatch does not tell it"),
        alone("match_combing, luma", on_luma("kernels.deinterlace.film", "match_combing"),
              "FFmpeg's fieldmatch does not tell it"),
        resize_case(1440, 960, "lanczos3", "lanczos"),
        resize_case(1440, 1080, "lanczos3", "lanczos"),
        resize_case(1620, 1080, "lanczos3", "lanczos"),
        resize_case(360, 240, "lanczos3", "lanczos"),
        resize_case(1440, 960, "bicubic", "bicubic:param0=0:param1=0.5"),
        Case("yuv to rgb", to_rgb, RGB, rgb_agrees),
    ]


if __name__ == "__main__":
    run_alone(__doc__, cases(), "kernels_measure")
