"""Writing: what goes in comes out, judged by FFmpeg's own program and by PyAV anew."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._media import (
    BURSTS,
    RECIPES,
    burst,
    burst_times,
    ffmpeg,
    folder,
    made,
    real_clip,
    repeated,
    told_dar,
    told_samples,
    told_streams,
    told_times,
    two_tracks,
)
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import OutputFailed, OutputRefused, PictureError, ToolkitWarning
from toolkit.media import matroska
from toolkit.media.pixels import tagged
from toolkit.media.sound import read_sound
from toolkit.media.write import SoundSpec, Writer, zero_of


def copy(clip: Clip, out, *, codec="h264", sound="keep", frames=(0, None), **more) -> Writer:
    if sound not in ("keep", ()):
        kept = enumerate(clip.sound)
        sound = [SoundSpec(t.sample_rate, t.layout, sound, blocks=read_sound(clip, i)) for i, t in kept]
    more = {"preset": "ultrafast"} | more if codec in ("h264", "h265") else more
    with Writer(
        out, clip.format, clip.time_base, rate=clip.rate, codec=codec, sound=sound, source=clip,
        origin=zero_of(clip), **more,
    ) as writer:  # fmt: skip
        for batch in clip.batches(size=5, frames=frames):
            writer.write(batch)
    return writer


#: Every kind of source through every container, picture codec and way to bring the sound.
TRIPS = [
    ("dv_ntsc.avi", "mp4", "h264", "keep"),
    ("dv_ntsc.avi", "mkv", "ffv1", "keep"),
    ("dv_pal.avi", "mov", "h264", "pcm_s16le"),
    ("huffyuv.avi", "mkv", "ffv1", "keep"),
    ("huffyuv.avi", "mp4", "h264", "aac"),
    ("utvideo.avi", "mov", "prores", "keep"),
    ("ffv1.mkv", "mp4", "h264", "flac"),
    ("mpeg2_ac3.mpg", "mp4", "h264", "keep"),
    ("mpeg2_ac3.mpg", "mkv", "h264", "keep"),
    ("mpeg2_ac3.mpg", "mp4", "h264", "aac"),
    ("mpeg2_mp2.mpg", "mkv", "h264", "flac"),
    ("h264_interlaced.mp4", "mkv", "ffv1", "keep"),
    ("h264.mp4", "mp4", "h265", "keep"),
    ("h264.mp4", "mkv", "h265", "keep"),
    ("h264.mp4", "mov", "h264", "aac"),
    ("vfr.mp4", "mp4", "h264", "keep"),
    ("vfr.mp4", "mkv", "h264", "keep"),
    ("vfr.mkv", "mp4", "h264", "aac"),
    ("silent.avi", "mp4", "h264", "keep"),
    ("odd.mkv", "mkv", "ffv1", "keep"),
    ("odd.mkv", "mkv", "ffv1", "pcm_s24le"),
]


@pytest.mark.parametrize("name, container, codec, sound", TRIPS, ids=["-".join(t) for t in TRIPS])
def test_a_round_trip_keeps_what_every_output_keeps(name, container, codec, sound, tmp_path):
    clip, out = Clip.open(made(name)), tmp_path / f"out.{container}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolkitWarning)
        writer = copy(clip, out, codec=codec, sound=sound)
    assert os.listdir(tmp_path) == [out.name]
    # Times: exact, or the nearest millisecond in Matroska.
    zero = zero_of(clip)
    due = [t - zero for t in told_times(made(name))]
    if container == "mkv":
        due = [Fraction(math.floor(t * 1000 + Fraction(1, 2)), 1000) for t in due]
    assert told_times(out) == due
    result = Clip.open(out)
    assert sum(len(b) for b in result.batches()) == RECIPES[name].frames == writer.frames_written
    # The last frame keeps its length.
    if container != "mkv":
        mine, theirs = list(clip.batches())[-1], list(result.batches())[-1]
        assert mine.durations[-1] * clip.time_base == theirs.durations[-1] * result.time_base
    # Aspect and colour.
    assert (told_dar(out) or Fraction(*RECIPES[name].size)) == clip.format.dar
    assert result.format.sar == clip.format.sar
    assert result.format.field_order == ("progressive" if clip.format.field_order == "unknown" and container != "mkv"
                                         else clip.format.field_order)  # fmt: skip
    want = tagged(clip.format)
    for tag in ("matrix", "primaries", "transfer", "range"):
        assert getattr(result.format, tag) == getattr(want, tag), tag
    if want.subsampling == result.format.subsampling == (1, 1):
        assert result.format.siting == want.siting
    # Sound: where it was, against the picture.
    assert len(result.sound) == len(clip.sound)
    if clip.sound:
        heard = burst_times(told_samples(out), 48000)
        assert np.abs(np.subtract(heard, BURSTS) - float(clip.start - float(zero))).max() < 0.001, heard
        blocks = list(read_sound(result))
        again = np.concatenate([b.samples for b in blocks], axis=1)[0]
        heard = [t + blocks[0].start for t in burst_times(again, blocks[0].rate)]
        assert np.abs(np.subtract(heard, BURSTS) - float(clip.start - float(zero))).max() < 0.001, heard


@pytest.mark.parametrize("name", ["dv_ntsc.avi", "huffyuv.avi", "ffv1.mkv", "odd.mkv"])
def test_ffv1_and_kept_pcm_lose_nothing(name, tmp_path):
    clip = Clip.open(made(name))
    copy(clip, tmp_path / "out.mkv", codec="ffv1")
    result = Clip.open(tmp_path / "out.mkv")
    assert result.format.plane_shapes == clip.format.plane_shapes and result.format.bits == clip.format.bits
    for a, b in zip(clip.batches(), result.batches(), strict=True):
        assert all(np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))
    for a, b in zip(read_sound(clip), read_sound(result), strict=True):
        assert np.array_equal(a.samples, b.samples) and a.start == b.start


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_all_tracks_are_kept_with_their_languages(container, tmp_path):
    clip = Clip.open(two_tracks())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        writer = copy(clip, tmp_path / f"out.{container}")
    assert [str(w.message) for w in said if w.category is ToolkitWarning] == writer.notes
    if container == "mp4":
        assert len(writer.notes) == 1 and "track 0 (pcm_s16le)" in writer.notes[0] and "became AAC" in writer.notes[0]
    else:
        assert writer.notes == []
    result = Clip.open(tmp_path / f"out.{container}")
    assert [(s.language or "und", s.sample_rate, s.channels) for s in result.sound] == [
        ("eng", 48000, 2), ("deu", 32000, 1), ("und", 44100, 2),
    ]  # fmt: skip
    for i, track in enumerate(result.sound):
        blocks = list(read_sound(result, i))
        samples = np.concatenate([b.samples for b in blocks], axis=1)[0]
        then = list(read_sound(clip, i))
        before = burst_times(np.concatenate([b.samples for b in then], axis=1)[0], track.sample_rate)
        heard = [t + blocks[0].start for t in burst_times(samples, track.sample_rate)]
        assert np.abs(np.subtract(heard, before) - then[0].start).max() < 0.001


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("codec, container", [("h264", "mp4"), ("h264", "mkv"), ("ffv1", "mkv"), ("prores", "mov")])
def test_interlaced_output_says_its_field_order(order, codec, container, tmp_path):
    form = PictureFormat(64, 48, (1, 0), 10 if codec == "prores" else 8, field_order=order)
    with Writer(tmp_path / f"o.{container}", form, Fraction(1, 25), rate=Fraction(25), codec=codec) as writer:
        writer.write(_noise(form, 6))
    assert Clip.open(tmp_path / f"o.{container}").format.field_order == order
    assert ("top" if order == "tff" else "bottom") in told_streams(tmp_path / f"o.{container}")[0]


def _noise(form: PictureFormat, frames: int, time_base=Fraction(1, 25), first: int = 0) -> Batch:
    rng = np.random.default_rng(frames)
    planes = tuple(rng.integers(16, 235, (frames, *s)).astype(form.dtype) for s in form.plane_shapes)
    return Batch(planes, np.arange(first, first + frames), np.ones(frames, np.int64), time_base, form)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 9000), min_size=2, max_size=12),
    st.sampled_from([Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 12800)]),
    st.integers(0, 5000),
)
def test_any_rising_times_are_kept_exactly_in_mp4(gaps, tick, start):
    form = PictureFormat(32, 32)
    out = folder() / "times.mp4"
    pts = np.cumsum([start, *gaps])
    batch = _noise(form, len(gaps), tick).replace(pts=pts[:-1], durations=np.diff(pts), time_base=tick)
    with Writer(out, form, tick, codec="h264", preset="ultrafast", overwrite=True) as writer:
        writer.write(batch)
    result = Clip.open(out)
    (back,) = result.batches()
    assert [int(t) * result.time_base for t in back.pts] == [int(t) * tick for t in batch.pts]
    assert [int(d) * result.time_base for d in back.durations] == [int(d) * tick for d in batch.durations]


@pytest.mark.parametrize("codec, container", [("aac", "mp4"), ("aac", "mkv"), ("flac", "mkv"), ("flac", "mp4"),
                                              ("pcm_s16le", "mov"), ("pcm_s24le", "mkv")])  # fmt: skip
@pytest.mark.parametrize("start", [0.0, 0.123, 1.0])
def test_pushed_sound_starts_when_it_is_told_to(codec, container, start, tmp_path):
    """Also AAC with its priming: what is played at `start` is what was given for `start`."""
    rate, form = 48000, PictureFormat(32, 32)
    chirp = np.zeros((1, rate), np.float32)
    chirp[0, 4800 : 4800 + len(burst(rate))] = 0.8 * burst(rate)
    chirp[0, 24000 : 24000 + len(burst(rate))] = 0.8 * burst(rate)
    out = tmp_path / f"o.{container}"
    with Writer(out, form, Fraction(1, 25), sound=[SoundSpec(rate, "mono", codec)], preset="ultrafast") as writer:
        writer.write(_noise(form, 25))
        for at in range(0, rate, 7000):
            writer.write_sound(chirp[:, at : at + 7000], start + at / rate)
    heard = burst_times(told_samples(out), rate)
    limit = 0.0006 if container == "mkv" and start == 0.123 else 0.0002
    assert np.abs(np.subtract(heard, (start + 0.1, start + 0.5))).max() < limit, heard


def test_a_gap_in_the_sound_becomes_silence_of_that_length(tmp_path):
    rate, form = 48000, PictureFormat(32, 32)
    with Writer(tmp_path / "o.mkv", form, Fraction(1, 25), sound=[SoundSpec(rate, "mono", "pcm_s16le")]) as writer:
        writer.write(_noise(form, 25))
        writer.write_sound(np.full((1, 4800), 0.5, np.float32), 0.0)
        writer.write_sound(np.full((1, 4800), 0.5, np.float32), 0.5)
        writer.write_sound(np.full((1, 4800), 0.25, np.float32), 0.55)  # half of it lies over what is there
    heard = told_samples(tmp_path / "o.mkv")
    want = np.zeros(31200)
    want[:4800] = want[24000:28800] = 0.5
    want[28800:31200] = 0.25
    assert np.allclose(heard, want, atol=1e-4)


@pytest.mark.parametrize("sound, container", [("keep", "mp4"), ("flac", "mp4"), ("keep", "mkv")])
def test_a_range_brings_its_own_sound(sound, container, tmp_path):
    """Frames 8 to 18: the chirp at 0.4 s comes 0.08 s in, and the one at 0.8 s is not there."""
    clip = Clip.open(made("h264.mp4"))
    out = tmp_path / f"o.{container}"
    tracks = "keep" if sound == "keep" else [SoundSpec(48000, "stereo", sound, blocks=read_sound(clip))]
    batches = list(clip.batches(frames=(8, 18)))
    zero = int(batches[0].pts[0]) * clip.time_base
    until = int(batches[-1].pts[-1] + batches[-1].durations[-1]) * clip.time_base
    with Writer(out, clip.format, clip.time_base, sound=tracks, source=clip, origin=zero, until=until) as writer:
        for batch in batches:
            writer.write(batch)
    samples = told_samples(out)
    assert told_times(out) == [Fraction(i, 25) for i in range(10)]  # not pushed back by what comes before zero
    assert len(samples) / 48000 == pytest.approx(0.4, abs=0.025)
    assert abs(burst_times(samples, 48000)[0] - 0.08) < 0.001 or abs(burst_times(samples, 48000)[1] - 0.08) < 0.001
    assert np.abs(samples[int(0.2 * 48000) :]).max() < 0.05


def test_a_range_of_pcm_is_cut_to_the_sample(tmp_path):
    """Frames 37 to 70 of a capture whose PCM comes in packets of a third of a second."""
    source, out = folder() / "chunks.avi", tmp_path / "o.mkv"
    if not source.exists():
        tone = "aevalsrc='0.5*sin(2*PI*(100+150*t)*t)':s=48000:d=4"
        ffmpeg("-i", real_clip("bikes.mp4"), "-f", "lavfi", "-i", tone, "-vf", "scale=96:64", "-frames:v", 100,
               "-pix_fmt", "yuv422p", "-c:v", "huffyuv", "-af", "asetnsamples=16000", "-c:a", "pcm_s16le",
               source)  # fmt: skip
    clip = Clip.open(source)
    batches = list(clip.batches(frames=(60, 85)))
    zero, until = Fraction(60, 25), Fraction(85, 25)
    with Writer(out, clip.format, clip.time_base, sound="keep", source=clip, origin=zero, until=until) as writer:
        for batch in batches:
            writer.write(batch)
    mine, theirs = told_samples(out), told_samples(source)[round(zero * 48000) : round(until * 48000)]
    assert len(mine) == len(theirs) and np.array_equal(mine, theirs)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_sound_goes_on_where_a_dvds_parts_were_joined(container, tmp_path):
    path = folder() / "joined_w.mpg"
    path.write_bytes(made("mpeg2_ac3.mpg").read_bytes() * 2)
    clip = Clip.open(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy(clip, tmp_path / f"o.{container}")
    result = Clip.open(tmp_path / f"o.{container}")
    blocks = list(read_sound(result))
    assert blocks[-1].end == pytest.approx(2.432, abs=0.01)
    assert len(told_times(result.path)) == 60


# -- depth and chroma --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "have, codec, get",
    [
        (((2, 0), 8), "h264", ((1, 0), 8)),
        (((1, 1), 8), "prores", ((1, 0), 10)),
        (((0, 0), 16), "h264", ((0, 0), 10)),
        ((None, 8), "prores", ((1, 0), 10)),
        (((1, 0), 9), "h264", ((1, 0), 10)),
        (((1, 1), 16), "ffv1", ((1, 1), 16)),
    ],
)
def test_frames_are_fitted_to_the_codec_losing_least(have, codec, get, tmp_path):
    form = PictureFormat(64, 48, *have)
    out = tmp_path / "o.mov" if codec == "prores" else tmp_path / "o.mkv"
    with Writer(out, form, Fraction(1, 25), codec=codec, rate=Fraction(25)) as writer:
        flat = tuple(np.full((3, *s), 100 << (form.bits - 8), form.dtype) for s in form.plane_shapes)
        writer.write(_noise(form, 3).replace(planes=flat))
    result = Clip.open(out)
    assert (result.format.subsampling, result.format.bits) == get
    (back,) = result.batches()
    want = 100 << (result.format.bits - 8)
    assert np.abs(back.planes[0].astype(int) - want).max() <= 1 << (result.format.bits - 8)


def test_a_delivery_layout_can_be_asked_for(tmp_path):
    form = PictureFormat(64, 48, (1, 0))
    with Writer(tmp_path / "o.mp4", form, Fraction(1, 25), layout=((1, 1), 8)) as writer:
        writer.write(_noise(form, 3))
    assert Clip.open(tmp_path / "o.mp4").format.subsampling == (1, 1)
    with pytest.raises(OutputRefused, match="no layout"):
        Writer(tmp_path / "p.mp4", form, Fraction(1, 25), layout=((2, 2), 8))
    with pytest.raises(OutputRefused, match="across its fields"):
        Writer(tmp_path / "p.mp4", form.replace(field_order="tff"), Fraction(1, 25), layout=((1, 1), 8))
    with pytest.raises(OutputRefused, match="progressive only"):
        Writer(tmp_path / "p.mp4", form.replace(field_order="tff"), Fraction(1, 25), codec="h265")
    assert os.listdir(tmp_path) == ["o.mp4"]


def test_the_batch_is_not_touched_and_may_be_read_only(tmp_path):
    form = PictureFormat(64, 48)
    batch = _noise(form, 4)
    for plane in batch.planes[:2]:
        plane.flags.writeable = False
    before = [p.copy() for p in batch.planes]
    with Writer(tmp_path / "o.mp4", form, Fraction(1, 25), crf=0, preset="ultrafast") as writer:
        writer.write(batch)
        for plane in batch.planes[2:]:
            plane[:] = 0  # the writer must be done with it
    (back,) = Clip.open(tmp_path / "o.mp4").batches()
    assert all(np.array_equal(a, b) for a, b in zip(before, back.planes, strict=True))


def test_matroska_carries_any_aspect(tmp_path):
    for sar in (Fraction(8, 9), Fraction(10, 11), Fraction(59, 54), Fraction(4320, 4739), Fraction(64, 45)):
        form = PictureFormat(720, 480, (1, 0), sar=sar)
        out = tmp_path / f"{sar.numerator}.mkv"
        with Writer(out, form, Fraction(1, 25), codec="ffv1") as writer:
            writer.write(_noise(form, 1))
        assert told_dar(out) == form.dar
        assert matroska.reserve.encode() not in out.read_bytes()
        assert _tracks_checksum_holds(out.read_bytes())
        ffmpeg("-v", "warning", "-i", out, "-f", "null", "-")
    square = form.replace(sar=Fraction(1))  # as FFmpeg's muxer leaves it
    with Writer(tmp_path / "square.mkv", square, Fraction(1, 25), codec="ffv1") as writer:
        writer.write(_noise(square, 1))
    assert _tracks_checksum_holds((tmp_path / "square.mkv").read_bytes())


def _tracks_checksum_holds(data: bytes) -> bool:
    """The Tracks element begins with the CRC-32 of what follows in it, little-endian (RFC 8794, 11.3.1)."""
    segment = next(c for i, _, c, _ in matroska.children(data) if i == 0x18538067)
    start, end = next((c, e) for i, _, c, e in matroska.children(data, segment) if i == 0x1654AE6B)
    assert data[start] == 0xBF and data[start + 1] == 0x84
    return zlib.crc32(data[start + 6 : end]) == int.from_bytes(data[start + 2 : start + 6], "little")


# -- refusals and failures ---------------------------------------------------------------------------------------


def test_what_must_not_be_written_is_refused_before_any_work(tmp_path):
    clip = Clip.open(made("h264.mp4"))
    there = tmp_path / "there.mp4"
    there.write_bytes(b"mine")
    locked = tmp_path / "locked"
    locked.mkdir()
    link = tmp_path / "link.mp4"
    link.symlink_to(clip.path)
    form, tick = clip.format, clip.time_base
    cases = [
        (tmp_path / "none" / "o.mp4", {}, "does not exist"),
        (tmp_path / "o.xyz", {}, "which container"),
        (there, {}, "exists already"),
        (clip.path, {"source": clip, "overwrite": True}, "the input itself"),
        (link, {"source": clip, "overwrite": True}, "the input itself"),
        (tmp_path / "o.mp4", {"codec": "ffv2"}, "no picture codec 'ffv2'"),
        (tmp_path / "o.mp4", {"codec": "prores"}, "refused"),
        (tmp_path / "o.mp4", {"options": {"cfr": 18}}, "no option cfr"),
        (tmp_path / "o.mp4", {"preset": "fastest"}, "refused"),
        (tmp_path / "o.mp4", {"sound": [SoundSpec(48000, "stereo", "wma")]}, "no sound codec 'wma'"),
        (tmp_path / "o.mp4", {"sound": [SoundSpec(12345, "stereo", "aac")]}, "refused"),
    ]
    before = clip.path.read_bytes()
    for path, more, said in cases:
        with pytest.raises(OutputRefused, match=said) as caught:
            Writer(path, form, tick, **more)
        assert caught.value.exit_code == 2 and "nothing was written" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["link.mp4", "locked", "there.mp4"]
    assert there.read_bytes() == b"mine" and clip.path.read_bytes() == before
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputRefused, match="is a folder"):
        Writer(tmp_path / "folder.mp4", form, tick, overwrite=True)


def test_an_unwritable_folder_is_refused(tmp_path, monkeypatch):
    clip = Clip.open(made("h264.mp4"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputRefused, match="may not be written to"):
        Writer(tmp_path / "o.mp4", clip.format, clip.time_base)


_FILL = """
import resource, signal, sys
from fractions import Fraction
from toolkit.clip import Clip
from toolkit.errors import OutputFailed
from toolkit.media.write import Writer
clip = Clip.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    with Writer(sys.argv[2], clip.format, clip.time_base, codec=sys.argv[3], sound="keep", source=clip) as w:
        for b in clip.batches():
            w.write(b)
