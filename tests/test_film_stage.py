"""deinterlace.film: film comes back frame by frame, at its own rate and times; what is no film is deinterlaced."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest

import toolkit
from kernels.measure.combing import combing
from tests import _media as m
from tests._segments import interrupted
from toolkit import tape as tapes
from toolkit.clip import Batch, Clip
from toolkit.errors import KnobError, PictureError
from toolkit.pipeline import Pipeline
from toolkit.stages import Context, deinterlace
from toolkit.stages.memory import lead_in
from toolkit.tape import Tape

FILM = Fraction(24000, 1001)
SIZE = (240, 160)
THREE_TWO = deinterlace.film(cadence="3:2")


@functools.cache
def film(clip: str = "bikes.mp4", first: int = 20, count: int = 48) -> Batch:
    """Real frames, small, as film: every one different."""
    taken = list(Clip.open(m.real_clip(clip)).batches(frames=(first, first + count)))
    to = Tape().format(field_order="progressive").replace(width=SIZE[0], height=SIZE[1])
    frames = Batch.join(list(Tape().prepare(taken, motion="retime", to=to)))
    return frames.replace(time_base=1 / FILM)


@functools.cache
def pulldown(clip: str = "bikes.mp4", **faults) -> Batch:
    """The film as video: its fields in threes and twos."""
    parts = list(Tape.only(**faults).stream([film(clip)], to=film(clip).format))
    return Batch.join([p.tape for p in parts])


def same_frames(made: Batch, source: Batch) -> list[int]:
    """For each frame made the number of the one of `source` that it equals in every plane, -1 where it is none's."""
    return [
        next(
            (k for k in range(len(source))
             if all(np.array_equal(p[n], q[k]) for p, q in zip(made.planes, source.planes, strict=True))),
            -1,
        )
        for n in range(len(made))
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("cut", range(5))
def test_pulldown_becomes_film_at_every_phase(cut, order):
    video = pulldown(field_order=order)[cut:]
    made = THREE_TWO(video)
    whole = len(video) // 5 * 4
    found = same_frames(made[1 : whole - 1], film())  # at the ends of the clip a field may be missing
    assert found == list(range(found[0], found[0] + len(found))) and found[0] <= 4
    assert made.time_base == video.time_base / 4 and not made.format.interlaced
    times = [int(t) * made.time_base for t in made.pts[:whole]]
    assert times == [int(video.pts[0]) * video.time_base + k / FILM for k in range(whole)]
    ends = made.pts + made.durations
    assert np.array_equal(ends[:-1], made.pts[1:])
    assert ends[-1] * made.time_base == len(video) * Fraction(1001, 30000) + times[0]


def test_the_same_frames_whatever_the_batches():
    video = pulldown(luma_noise=3.0)
    whole = THREE_TWO(video)
    for size in (1, 7):
        parts = iter([video[i : i + size] for i in range(0, len(video), size)])
        again = Batch.join(list(THREE_TWO.stage.apply(parts, video.format, THREE_TWO.knobs, Context())))
        assert np.array_equal(again.pts, whole.pts)
        assert all(np.array_equal(a, b) for a, b in zip(again.planes, whole.planes, strict=True))


def test_noise_does_not_hide_the_film():
    made = THREE_TWO(pulldown(luma_noise=4.0))
    truth = film().planes[0]
    apart = [np.abs(truth.astype(int) - f).mean(axis=(1, 2)).argmin() for f in made.planes[0][2:-4]]
    assert apart == list(range(2, 2 + len(apart)))


def test_video_in_between_is_deinterlaced_and_keeps_its_time():
    """A stretch of real fields between two of film: no combing is left in it, and the film around is still whole."""
    before, after = pulldown()[:25], pulldown("bigbuckbunny.mp4")[:25]
    fields = film("bikes.mp4", 100, 50).replace(pts=np.arange(50), time_base=Fraction(1001, 60000))
    video = Tape.ideal().record(fields).tape
    joined = Batch.join([before, video, after])
    joined = joined.replace(pts=2 * np.arange(75), durations=np.full(75, 2))
    made = THREE_TWO(joined)
    assert len(made) == 60 and np.array_equal(np.diff(made.pts), np.full(59, made.durations[0]))
    assert same_frames(made[:18], film()) == list(range(18))
    assert min(same_frames(made[42:58], film("bigbuckbunny.mp4"))) >= 0
    middle = made.planes[0][22:38]
    assert combing(joined.planes[0][28:48]).mean() > 10 * combing(middle).mean()


@pytest.mark.parametrize("shift", [0, 1])
def test_two_fields_a_frame_come_back_whole_and_none_is_dropped(shift):
    frames = film(count=24)
    doubled = frames.replace(
        planes=tuple(p.repeat(2, axis=0)[shift : 46 + shift] for p in frames.planes),
        pts=np.arange(46), durations=np.ones(46, np.int64), time_base=Fraction(1, 50),
    )  # fmt: skip
    video = Tape.ideal("pal").record(doubled).tape
    made = deinterlace.film(cadence="2:2")(video)
    assert same_frames(made[1:], frames) == list(range(1, 23))
    assert np.array_equal(made.pts, video.pts) and made.time_base == video.time_base


def test_progressive_clips_pass_and_the_cadence_must_be_known():
    assert np.array_equal(deinterlace.film()(film()).planes[0], film().planes[0])
    with pytest.raises(KnobError, match="cadence"):
        deinterlace.film()(pulldown())
    with pytest.raises(KnobError, match="3:2"):
        deinterlace.film(cadence="3:3")


def test_runs_that_go_on_begin_at_a_whole_group():
    steps = Pipeline([THREE_TWO, toolkit.stages.stage("denoise.temporal")(radius=3)])
    formats = [pulldown().format, *[film().format] * 2]
    begins = lead_in(steps, formats, 50)
    assert begins[1:] == [37, 40]
    assert begins[0] % 5 == 0 and begins[0] <= 37 * 5 // 4 - THREE_TWO.stage.halo({})


# From file to file


@pytest.fixture(scope="module")
def reel(tmp_path_factory):
    """Forty frames of film with sound, and the tape of it."""
    folder = tmp_path_factory.mktemp("film")
    m.ffmpeg(
        "-i", m.real_clip("bikes.mp4"), "-f", "lavfi", "-i", "aevalsrc='0.3*sin(2765*t)*gt(mod(t,0.5),0.4)':s=48000",
        "-vf", "setpts=N/(24000/1001)/TB,scale=720:480,setsar=8/9", "-r", "24000/1001", "-frames:v", "40",
        "-pix_fmt", "yuv422p", "-colorspace", "smpte170m", "-c:v", "ffv1", "-c:a", "pcm_s16le", "-t", "1.7",
        folder / "film.mkv",
    )  # fmt: skip
    tapes.simulate(folder / "film.mkv", folder / "tape.mkv", truth=folder / "fields.mkv", ideal=True)
    return folder


def test_a_tape_of_film_becomes_the_film(reel, tmp_path):
    """The cadence is measured; frames are the film's to the bit, their times exact, and the sound is in its place."""
    run = toolkit.restore(
        reel / "tape.mkv", tmp_path / "out.mkv", pipeline=Pipeline([deinterlace.film()]), audio="keep",
        write={"codec": "ffv1"},
    )  # fmt: skip
    assert any("3:2" in note for note in run.notes) and all(c.ok for c in run.checks)
    assert run.pipeline[0].knobs["cadence"] == "3:2"
    out, fields = Clip.open(tmp_path / "out.mkv"), Clip.open(reel / "fields.mkv")
    assert out.rate == FILM
    made, source = (Batch.join(list(c.batches())) for c in (out, fields))
    whole = run.frames_in // 5 * 4
    shown = [round(float(t) * 60000 / 1001) for t in made.times[:whole]]  # the field on display at that time
    for n in range(1, whole - 1):
        assert any(np.array_equal(made.planes[0][n], source.planes[0][k]) for k in range(shown[n] - 2, shown[n] + 3)), n
    assert np.abs(np.diff(made.times[:whole]) - 1001 / 24000).max() < 0.002  # Matroska's clock ticks in ms


def test_an_interrupted_run_ends_in_the_same_bytes(reel, tmp_path):
    words = {"pipeline": Pipeline([deinterlace.film()]), "audio": "none", "segment": 0.7}
    words["write"] = {"codec": "h264", "preset": "ultrafast", "threads": 2}
    toolkit.restore(reel / "tape.mkv", tmp_path / "a.mp4", resume=True, **words)
    interrupted(1, reel / "tape.mkv", tmp_path / "b.mp4", **words)
    toolkit.restore(reel / "tape.mkv", tmp_path / "b.mp4", resume=True, **words)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_tape_without_film_is_told_so(tmp_path):
    with pytest.raises(PictureError, match="no film.*bwdif"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mkv", pipeline=Pipeline([deinterlace.film()]))
    assert not list(tmp_path.iterdir())
