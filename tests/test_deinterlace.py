"""What the deinterlacers promise about pictures, beside their arithmetic (tests/test_deinterlace_ffmpeg.py)."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.deinterlace import METHODS, methods
from tests.test_deinterlace_ffmpeg import tape

KERNELS = methods()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def slanted(height: int = 96, width: int = 160) -> np.ndarray:
    """Bars that lean by one to five samples per line, with soft edges, as a lens draws them."""
    y, x = np.mgrid[:height, :width]
    return np.stack([128 + 80 * np.tanh(1.5 * (8 - abs((x + lean * y) % 40 - 20))) for lean in (1.2, 2, 3, 5)]).astype(
        np.uint8
    )


def only_one_field(frames: np.ndarray) -> np.ndarray:
    """Frames whose second field says nothing of the truth."""
    blind = frames.copy()
    blind[:, 1::2] = 0
    return blind


def test_methods_are_the_kernels_a_stage_may_offer():
    assert set(KERNELS) == set(METHODS)
    for name, kernel in KERNELS.items():
        assert kernel.name == name
        assert {"order", "rate", "bits"} <= set(kernel.knobs)
        assert kernel.rate(rate="field") == 2 and kernel.rate(rate="frame") == 1


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("name", METHODS)
def test_kept_lines_are_the_field_s_own(name, order):
    frames = tape("bikes.mp4", 20, 5, 48, 160, order)[0]
    out = KERNELS[name](frames, order=order)
    for n in range(len(out)):
        parity = (n & 1) ^ (order == "bff")
        assert np.array_equal(out[n, parity::2], frames[n // 2, parity::2])
    assert np.array_equal(KERNELS[name](frames, order=order, rate="frame"), out[::2])


@pytest.mark.parametrize("name", ["yadif", "bwdif", "w3fdif"])
def test_a_still_picture_keeps_its_detail(name):
    """Fine horizontal lines that one field alone cannot show come back from the other field."""
    picture = np.random.default_rng(3).integers(60, 200, (32, 90)).astype(np.uint8)
    knobs = {"check": False} if name == "yadif" else {}  # the check takes noise this coarse for combing
    out = KERNELS[name](np.stack([picture] * 4), rate="frame", **knobs)[1:-1]
    if name == "w3fdif":  # it mixes in the own field's coarse detail: nearer than one field, not equal
        assert psnr(out, picture) > psnr(KERNELS["bob"](np.stack([picture] * 2), rate="frame"), picture) + 1
    else:
        assert np.array_equal(out, np.stack([picture] * 2))


def test_edi_draws_slanting_edges_that_bob_leaves_jagged():
    truth = slanted()
    frames = only_one_field(truth)
    gain = psnr(KERNELS["edi"](frames, rate="frame"), truth) - psnr(KERNELS["bob"](frames, rate="frame"), truth)
    assert gain > 4, f"{gain:.2f} dB over bob"


@pytest.mark.parametrize("clip, first", [("bikes.mp4", 60), ("bigbuckbunny.mp4", 60)])
def test_edi_costs_nothing_on_real_footage(clip, first):
    truth = tape(clip, first, 3, 240, 320, "tff")[0][:, 0::2]  # lines of single moments
    frames = only_one_field(truth)
    gain = psnr(KERNELS["edi"](frames, rate="frame"), truth) - psnr(KERNELS["bob"](frames, rate="frame"), truth)
    assert gain > -0.1, f"{gain:.2f} dB over bob"


def test_edi_goes_straight_down_where_nothing_leans():
    frames = np.tile(np.random.default_rng(0).integers(0, 256, (3, 20, 1)).astype(np.uint8), (1, 1, 70))
    assert np.array_equal(KERNELS["edi"](frames), KERNELS["bob"](frames))


TOGETHER = [name for name, kernel in KERNELS.items() if kernel.together_body is not None]


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "sizes",
    [
        [(48, 160), (24, 80), (24, 80)],
        [(290, 80), (145, 40), (145, 40)],  # chroma too narrow for vectors of bytes
        [(37, 70)],
        [(20, 64), (20, 140), (300, 64), (20, 64), (2, 71)],  # more than one region takes
    ],
    ids=lambda sizes: f"{len(sizes)}x{sizes[0][1]}",
)
def test_planes_together_are_what_each_is_alone(name, dtype, sizes):
    rng = np.random.default_rng(8)
    planes = [rng.integers(0, 256, (6, *size)).astype(dtype) for size in sizes]
    planes[-1].flags.writeable = False  # as frames of a file are
    for window, rate in (None, "field"), ((2, 5), "frame"), ((5, 6), "field"):
        made = KERNELS[name].together(planes, window, rate=rate, order="bff")
        assert len(made) == len(planes)
        for plane, got in zip(planes, made, strict=True):
            want = KERNELS[name].definition(plane, rate=rate, order="bff")
            first, last = (t * KERNELS[name].rate(rate=rate) for t in window or (0, 6))
            assert got.dtype == plane.dtype and np.array_equal(got, want[first:last])


@pytest.mark.parametrize("name", ["bwdif", "bob"])
def test_planes_that_do_not_belong_together_are_refused(name):
    luma, chroma = np.zeros((4, 48, 160), np.uint8), np.zeros((4, 24, 80), np.uint8)
    with pytest.raises(ValueError, match="as many frames of each"):
        KERNELS["bwdif"].together([luma, chroma[:3]])
    with pytest.raises(ValueError, match="one dtype"):
        KERNELS["bwdif"].together([luma, chroma.astype(np.uint16)])
    with pytest.raises(ValueError, match="window"):
        KERNELS[name].together([luma, chroma], (2, 5))
    with pytest.raises(TypeError, match="expected a NumPy array"):
        KERNELS[name].together([luma, [[1]]])
    assert KERNELS[name].together([]) == ()
