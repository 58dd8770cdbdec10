"""`Upscaler`: planes of every layout in, the promised format out, and never a wrong pixel when memory is short."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.colour import yuv_to_rgb
from tests._upscale import SD, made_model, photo_planes, psnr, randomised, torch_threads, video_frames
from toolkit.clip import Batch, PictureFormat
from toolkit.errors import DeviceMissing, KnobError, PictureError, ToolkitError, ToolkitWarning, WorkError
from toolkit.upscale import Upscaler, colour, engine, sizes
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact

MODEL = "realesr-animevideov3"
LAYOUTS = {"420": (1, 1), "422": (1, 0), "411": (2, 0), "444": (0, 0), "410": (2, 2)}


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small gain nothing from threads that wait for each other."""
    with torch_threads(1):
        yield


@pytest.fixture
def two_threads(one_thread):
    """A frame in each of two threads."""
    with torch_threads(2):
        yield


def small(**options) -> Upscaler:
    """A made net of scale 2 that is quick and gives a different value everywhere."""
    model = made_model(randomised(SRVGGNetCompact(8, 1, 2), gain=0.1))
    return Upscaler(model, device="cpu", precision="float32", **options)


def planes_of(format: PictureFormat, frames: int = 2, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, format.peak + 1, (frames, *s)).astype(format.dtype) for s in format.plane_shapes)


@given(
    st.builds(
        PictureFormat,
        width=st.integers(2, 2000),
        height=st.integers(2, 2000),
        sar=st.fractions(Fraction(1, 2), 2, max_denominator=50),
        field_order=st.just("progressive"),
        matrix=st.sampled_from(("bt601", "bt709", "unknown")),
    ),
    st.one_of(
        st.builds(lambda s: {"scale": s}, st.sampled_from((0.5, 1, 1.5, 2, 2.25, 3, 4))),
        st.builds(lambda h: {"height": h}, st.sampled_from((480, 576, 720, 1080))),
        st.builds(lambda w: {"width": w}, st.sampled_from((640, 1280, 1920))),
        st.just({"width": 1440, "height": 1080}),
    ),
)
def test_the_display_aspect_is_kept_exactly_and_colour_follows_the_size(format, wanted):
    out = sizes.enlarged_format(format, **wanted)
    assert out.dar == format.dar
    for name in ("width", "height"):
        if name in wanted:
            assert getattr(out, name) == wanted[name]
        elif "scale" in wanted and float(wanted["scale"]).is_integer():
            assert getattr(out, name) == getattr(format, name) * wanted["scale"]
        else:
            assert getattr(out, name) % 2 == 0
    assert out.matrix in ("bt601", "bt709")
    if format.matrix == "bt709" or out.height > 576 or out.width >= 1280:
        assert out.matrix == "bt709"
    elif format.matrix == "bt601":
        assert out.matrix == "bt601"


@pytest.mark.parametrize(
    ("format", "options", "expected"),
    [
        (SD, {}, (384, 256)),
        (SD, {"scale": 2}, (192, 128)),
        (SD, {"scale": 1}, (96, 64)),
        (SD, {"height": 150}, (224, 150)),
        (SD, {"width": 100, "height": 30}, (100, 30)),
        (SD.replace(width=33, height=27), {"scale": 3}, (99, 81)),
        (SD.replace(width=1, height=1), {}, (4, 4)),
        (SD.replace(bits=10), {"scale": 2}, (192, 128)),
        (SD.replace(subsampling=None), {"scale": 2}, (192, 128)),
        (SD.replace(subsampling=(1, 0), siting="topleft"), {"scale": 2, "subsampling": (0, 0)}, (192, 128)),
        (SD.replace(subsampling=(2, 0), range="full"), {"scale": 2, "bits": 10}, (192, 128)),
    ],
)
def test_planes_have_the_announced_format(format, options, expected):
    up = Upscaler(MODEL, device="cpu", **options)
    planes = planes_of(format)
    before = [p.copy() for p in planes]
    result, after = up(planes, format), up.output_format(format)
    assert (after.width, after.height) == expected
    assert [p.shape for p in result] == [(2, *s) for s in after.plane_shapes]
    assert {p.dtype for p in result} == {after.dtype}
    assert all(np.array_equal(a, b) for a, b in zip(planes, before, strict=True))
    assert after.subsampling == (None if format.subsampling is None else options.get("subsampling", (1, 1)))
    assert all(p.max() <= after.peak for p in result)


def test_a_name_with_a_scale_means_that_scale():
    assert Upscaler("realesr-animevideov3-x2", device="cpu").scale == 2
    assert Upscaler("animevideov3", device="cpu").scale == 4


