"""The kernels on an NVIDIA GPU beside what the device can do; writes results/gpu_DEVICE.json.

    PYTHONPATH=. python benchmarks/bench_gpu.py [--frames 64] [--repeats 20] [--only yadif nlmeans] [--out FOLDER]

A batch of 64 frames of 720x480, 8 bit, is on the device before and the result stays there; times are of CUDA events
around the whole call, checks and launches in Python included, medians of the repeats.  What each kernel is held to is
measured in the same run: kernels that do little with every sample to the bandwidth of a copy on the device (samples
read once and written once, over the time, as a share of the copy's), non-local means and BM3D to multiply-adds a
second.  For those two the fewest instructions that the method needs for a sample are counted in `INSTRUCTIONS`.
Before a kernel is timed, its first frames are compared with the CPU's.  It needs CuPy, Numba and NumPy, nothing else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import median, save

from kernels import all_kernels
from kernels.declare import Kernel

WIDTH, HEIGHT = 720, 480
CHECKED = 4  # frames that are compared with the CPU's

#: Kernels that are bound by memory: they are to reach 0.7 of the copy's bandwidth.
BY_MEMORY = (
    "bob", "bwdif", "combing", "hqdn3d", "head_switching", "levels", "median", "mse", "psnr", "rematrix",
    "rgb_to_yuv", "ssim", "temporal", "temporal_median", "w3fdif", "yadif", "yuv_to_rgb",
)  # fmt: skip

#: The fewest instructions for a sample.  Non-local means, for every place of the window: difference, its square into
#: the patch's sum and the oldest out of it (3 each way), weight (multiply-add, bound, exponential), two sums.
#: BM3D, step 4, so a sixteenth of a group's for each sample: 361 candidates of 64 differences into a sum, then eight
#: blocks through 2 x 8 products of 8 x 8 and three stages of Haar, there and back, and their sums.
INSTRUCTIONS = {
    "nlmeans": 15 * 15 * (3 + 3 + 3 + 2),
    "bm3d": (361 * 64 * 2 + 8 * 64 * (2 * 2 * 8 + 2 * 3 + 4)) / 16,
}

SPIN = r"""
extern "C" __global__ void spin(float* out, int rounds, float a, float b) {
    float v[8];
    for (int i = 0; i < 8; ++i) v[i] = threadIdx.x + i;
    for (int n = 0; n < rounds; ++n)
#pragma unroll
        for (int i = 0; i < 8; ++i) v[i] = v[i] * a + b;
    float sum = 0;
    for (int i = 0; i < 8; ++i) sum += v[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
"""


def picture(frames: int) -> np.ndarray:
    """Moving waves with fine texture and seeded noise, `(frames, 480, 720)` uint8."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    texture = 6 * rng.standard_normal((HEIGHT, WIDTH))
    batch = np.empty((frames, HEIGHT, WIDTH), np.uint8)
    for t in range(frames):
        wave = 120 + 60 * np.sin((x + 3 * t) / 17) * np.cos((y - t) / 23)
        noise = 4 * rng.standard_normal((HEIGHT, WIDTH))
        batch[t] = np.clip(wave + np.roll(texture, (t, 3 * t), (0, 1)) + noise, 16, 235)
    return batch


def arrays_of(kernel: Kernel, frames: np.ndarray) -> list[np.ndarray]:
    """The kernel's arrays: the frames, smaller for chroma, and what a stage would give where frames are not meant."""
    known = all_kernels()
    made: list[np.ndarray] = []
    for name, shape in zip(kernel.arrays, kernel.inputs(frames.shape, kernel.settings({})), strict=True):
        if name == "motion":
            seen = made[1].reshape(-1, *frames.shape[1:]) if "guess" in kernel.arrays else frames
            made.append(known["find_motion"](seen, radius=shape[-4] // 2).reshape(shape))
        elif name == "marks":
            made.append(known["find_dropouts"](frames))
        elif name == "spectrum":
            made.append(np.full(shape, 25.0, np.float32))
        elif name in kernel.others:
            made.append(np.random.default_rng(6).integers(-6, 7, shape).astype(kernel.others[name]))
        elif len(shape) == 4:
            made.append(np.repeat(frames[:, None], shape[1], axis=1))
        elif made and shape == frames.shape:  # a second picture: the first with an error
            made.append(frames ^ 1)
        else:
            made.append(np.ascontiguousarray(frames[:, : shape[1], : shape[2]]))
    return made


def flat(result: Any) -> list[Any]:
    return [a for part in result for a in flat(part)] if isinstance(result, tuple | list) else [result]


def largest_difference(kernel: Kernel, arrays: list[np.ndarray]) -> float:
    """Between the GPU's and the CPU's results on the first frames, in levels or the result's own unit."""
    import cupy

    few = [np.ascontiguousarray(a[:CHECKED]) for a in arrays]
    theirs, ours = flat(kernel(*few)), flat(kernel(*map(cupy.asarray, few)))
    pairs = [(np.asarray(c, np.float64), cupy.asnumpy(g).astype(np.float64)) for c, g in zip(theirs, ours, strict=True)]
    return max(float(np.nanmax(np.abs(c - g), initial=0.0)) for c, g in pairs)


def seconds(work: Any, repeats: int) -> float:
    """Median seconds of `work()` on the device, after two calls that compile and warm up."""
    import cupy

    spent = []
    for n in range(repeats + 2):
        began, ended = cupy.cuda.Event(), cupy.cuda.Event()
        began.record()
        work()
        ended.record()
        ended.synchronize()
        if n > 1:
            spent.append(cupy.cuda.get_elapsed_time(began, ended) / 1000)
    return median(spent)


def limits() -> dict[str, float]:
    """Bytes a second of a copy (read and written), multiply-adds a second of one kernel that does nothing else."""
    import cupy

    source = cupy.zeros(1 << 30, cupy.uint8)
    target = cupy.empty_like(source)
    copy = 2 * source.nbytes / seconds(lambda: cupy.copyto(target, source), 20)
    spin, rounds, blocks = cupy.RawKernel(SPIN, "spin"), 4096, 4096
    out = cupy.empty(blocks * 256, cupy.float32)
    numbers = (out, np.int32(rounds), np.float32(0.999), np.float32(0.5))
    adds = blocks * 256 * rounds * 8 / seconds(lambda: spin((blocks,), (256,), numbers), 10)
    return {"copy_bytes_per_second": copy, "multiply_adds_per_second": adds}


def measure(frames: int, repeats: int, names: tuple[str, ...]) -> dict[str, Any]:
    import cupy

    batch, found, rows = picture(frames), limits(), []
    for name, kernel in all_kernels().items():
        if names and name not in names:
            continue
        arrays = arrays_of(kernel, batch)
        difference = largest_difference(kernel, arrays)
        held = [cupy.asarray(a) for a in arrays]
        spent = seconds(lambda k=kernel, h=held: k(*h), repeats if name not in INSTRUCTIONS else 5)
        touched = sum(a.nbytes for a in held + flat(kernel(*held)))
        row = {
            "kernel": name, "frames": frames, "ms": round(1000 * spent, 3), "fps": round(frames / spent, 1),
            "bytes": touched, "share_of_copy": round(touched / spent / found["copy_bytes_per_second"], 3),
            "by_memory": name in BY_MEMORY, "largest_difference": difference,
        }  # fmt: skip
        if name in INSTRUCTIONS:
            limit = found["multiply_adds_per_second"] / (INSTRUCTIONS[name] * WIDTH * HEIGHT)
            row |= {"limit_fps": round(limit, 1), "share_of_limit": round(frames / spent / limit, 3)}
        rows.append(row)
        print(row, flush=True)
        del held
        cupy.get_default_memory_pool().free_all_blocks()
    return {**found, "rows": rows}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--repeats", type=int, default=20)
    options.add_argument("--only", nargs="*", default=[])
    options.add_argument("--out", type=Path, help="folder for the result instead of benchmarks/results")
    asked = options.parse_args()
    try:
        import cupy

        device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except (ImportError, RuntimeError) as error:
        sys.exit(f"bench_gpu needs CuPy and an NVIDIA GPU, and there is none ({error}); nothing was measured")
    data = {"device": device, "cupy": cupy.__version__, **measure(asked.frames, asked.repeats, tuple(asked.only))}
    slug = "_".join("".join(c if c.isalnum() else " " for c in device.lower()).split())
    print(save(f"gpu_{slug}", data, asked.out))


if __name__ == "__main__":
    main()