except OutputFailed as e:
    print(e.exit_code, e)
"""


@pytest.mark.parametrize("codec, limit", [("ffv1", 400_000), ("ffv1", 5000), ("h264", 50_000)])
def test_a_full_disk_is_said_and_leaves_nothing(codec, limit, tmp_path):
    out = tmp_path / ("o.mkv" if codec == "ffv1" else "o.mp4")
    words = [sys.executable, "-W", "ignore", "-c", _FILL, str(made("huffyuv.avi")), str(out), codec, str(limit)]
    done = subprocess.run(words, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 writing") and "free some space" in done.stdout, done.stdout + done.stderr
    assert "unfinished file was removed" in done.stdout
    assert os.listdir(tmp_path) == []


def test_leaving_by_an_exception_leaves_nothing_and_keeps_the_old_file(tmp_path):
    form, out = PictureFormat(64, 48), tmp_path / "o.mp4"
    out.write_bytes(b"old")
    for error in (RuntimeError("stop"), KeyboardInterrupt()):
        with (
            pytest.raises(type(error)),
            Writer(out, form, Fraction(1, 25), sound=[SoundSpec(48000)], overwrite=True) as writer,
        ):
            writer.write(_noise(form, 30))
            raise error
        assert os.listdir(tmp_path) == ["o.mp4"] and out.read_bytes() == b"old"
    with Writer(out, form, Fraction(1, 25), overwrite=True) as writer:
        writer.write(_noise(form, 3))
        assert out.read_bytes() == b"old"  # until all is written
    assert len(told_times(out)) == 3


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    form, out = PictureFormat(64, 48), tmp_path / "o.mp4"
    with pytest.raises(OutputFailed, match="appeared"), Writer(out, form, Fraction(1, 25)) as writer:
        writer.write(_noise(form, 3))
        out.write_bytes(b"someone else's")
    assert os.listdir(tmp_path) == ["o.mp4"] and out.read_bytes() == b"someone else's"


def test_a_batch_of_another_format_is_refused(tmp_path):
    form = PictureFormat(64, 48)
    with pytest.raises(PictureError, match="came to a file opened for"), Writer(
        tmp_path / "o.mp4", form, Fraction(1, 25)
    ) as writer:
        writer.write(_noise(form.replace(width=32), 3))
    assert os.listdir(tmp_path) == []


def test_memory_does_not_grow_with_length():
    once, tenfold = repeated("h264.mp4", 2), repeated("h264.mp4", 20)  # once: enough for every thread of the decoder
    code = (
        "import sys, psutil\nfrom toolkit.clip import Clip\nfrom toolkit.media.write import Writer\n"
        "c = Clip.open(sys.argv[1])\n"
        "with Writer(sys.argv[2], c.format, c.time_base, sound='keep', source=c, preset='ultrafast', threads=1,\n"
        "            overwrite=True) as w:\n"
        "    for b in c.batches(size=4): w.write(b)\n"
        "print(w.frames_written, psutil.Process().memory_info().rss)\n"
    )
    seen = []
    for path in (once, tenfold):
        words = [sys.executable, "-c", code, str(path), str(folder() / "flat.mp4")]
        done = subprocess.run(words, capture_output=True, timeout=200, check=True)
        seen.append(tuple(map(int, done.stdout.split())))
    (few, small), (many, big) = seen
    assert many == 10 * few
    assert big - small < 15e6, f"{few} frames: {small / 1e6:.1f} MB, {many} frames: {big / 1e6:.1f} MB"


def test_real_footage_with_its_own_sound(tmp_path):
    clip = Clip.open(real_clip("bigbuckbunny.mp4"))
    copy(clip, tmp_path / "o.mp4", frames=(0, 40))
    assert told_times(tmp_path / "o.mp4") == told_times(clip.path)[:40]
    mine, theirs = told_samples(tmp_path / "o.mp4"), told_samples(clip.path)
    n = min(len(mine), len(theirs))
    assert n > 48000 and np.abs(mine[:n] - theirs[:n]).max() < 1e-4


def test_x264_works_on_whole_frames_at_once(tmp_path):
    """As FFmpeg has it; slices, PyAV's choice, cost bytes.  x264 writes its settings into the file."""
    form = PictureFormat(64, 48, (1, 1), field_order="progressive")
    planes = tuple(np.full((3, *shape), 90, np.uint8) for shape in form.plane_shapes)
    batch = Batch(planes, np.arange(3), np.ones(3, np.int64), Fraction(1, 25), form)
    with Writer(tmp_path / "o.mkv", form, Fraction(1, 25), rate=Fraction(25), threads=2) as writer:
        writer.write(batch)
    said = (tmp_path / "o.mkv").read_bytes()
    assert b" threads=2 " in said and b" sliced_threads=0 " in said