def test_a_batch_keeps_its_times():
    batch = Batch(photo_planes(frames=2), np.array([0, 7]), np.array([7, 3]), Fraction(1, 100), SD)
    out = small().apply(batch)
    assert out.format == small().output_format(SD)
    np.testing.assert_array_equal(out.pts, batch.pts)
    np.testing.assert_array_equal(out.durations, batch.durations)


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("range", ["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
def test_rgb_is_that_of_the_colour_kernel(matrix, range, bits):
    format = PictureFormat(16, 8, subsampling=(0, 0), bits=bits, matrix=matrix, range=range)
    planes = tuple(p.astype(np.float32) for p in planes_of(format))
    expected = yuv_to_rgb(*planes, matrix=matrix, range=range, subsampling="444", bits=bits) / format.peak
    found = colour.to_rgb(tuple(torch.from_numpy(p) for p in planes), format)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)
    back = colour.from_rgb(found, format)
    for plane, original in zip(back, planes, strict=True):
        np.testing.assert_array_equal(plane.numpy(), original)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_colour_ramp_stays_beside_the_luma_ramp(layout, siting):
    """Luma and chroma both show the same straight ramp across the picture, whatever grid chroma lies on."""
    format = PictureFormat(64, 48, subsampling=LAYOUTS[layout], bits=16, matrix="bt709", range="full", siting=siting)
    fx, fy = 1 << format.subsampling[0], 1 << format.subsampling[1]
    left, top = (0 if siting != "center" else (fx - 1) / 2), (0 if siting == "topleft" else (fy - 1) / 2)
    _, (h, w), _ = format.plane_shapes

    def ramp(x, y):
        return 0.2 + 0.004 * x + 0.006 * y

    luma = ramp(*np.meshgrid(np.arange(64), np.arange(48)))
    chroma = ramp(*np.meshgrid(left + fx * np.arange(w), top + fy * np.arange(h))) - 0.5
    planes = [np.round(luma * 65535), *[np.round(chroma * 65535 + 32768)] * 2]
    ycc = colour.to_ycc(tuple(torch.from_numpy(p[None].astype(np.uint16)) for p in planes), format)[0].numpy()
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(ycc[0], luma, atol=1e-4)
    for plane in ycc[1:]:
        np.testing.assert_allclose(plane[inner] + 0.5, luma[inner], atol=1e-4)
    for width, height in ((64, 48), (128, 96), (96, 72), (50, 31)):
        target = format.replace(width=width, height=height)
        y, cb, cr = (p[0].numpy() for p in colour.from_ycc(torch.from_numpy(ycc[None]), target))
        x_at = (np.arange(width) + 0.5) * 64 / width - 0.5
        y_at = (np.arange(height) + 0.5) * 48 / height - 0.5
        cut = (slice(height // 5, -height // 5), slice(width // 5, -width // 5))
        np.testing.assert_allclose((y / 65535)[cut], ramp(*np.meshgrid(x_at, y_at))[cut], atol=5e-4)
        cx = (left + fx * np.arange(cb.shape[1]) + 0.5) * 64 / width - 0.5
        cy = (top + fy * np.arange(cb.shape[0]) + 0.5) * 48 / height - 0.5
        cut = (slice(cb.shape[0] // 4, -cb.shape[0] // 4), slice(cb.shape[1] // 4, -cb.shape[1] // 4))
        for plane in (cb, cr):
            np.testing.assert_allclose(
                ((plane - 32768.0) / 65535)[cut] + 0.5, ramp(*np.meshgrid(cx, cy))[cut], atol=5e-4
            )


@pytest.mark.parametrize("target", [{"scale": 2}, {"height": 1080}])
def test_flat_colours_keep_their_colour_when_sd_becomes_hd(target):
    """What BT.601 calls a colour before, BT.709 calls the same colour after: shown alike by any player."""
    up = Upscaler(MODEL, device="cpu", **target)
    for rgb in ([0.75, 0.1, 0.1], [0.2, 0.2, 0.8]):
        flat = torch.tensor(rgb)[None, :, None, None].expand(1, 3, 40, 60)
        planes = tuple(p.numpy() for p in colour.from_rgb(flat, SD.replace(width=60, height=40)))
        format = SD.replace(width=60, height=40)
        after = up.output_format(format)
        assert after.matrix == ("bt709" if after.height > 576 else "bt601")
        shown = colour.to_rgb(tuple(torch.from_numpy(p) for p in up(planes, format)), after)
        middle = shown[0, :, after.height // 3 : -after.height // 3, after.width // 3 : -after.width // 3].mean((1, 2))
        net = up.rgb(flat)[0, :, 60:100, 80:160].mean((1, 2))  # it is not quite true to flat colours itself
        np.testing.assert_allclose(net, rgb, atol=0.05)
        np.testing.assert_allclose(middle, net, atol=0.01)


def test_brightness_beyond_white_is_kept():
    """A tape's super-white (luma 250) stays above white instead of being cut to 235."""
    planes = [np.full((1, *s), v, np.uint8) for s, v in zip(SD.plane_shapes, (250, 128, 128), strict=True)]
    y = Upscaler(MODEL, device="cpu", scale=2)(tuple(planes), SD)[0]
    assert abs(np.median(y) - 250) <= 3


def test_grey_is_enlarged_like_the_luma_of_a_colourless_picture():
    grey = SD.replace(subsampling=None)
    luma = photo_planes()[0]
    neutral = tuple(np.full((1, *s), 128, np.uint8) for s in SD.plane_shapes[1:])
    up = Upscaler(MODEL, device="cpu", precision="float32", scale=2)
    np.testing.assert_array_equal(up((luma,), grey)[0], up((luma, *neutral), SD)[0])


def test_the_whole_way_keeps_bf16_within_50_db_on_video():
    planes, format = video_frames(), SD.replace(matrix="bt709")
    exact, fast = (Upscaler(MODEL, device="cpu", precision=p)(planes, format) for p in ("float32", "bf16"))
    for a, b in zip(exact, fast, strict=True):
        assert psnr(a, b, 255) > 50


def test_a_frame_does_not_depend_on_its_company(two_threads):
    planes = planes_of(SD, 5)
    for batch in (None, 1, 2, 5):
        together = small(batch=batch)(planes, SD)
        alone = [small()(tuple(p[t : t + 1] for p in planes), SD) for t in range(5)]
        for index, plane in enumerate(together):
            # One frame alone goes in bands, a thread each; float32 sums may differ in their last bit there.
            error = np.abs(plane.astype(int) - np.concatenate([a[index] for a in alone]))
            assert error.max() <= 1 and np.mean(error) < 1e-3
    with torch_threads(1):
        for a, b in zip(small()(planes, SD), together, strict=True):
            np.testing.assert_array_equal(a, b)


class Memory:
    """Stands in for `run_tiled` and is out of memory for more than `frames` at once or tiles above `tile`."""

    def __init__(self, real, frames: int, tile: int | None, error: Exception, fail_calls: tuple[int, ...] = ()) -> None:
        self.real, self.frames, self.tile, self.error, self.fail_calls = real, frames, tile, error, fail_calls
        self.now = self.calls = self.most = 0
        self.lock, self.together = threading.Lock(), threading.Barrier(2)

    def __call__(self, net, rgb, facts, tile, overlap, each=None):
        with self.lock:
            self.calls += 1
            call = self.calls
        if call in self.fail_calls or (self.tile is not None and (tile or 10**6) > self.tile):
            raise self.error
        return self.real(net, rgb, facts, tile, overlap, each)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to "
                 "allocate 1 bytes. Error code 12 (Cannot allocate memory)"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "python", "cpu"])
@pytest.mark.parametrize("fail_calls", [(1,), (2, 3), (6,)])
def test_out_of_memory_halves_the_batch_and_every_pixel_is_right(monkeypatch, two_threads, error, fail_calls):
    planes = planes_of(SD, 6)
    expected = small()(planes, SD)
    memory = Memory(engine.run_tiled, 4, None, error, fail_calls)
    monkeypatch.setattr(engine, "run_tiled", memory)
    up = small(batch=4)
    with pytest.warns(ToolkitWarning, match="1 frame"):
        found = up(planes, SD)
    assert memory.calls > 6
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what was learnt is remembered
        up(planes, SD)


def test_out_of_memory_then_halves_the_tile(monkeypatch):
    format = SD.replace(width=200, height=140)
    planes = planes_of(format, 1)
    expected = small()(planes, format)
    monkeypatch.setattr(engine, "run_tiled", Memory(engine.run_tiled, 1, 60, ERRORS[0]))
    with pytest.warns(ToolkitWarning) as caught:
        found = small()(planes, format)
    assert [str(w.message).partition("; ")[2] for w in caught] == [
        "going on with 1 frame(s) at once in tiles of 100",
        "going on with 1 frame(s) at once in tiles of 50",
    ]
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1 and np.mean(a != b) < 1e-3


def test_at_the_smallest_it_stops_and_names_the_memory(monkeypatch):
    monkeypatch.setattr(engine, "run_tiled", Memory(engine.run_tiled, 1, 1, ERRORS[0]))
    with pytest.warns(ToolkitWarning), pytest.raises(WorkError, match=r"needs about \d+ MiB, \d+ MiB are free"):
        small()(planes_of(SD.replace(width=200, height=140), 3), SD.replace(width=200, height=140))


def test_other_failures_are_not_taken_for_a_lack_of_memory(monkeypatch, two_threads):
    def broken(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(engine, "run_tiled", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        small()(planes_of(SD, 3), SD)


def test_any_number_of_threads_gives_the_same_picture():
    planes = planes_of(SD, 3)
    expected = small()(planes, SD)
    for threads in (2, 3, 5, 8):
        with torch_threads(threads):
            for a, b in zip(small()(planes, SD), expected, strict=True):
                assert np.abs(a.astype(int) - b).max() <= 1 and np.mean(a != b) < 1e-3


MEASURED = """
import sys
import torch
from tests._upscale import made_model, randomised
from toolkit.pipeline import peak_memory
from toolkit.upscale import Upscaler
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact
kind, precision, width, height = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
net = RRDBNet(64, 1, 32) if kind == "dense" else SRVGGNetCompact(64, 4)
torch.set_num_threads(1)
up = Upscaler(made_model(randomised(net, gain=0.1)), device="cpu", precision=precision)
up.rgb(torch.rand((1, 3, 32, 32)))  # the libraries' own memory
before = peak_memory()
up.rgb(torch.rand((1, 3, height, width)))
print(peak_memory() - before >> 20, up.needed(height, width) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")
@pytest.mark.parametrize("kind, precision, size", [
    ("dense", "bf16", (240, 160)), ("dense", "bf16", (480, 320)), ("dense", "float32", (360, 240)),
    ("compact", "bf16", (720, 480)),
])  # fmt: skip
def test_the_memory_that_is_told_is_what_it_takes(kind, precision, size):
    """Too little told, and the system ends the program; too much, and frames are cut into tiles for nothing."""
    words = [sys.executable, "-c", MEASURED, kind, precision, *map(str, size)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    taken, told = map(int, done.stdout.split())
    assert 0.6 * told < taken < 1.1 * told + 8, (taken, told)


def test_a_memory_limit_is_kept_by_tiles():
    format = SD.replace(width=400, height=300)
    model = made_model(randomised(RRDBNet(8, 1, 4), gain=0.1))
    free = Upscaler(model, device="cpu", precision="float32")
    limit = free.needed(300, 400) * 2 // 3  # the pictures alone are nearly half
    up = Upscaler(model, device="cpu", precision="float32", memory=limit)
    batch, tile = up._plan(format)
    assert batch == 1 and tile is not None and up.needed(300, 400, tile) <= limit
    found, expected = up(planes_of(format, 1), format), free(planes_of(format, 1), format)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"scale": 0}, KnobError, "scale is 0"),
        ({"scale": -2}, KnobError, "more than 0"),
        ({"scale": float("nan")}, KnobError, "scale is nan"),
        ({"scale": 17}, KnobError, "at most 16"),
        ({"scale": 2, "height": 1080}, KnobError, "together"),
        ({"height": 0}, KnobError, "height is 0"),
        ({"width": 1}, KnobError, "width is 1"),
        ({"batch": 0}, KnobError, "batch is 0"),
        ({"tile": 5}, KnobError, "tile is 5"),
        ({"overlap": -1}, KnobError, "overlap is -1"),
        ({"device": "tpu"}, KnobError, "auto, cpu or cuda"),
        ({"device": "cpu", "precision": "fp16"}, KnobError, "bf16 or float32"),
        ({"precision": "int8"}, KnobError, "precision is 'int8'"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options, error, word):
    with pytest.raises(error, match=word):
        Upscaler(MODEL, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_cuda_without_a_gpu_is_an_error():
    with pytest.raises(DeviceMissing, match="CUDA was asked for"):
        Upscaler(MODEL, device="cuda")
    assert Upscaler(MODEL, device="auto").device == "cpu"


def test_frames_that_do_not_fit_are_refused():
    up = small()
    for format in (SD.replace(field_order="tff"), SD.replace(matrix="rgb", subsampling=(0, 0))):
        with pytest.raises(PictureError):
            up(planes_of(format), format)
    with pytest.raises(ToolkitError):
        up(planes_of(SD), SD.replace(width=98))
