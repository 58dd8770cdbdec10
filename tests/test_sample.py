"""Samples: the frames asked for and no others, and results equal to those of the whole tape."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests import _media as m
from toolkit import tape
from toolkit.clip import Batch, Clip
from toolkit.compare import compare, contact_sheet, sample
from toolkit.errors import RequestError
from toolkit.pipeline import Pipeline
from toolkit.stages import Context, deinterlace, denoise, upscale

PIPELINES = [
    Pipeline([deinterlace.bwdif(), denoise.temporal(radius=3)]),
    Pipeline([deinterlace.yadif(rate="frame"), denoise.nlmeans(radius=1, search=3), upscale.lanczos(scale=1.5)]),
    Pipeline([deinterlace.bob(), denoise.hqdn3d()]),
]


def whole(path, pipeline, fmt) -> Batch:
    frames = Batch.join([b.replace(format=fmt) for b in Clip.open(path).batches()])
    pieces = iter([frames[i : i + 7] for i in range(0, len(frames), 7)])
    return Batch.join(list(pipeline.stream(pieces, fmt, Context())))


@pytest.mark.parametrize("pipeline", PIPELINES, ids=repr)
def test_results_are_those_of_the_whole_tape(pipeline):
    path = m.made("huffyuv.avi")
    some = sample(path, bursts=3, length=4, pipeline=pipeline)
    assert some.format.field_order == "tff"  # the file does not say; measured once
    all_of_it = whole(path, pipeline, some.format)
    recursive = any(s.name == "denoise.hqdn3d" for s in pipeline)
    through = some.through(pipeline)
    assert len(through) == 12 * (2 if pipeline[0].knobs["rate"] == "field" else 1)
    for burst in through.bursts:
        got = burst.own
        at = int(np.argmin(np.abs(all_of_it.times - got.times[0])))
        want = all_of_it[at : at + len(got)]
        assert np.abs(want.times - got.times).max() < 1e-9 and got.format == want.format
        apart = [np.abs(a.astype(int) - b).max() for a, b in zip(got.planes, want.planes, strict=True)]
        assert max(apart) <= (1 if recursive else 0), apart


def test_too_few_frames_around_a_burst_are_refused():
    some = sample(m.made("huffyuv.avi"), bursts=1, length=4, halo=(1, 1))
    with pytest.raises(RequestError, match="1 frames before and 1 after.*at least 3 and 3"):
        some.through(PIPELINES[0])


@pytest.mark.parametrize("name", ["huffyuv.avi", "h264_interlaced.mp4", "mpeg2_ac3.mpg", "vfr.mp4"])
def test_a_burst_lies_around_the_time_asked_for(name):
    clip = Clip.open(m.made(name))
    frames = Batch.join(list(clip.batches()))
    middle = float(frames.times[17])
    some = sample(clip, [middle], length=5, halo=(3, 2))
    (burst,) = some.bursts
    own = burst.own
    assert own.times[0] <= middle <= own.times[-1] and len(own) == 5 and len(some) == 5
    assert burst.first == 3 and len(burst.frames) == 10
    at = int(np.searchsorted(frames.times, own.times[0] - 1e-6))
    for plane, all_of_it in zip(burst.frames.planes, frames.planes, strict=True):
        assert np.array_equal(plane, all_of_it[at - 3 : at + 7])


def test_only_what_is_looked_at_is_kept_and_nothing_is_written(monkeypatch, tmp_path):
    from toolkit.media import read

    taken = []
    copy = read.copy_planes
    monkeypatch.setattr(read, "copy_planes", lambda *a: taken.append(1) or copy(*a))
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir(m.folder()))
    sample(m.made("huffyuv.avi"), [0.5], length=2, halo=(0, 0), field_order="tff")
    assert len(taken) <= 4  # the two frames, one read ahead for the second one's length
    assert not list(tmp_path.iterdir()) and set(os.listdir(m.folder())) - before <= {"huffyuv.avi"}


def test_single_frames_at_even_distance():
    some = sample(m.made("h264_interlaced.mp4"), every=10, length=1, halo=(0, 0))
    assert [round(float(b.own.times[0]) * 25) for b in some.bursts] == [5, 15, 25]
    sheet = contact_sheet({"tape": some}, [0.2, 1.0], height=96)
    assert sheet.height > 2 * 96


def test_a_short_clip_is_taken_whole_and_times_outside_are_refused():
    path = m.made("huffyuv.avi")
    assert len(sample(path, bursts=3, length=12)) == 30
    with pytest.raises(RequestError, match="no frame at 7.000 s.*from 0.000 to 1.001"):
        sample(path, [7.0])
    with pytest.raises(RequestError, match="MiB.*at most 2048 MiB"):
        sample(path, [0.5] * 400)
    with pytest.raises(RequestError, match="length is 0"):
        sample(path, length=0)


def test_the_truth_is_taken_at_the_same_moments_and_compares():
    recorder, clean = tape.Tape("ntsc", seed=3), tape.demo(frames=24)
    made = list(recorder.stream(clean.batches(size=8)))
    some = sample([r.tape for r in made], bursts=2, length=4)
    truth = some.beside([r.truth for r in made])
    assert [len(b.own) for b in truth.bursts] == [8, 8]
    result = some.through(Pipeline([deinterlace.bwdif()]))
    for a, b in zip(truth.bursts, result.bursts, strict=True):
        assert np.abs(a.own.times - b.own.times).max() < 1e-9
    assert compare(truth, result, align="times").frames == 16
    with pytest.raises(RequestError, match="has no frames from"):
        some.beside([made[0].truth])


def test_the_key_follows_the_frames():
    path = m.made("huffyuv.avi")
    one, same, other = (sample(path, [t], length=2) for t in (0.3, 0.3, 0.5))
    assert one.key == same.key != other.key
    assert one.origin["source"] == str(path) and sample(**one.origin).key == one.key
