"""`verify` must pass what is right and name what is wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._media import ffmpeg, folder, made, real_clip, two_tracks
from toolkit.clip import Clip
from toolkit.media.pixels import tagged
from toolkit.media.sound import read_sound
from toolkit.media.verify import offset_between, verify
from toolkit.media.write import SoundSpec, Writer, zero_of


def _copied(clip, out, sound="keep", **more):
    with Writer(out, clip.format, clip.time_base, rate=clip.rate, sound=sound, source=clip, origin=zero_of(clip),
                preset="ultrafast", **more) as writer:  # fmt: skip
        times = []
        for batch in clip.batches():
            writer.write(batch)
            times += [int(t) * clip.time_base - zero_of(clip) for t in batch.pts]
    return times


def _told(checks):
    return {c.name: c.ok for c in checks}


@pytest.mark.filterwarnings("ignore::toolkit.errors.ToolkitWarning")
@pytest.mark.parametrize("name", ["dv_ntsc.avi", "mpeg2_ac3.mpg", "vfr.mp4", "huffyuv.avi", "silent.avi"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_right_file_passes(name, container, tmp_path):
    clip, out = Clip.open(made(name)), tmp_path / f"o.{container}"
    times = _copied(clip, out)
    checks = verify(out, expected_pts=times, expected_format=clip.format, source=clip, origin=zero_of(clip))
    assert all(c.ok for c in checks), "\n".join(map(str, checks))
    assert ("sound 0 offset" in _told(checks)) == bool(clip.sound)
    if clip.sound:
        assert "measured" in checks[-1].found


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    path = folder() / "talk.mp4"
    ffmpeg("-i", real_clip("bigbuckbunny.mp4"), "-vf", "scale=160:90", "-c:a", "copy", path)
    clip = Clip.open(path)
    out = tmp_path_factory.mktemp("right") / "o.mp4"
    return clip, out, _copied(clip, out)


def test_wrong_times_counts_and_tags_are_named(right):
    clip, out, times = right

    def failed(pts=times, form=clip.format):
        return [c.name for c in verify(out, expected_pts=pts, expected_format=form) if not c.ok]

    form = tagged(clip.format)
    assert failed() == []
    assert failed(pts=times[:-1]) == ["frames"]
    assert failed(pts=[*times, times[-1] + 1]) == ["frames"]
    assert failed(pts=[t + Fraction(1, 12800) for t in times]) == ["presentation times"]
    assert failed(pts=[*times[:-1], times[-1] + Fraction(1, 1000)]) == ["presentation times"]
    assert failed(form=clip.format.replace(sar=Fraction(12, 11))) == ["display aspect"]
    assert failed(form=clip.format.replace(sar=Fraction(10001, 10000))) == []  # less than half a pixel
    assert failed(form=form.replace(matrix="bt709")) == ["colour matrix"]
    assert failed(form=form.replace(range="full")) == ["colour range"]
    assert failed(form=form.replace(primaries="bt2020")) == ["colour primaries / transfer"]


@pytest.mark.parametrize("late", [-0.02, -0.0011, 0.0, 0.0004, 0.0012, 0.04])
def test_displaced_sound_is_found_and_measured(late, right, tmp_path):
    clip, _, _ = right
    out = tmp_path / "o.mkv"
    blocks = (type(b)(b.samples, b.start + late, b.rate) for b in read_sound(clip, span=(0.05, None)))
    track = clip.sound[0]
    times = _copied(clip, out, [SoundSpec(track.sample_rate, track.layout, "flac", blocks=blocks)])
    check = verify(out, expected_pts=times, expected_format=clip.format, source=clip)[-1]
    assert check.name == "sound 0 offset" and "measured at 3 places" in check.found, check
    assert float(check.found.split()[0]) == pytest.approx(late * 1000, abs=0.55)  # Matroska's milliseconds
    if abs(late) < 0.0003 or abs(late) > 0.0016:
        assert check.ok == (abs(late) < 0.001), check
    moved = verify(out, expected_pts=times, expected_format=clip.format, source=clip, delay=late)[-1]
    assert moved.ok, moved


def test_lost_samples_in_the_middle_are_found(right, tmp_path):
    clip, _, _ = right
    blocks, track = list(read_sound(clip, block=24000)), clip.sound[0]
    shorter = [*blocks[:4], *(type(b)(b.samples, b.start - 0.01, b.rate) for b in blocks[4:])]
    shorter[4] = type(shorter[4])(blocks[4].samples[:, 480:], blocks[4].start, track.sample_rate)
    times = _copied(clip, tmp_path / "o.mp4", [SoundSpec(track.sample_rate, track.layout, "flac", blocks=shorter)])
    check = verify(tmp_path / "o.mp4", expected_pts=times, expected_format=clip.format, source=clip)[-1]
    assert not check.ok and check.found.startswith("-10.0"), check


def test_a_missing_track_is_named(tmp_path):
    clip = Clip.open(two_tracks())
    times = _copied(clip, tmp_path / "all.mkv")
    ffmpeg("-i", tmp_path / "all.mkv", "-map", "0:v", "-map", "0:a:0", "-c", "copy", tmp_path / "one.mkv")

    def failed(name, **more):
        checks = verify(tmp_path / name, expected_pts=times, expected_format=clip.format, source=clip, **more)
        return [c.name for c in checks if not c.ok]

    assert failed("all.mkv") == []
    assert failed("one.mkv") == ["sound tracks"]
    assert failed("one.mkv", sound=1) == []


@settings(max_examples=25)
@given(st.floats(-0.09, 0.09), st.sampled_from([8000, 32000, 48000]), st.integers(0, 99), st.floats(0.05, 4))
def test_offset_is_measured_to_a_fraction_of_a_sample(late, rate, seed, gain):
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(size=2 * rate)) * np.linspace(1, 0, rate + 1)
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(2 * rate, 1 / rate) * late)
    a, b = np.fft.irfft(spectrum), gain * np.fft.irfft(spectrum * turn) + rng.normal(size=2 * rate) * 0.01
    found = offset_between(a, b, rate)
    assert abs(found - late) < 0.2 / rate


def test_silence_hum_and_strangers_have_no_offset():
    rng = np.random.default_rng(1)
    t = np.arange(96000) / 48000
    noise, hum = rng.normal(size=96000), np.sin(2 * np.pi * 50 * t)
    assert offset_between(np.zeros(96000), noise, 48000) is None
    assert offset_between(hum, np.roll(hum, 5), 48000) is None
    assert offset_between(noise, rng.normal(size=96000), 48000) is None
    assert abs(offset_between(noise, np.roll(noise, 7), 48000) - 7 / 48000) < 1e-6
