"""Stages, pipelines and nets on a GPU: what the CPU gives, and frames that stay on the device.

Without `--device cuda` the stages run on a stand-in for CuPy (tests/_gpu.py); nets need a GPU.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests import _gpu
from toolkit.clip import Batch, PictureFormat
from toolkit.pipeline import Pipeline
from toolkit.stages import Context, stage
from toolkit.stages.table import made
from toolkit.stages.upscale import Net

TAPE = PictureFormat(64, 48, (1, 1), field_order="tff", matrix="bt601", range="limited")

#: Knobs with which a stage does something, where its defaults leave the picture as it is.
ACTING = {
    "repair.levels": {"gamma": 1.2, "saturation": 1.3},
    "repair.head_switching": {"lines": 6},
    "repair.chroma_shift": {"right": -1.5},
    "repair.dehalo": {"share": 0.3},
    "repair.frame_comb": {"still": 20.0},
    "deinterlace.film": {"cadence": "3:2"},
}
#: Small windows: the stand-in computes as one processor would.
SMALL = {
    "denoise.nlmeans": {"search": 2, "radius": 1}, "denoise.bm3d": {"search": 2, "radius": 1, "final": True},
    "denoise.motion_mean": {"radius": 1}, "denoise.dft_threshold": {"radius": 1},
}  # fmt: skip
STAGES = {s.name: s for s in made() if not isinstance(s, Net)}


@pytest.fixture
def gpu(request, monkeypatch):
    return _gpu.device(request.config.getoption("--device"), monkeypatch)


def tape(frames: int, fmt: PictureFormat, crawling: bool = False) -> Batch:
    """A moving picture with an edge, noise and a streak in one frame; or a still one on which a carrier crawls."""
    rng, planes = np.random.default_rng(7), []
    for n, (height, width) in enumerate(fmt.plane_shapes):
        t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
        t, turn = (0 * t, 1 - 2 * (t % 2)) if crawling else (t, 0)
        wave = 120 + 50 * np.sin((x + 2 * t) / (7 - 2 * (n > 0))) * np.cos((y - t) / 9) + 40 * (x > width // 2)
        plane = wave + 9 * turn + rng.normal(0, 0.5 if crawling else 4, wave.shape)
        plane[frames // 2, height // 2, 8:40] = 235
        planes.append(np.clip(np.rint(plane), 16, 240).astype(np.uint8))
    return Batch(tuple(planes), np.arange(frames), np.ones(frames, np.int64), Fraction(1, 30), fmt)


def sent(batch: Batch, gpu: _gpu.Device) -> Batch:
    return batch.replace(planes=tuple(gpu.send(p) for p in batch.planes))


def on_host(plane: Any) -> np.ndarray:
    return plane if isinstance(plane, np.ndarray) else plane.get()


def assert_alike(got: Batch, want: Batch) -> None:
    """Within what bodies may differ by: one level, and in few samples."""
    assert got.format == want.format and np.array_equal(got.pts, want.pts)
    for a, b in zip(got.planes, want.planes, strict=True):
        apart = np.abs(on_host(a).astype(int) - b.astype(int))
        off = int((apart > 0).sum())
        assert apart.max() <= 1 and off < 0.05 * apart.size, f"{off} samples differ, by up to {apart.max()}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_gives_what_it_gives_on_the_cpu_and_stays_on_the_device(name, gpu):
    step = STAGES[name](**ACTING.get(name, {}), **SMALL.get(name, {}))
    fields = step.stage.group == "deinterlace" or step.stage.before_deinterlacing
    fmt = TAPE if fields else TAPE.replace(field_order="progressive")
    batch = tape(10 if name == "deinterlace.film" else 5, fmt, crawling=name == "repair.frame_comb")
    there = sent(batch, gpu)
    want = step(batch)
    got = step(there, "cuda")
    assert all(gpu.holds(p) for p in got.planes), "a plane left the device"
    assert_alike(got, want)
    assert any(not np.array_equal(a, b) for a, b in zip(want.planes, batch.planes, strict=True)), "it did nothing"
    for plane, before in zip(there.planes, batch.planes, strict=True):
        assert np.array_equal(on_host(plane), before), "the input was modified"


CHAIN = (
    ("deinterlace.bwdif", {}), ("repair.heal_dropouts", {}), ("repair.dehalo", {"share": 0.2}),
    ("denoise.hqdn3d", {}), ("denoise.dft_threshold", {"noise": 4.0, "noise_shape": "white", "radius": 1}),
    ("upscale.lanczos", {"scale": 1.5}),
)  # fmt: skip


def test_frames_come_home_once_at_the_end(gpu):
    """In batches: the first step takes them to the device, and nothing comes back before the last is done."""
    pipeline = Pipeline([stage(name)(**knobs) for name, knobs in CHAIN])
    batch = tape(5, TAPE)
    batches = [batch[:2], batch[2:4], batch[4:]]
    want = Batch.join(list(pipeline.stream(batches, TAPE, Context("cpu"))))
    gpu.begin()
    got, sizes = [], []
    for part in pipeline.stream(batches, TAPE, Context("cuda")):
        assert all(isinstance(p, np.ndarray) for p in part.planes)
        got.append(part)
        sizes.append(sum(p.nbytes for p in part.planes))
    assert gpu.copied == sum(sizes), f"{gpu.copied} bytes were copied to the host for {sum(sizes)} of the result"
    assert_alike(Batch.join(got), want)


def test_a_state_is_handed_over_on_the_device(gpu):
    """A recursive kernel stops and goes on without its state coming home."""
    from kernels.denoise.hqdn3d import hqdn3d

    frames = tape(6, TAPE).planes[0]
    whole, _ = hqdn3d(frames)
    state, parts = None, []
    gpu.begin()
    for part in (frames[:2], frames[2:]):
        out, state = hqdn3d(gpu.send(part), state=state)
        parts.append(out)
    assert gpu.holds(state) and gpu.copied == 0
    assert np.array_equal(np.concatenate([on_host(p) for p in parts]), whole)


def test_arrays_of_two_devices_are_refused(gpu):
    from kernels.measure.psnr import psnr

    frames = tape(2, TAPE).planes[0]
    with pytest.raises(TypeError, match="expected all arrays on one device"):
        psnr(frames, gpu.send(frames))


def test_planes_reach_torch_without_coming_home(gpu):
    """What a net is given of a picture that is on the device already."""
    from toolkit.upscale import transfer

    there = gpu.send(tape(2, TAPE).planes[0])
    gpu.begin()
    tensor = transfer.send(there[:1], "cpu" if isinstance(there, _gpu.ndarray) else "cuda")
    assert gpu.copied == 0
    assert np.array_equal(tensor.cpu().numpy(), on_host(there[:1]))


@pytest.fixture
def torch_gpu(request):
    if request.config.getoption("--device") != "cuda":
        pytest.skip("nets on a GPU: needs --device cuda")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this Torch sees no GPU")
    return torch


@pytest.mark.parametrize("precision, least", [("float32", 60.0), ("fp16", 45.0)])
def test_a_net_on_the_gpu_draws_the_cpus_picture(torch_gpu, gpu, precision, least):
    from toolkit.upscale import Upscaler

    fmt = TAPE.replace(field_order="progressive")
    batch = tape(3, fmt)
    want = Upscaler("realesr-animevideov3", device="cpu", precision="float32", scale=2).apply(batch)
    for given in (batch, sent(batch, gpu)):
        got = Upscaler("realesr-animevideov3", device="cuda", precision=precision, scale=2).apply(given)
        for a, b in zip(got.planes, want.planes, strict=True):
            error = np.mean((on_host(a).astype(float) - b) ** 2)
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > least


def test_a_net_stands_in_a_pipeline_on_the_gpu(torch_gpu, gpu):
    steps = Pipeline([stage("deinterlace.bwdif")(), stage("upscale.realesr-animevideov3")(scale=2, steady=0.3)])
    batch = tape(3, TAPE)
    for step, fmt in zip(steps, (TAPE, TAPE.replace(field_order="progressive")), strict=True):
        step.stage.prepare(fmt, step.knobs, "cuda")
    got = Batch.join(list(steps.stream([batch], TAPE, Context("cuda"))))
    assert len(got) == 6 and got.format.width == 128 and all(isinstance(p, np.ndarray) for p in got.planes)
