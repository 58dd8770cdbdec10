"""Sound of files: tracks, holes, drift, memory, and what is left on disk."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._audio import in_blocks, late, programme, write_clip
from toolkit import scratch
from toolkit.audio import Cleaner, choose_track, clean, clean_samples
from toolkit.audio.drift import Sync, against, by_events, measure_drift
from toolkit.audio.resample import Stretcher
from toolkit.audio.spool import Spool
from toolkit.audio.tracks import clean_clip, in_time
from toolkit.clip import Clip
from toolkit.errors import RequestError, SoundError, ToolkitWarning
from toolkit.media.sound import SoundBlock


def joined(blocks):
    """Samples of blocks that follow one another without a seam, and the first one's time."""
    blocks = list(blocks)
    for a, b in zip(blocks, blocks[1:], strict=False):
        assert b.start == pytest.approx(a.end, abs=1e-6)
    return np.concatenate([b.samples for b in blocks], axis=1), blocks[0].start


@pytest.fixture(autouse=True)
def own_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))


# Tracks


@pytest.mark.parametrize("name, codec, layout", [("a.mkv", "pcm_s16le", "stereo"), ("b.mkv", "flac", "5.1")])
def test_a_clip_gives_the_same_as_its_samples(tmp_path, name, codec, layout):
    x = programme(16000, 6 if layout == "5.1" else 2, seconds=3)
    clip = Clip.open(write_clip(tmp_path / name, [x], 16000, codec=codec))
    stored, _ = joined(clean_clip(clip, "keep"))
    assert np.abs(stored - x).max() < 1e-4
    report = {}
    y, start = joined(clean(clip, mode="moderate", report=report))
    wanted, told = clean_samples(stored, 16000, "moderate", layout)
    assert start == pytest.approx(0, abs=1e-3) and y.shape == x.shape
    np.testing.assert_allclose(y, wanted, atol=2e-5)
    assert report["clicks"] == told["clicks"] and report["samples"] == x.shape[1]
    assert not scratch.root().exists()


def test_tracks_are_chosen_by_number_or_language_and_said_aloud(tmp_path, caplog):
    x = programme(16000, 1, seconds=1)
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [x, -x, 0.5 * x], 16000, languages=("eng", "deu", "fra")))
    with caplog.at_level(logging.WARNING):
        assert choose_track(clip) == 0
    assert "3 sound tracks" in caplog.text and "deu" in caplog.text and "the first is taken" in caplog.text
    assert choose_track(clip, 2) == 2 and choose_track(clip, "1") == 1 and choose_track(clip, "deu") == 1
    y, _ = joined(clean_clip(clip, "keep", "deu"))
    np.testing.assert_allclose(y, -x, atol=1e-4)
    for wrong in (3, -1, "ita"):
        with pytest.raises(SoundError, match="one of 0 \\(eng"):
            choose_track(clip, wrong)


def test_a_clip_without_sound_says_so(tmp_path):
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [], 16000, seconds=1))
    with pytest.raises(SoundError, match="no sound.*--audio none"):
        next(clean_clip(clip, "light"))
    with pytest.raises(RequestError, match="has no sound, so no track deu"):
        choose_track(clip, "deu")


# Holes


@pytest.mark.parametrize("where", ["middle", "twice"])
def test_a_damaged_packet_becomes_silence_of_its_length(tmp_path, where):
    x = programme(48000, 2, seconds=4)
    path = write_clip(tmp_path / "a.mkv", [x], 48000, codec="flac", seconds=4)
    data = bytearray(path.read_bytes())
    for share in (0.5,) if where == "middle" else (0.3, 0.7):
        at = int(len(data) * share)
        data[at : at + 3000] = bytes(3000)
    path.write_bytes(data)
    clip = Clip.open(path)
    with pytest.warns(ToolkitWarning, match="missing at .* silence keeps the time"):
        y, _ = joined(clean_clip(clip, "keep"))
    assert abs(y.shape[1] - x.shape[1]) < 48
    tail = slice(-30000, None)
    np.testing.assert_allclose(y[:, : x.shape[1]][:, tail], x[:, : y.shape[1]][:, tail], atol=1e-3)
    gone = np.abs(y[0]) == 0
    assert 500 < gone.sum() < 60000
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        z, _ = joined(clean_clip(clip, "moderate"))
    assert z.shape == y.shape and abs(late(x, z, 48000)) < 1
    holes = [w for w in said if "missing" in str(w.message)]
    assert len(holes) == len(set(str(w.message) for w in holes)), "each hole is told once, whatever the passes"


def blocks_of(x, rate, holes=(), start=0.0, size=1000):
    """SoundBlocks of x without the samples of `holes`, `(first, count)` each (negative: said twice)."""
    lost = dict(holes)
    at, shift = 0, 0
    while at < x.shape[1]:
        n = min(size, x.shape[1] - at)
        if at in lost:
            if lost[at] > 0:
                at += lost[at]
                continue
            shift = lost[at]
        yield SoundBlock(x[:, at : at + n], start + (at + shift) / rate, rate)
        at += n


@given(
    start=st.floats(-3, 3),
    holes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 8)), max_size=4, unique_by=lambda h: h[0]),
)
@settings(max_examples=40)
def test_holes_keep_the_time_of_everything_after_them(start, holes):
    rate = 8000
    x = np.arange(40000, dtype=np.float32)[None] + 1
    cut = [(1000 * at, 1000 * n) for at, n in holes]
    given_ = list(blocks_of(x, rate, cut, start))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        y, first = joined(in_time(given_, 1))
    assert first == pytest.approx(start)
    here = y[0] > 0
    np.testing.assert_array_equal(y[0][here], np.flatnonzero(here) + 1 + (x.shape[1] - y.shape[1]) * 0)
    assert (~here).sum() == 40000 - sum(b.samples.shape[1] for b in given_) - (40000 - y.shape[1])
    assert len(said) <= len(holes)


def test_sound_that_comes_twice_is_dropped():
    rate = 8000
    x = np.arange(20000, dtype=np.float32)[None] + 1
    again = [SoundBlock(x[:, :10000], 0.0, rate), SoundBlock(x[:, 9000:], 9000 / rate, rate)]
    with pytest.warns(ToolkitWarning, match="125.0 ms of sound come twice"):
        y, _ = joined(in_time(again, 1))
    np.testing.assert_array_equal(y, x)


def test_absurd_jumps_and_changes_of_rate_are_refused():
    x = np.zeros((1, 100), np.float32)
    with pytest.raises(SoundError, match="jumps by 7200 s"):
        list(in_time([SoundBlock(x, 0.0, 8000), SoundBlock(x, 7200.0, 8000)], 1))
    with pytest.raises(SoundError, match="changes from 8000 to 16000"):
        list(in_time([SoundBlock(x, 0.0, 8000), SoundBlock(x, 0.0125, 16000)], 1))


def test_mono_and_stereo_in_one_track_keep_one_layout():
    a, b = np.ones((2, 100), np.float32), np.full((1, 100), 0.5, np.float32)
    y, _ = joined(in_time([SoundBlock(a, 0.0, 8000), SoundBlock(b, 0.0125, 8000)], 2))
    assert y.shape == (2, 200) and (y[:, 100:] == 0.5).all()


# Drift


@given(
    ratio=st.floats(0.95, 1.05),
    f=st.floats(50, 3000),
    size=st.sampled_from([None, 1, 97, 5000]),
    n=st.integers(1, 12000),
)
@settings(max_examples=25)
def test_stretched_sound_is_the_sound_at_other_times(ratio, f, size, n):
    rate = 8000
    if size == 1:
        n = min(n, 2000)
    x = np.sin(2 * np.pi * f * np.arange(n) / rate).astype(np.float32)[None]
    stretcher = Stretcher(1, ratio)
    parts = [stretcher.process(b) for b in in_blocks(x, size)]
    y = np.concatenate([*parts, stretcher.flush()], axis=1)
    assert y.shape[1] == round(n * ratio)
    wanted = np.sin(2 * np.pi * f * np.arange(y.shape[1]) / ratio / rate)
    inner = slice(40, -40)
    if y.shape[1] > 100:
        assert np.abs(y[0] - wanted)[inner].max() < 2e-3


@pytest.mark.parametrize("drift", [1e-3, -1e-3, 37e-6])
def test_drift_between_two_recordings_is_found_to_5_ms_per_hour(drift):
    """One second in 17 minutes, and one in seven and a half hours."""
    rate = 8000
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((1, rate * 240)) * np.repeat(rng.uniform(0, 0.2, 2400), rate // 10)).astype(np.float32)
    slow = Stretcher(1, 1 + drift)
    y = np.concatenate([slow.process(x), slow.flush()], axis=1)
    y = y + 0.003 * rng.standard_normal(y.shape).astype(np.float32)
    found = against(x, y, rate)
    assert abs(found.ratio * (1 + drift) - 1) * 3600 < 0.005
    back = Stretcher(1, found.ratio)
    z = np.concatenate([back.process(y), back.flush()], axis=1)
    assert abs(late(x[:, -rate * 20 :], z[:, x.shape[1] - rate * 20 : x.shape[1]], rate)) < 1


def test_drift_of_a_made_tape_is_found_by_its_lengths_and_fixed(tmp_path):
    """The sound card ran 0.1 % fast: after 100 s of picture there are 100.1 s of sound."""
    rate = 8000
    x = programme(rate, 1, seconds=100.0)
    slow = Stretcher(1, 1.001)
    y = np.concatenate([slow.process(x), slow.flush()], axis=1)
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [y], rate, seconds=100.0))
    sync = measure_drift(clip)
    assert sync.method == "lengths" and sync.ratio == pytest.approx(1 / 1.001, abs=3e-4) and sync.certain
    fixed, _ = joined(clean_clip(clip, "keep", fix_drift=1 / 1.001))
    assert abs(fixed.shape[1] - x.shape[1]) <= 1
    assert abs(late(x[:, -rate * 20 :], fixed[:, x.shape[1] - rate * 20 : x.shape[1]], rate)) < 0.2
    again, _ = joined(clean_clip(clip, "keep", fix_drift=True))
    assert abs(again.shape[1] / rate - 100) < 0.03
    plain, _ = joined(clean_clip(clip, "keep"))
    assert plain.shape == y.shape, "nothing is stretched unasked"


def test_packets_stamped_by_a_clock_are_followed(tmp_path, caplog):
    """Each packet carries the clock's time; the samples between are 0.1 % too few.  Nothing else tells."""
    rate = 48000
    x = programme(rate, 1, seconds=60.0)
    path = write_clip(tmp_path / "a.mkv", [x], rate, stamp=lambda sample: sample / rate * 1.001, seconds=60.06)
    clip = Clip.open(path)
    sync = measure_drift(clip)
    assert sync.method == "times" and sync.certain
    assert abs(sync.ratio - 1.001) * 3600 < 0.005, "5 ms per hour"
    for mode in ("keep", "light"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y, start = joined(clean_clip(clip, mode))
        assert "3600 ms per hour" in caplog.text
        assert y.shape[1] / rate == pytest.approx(60.06, abs=0.002)
        # The last second stands where its packets say: at 1.001 times its sample's time.
        n = rate
        at = round((x.shape[1] - n) * 1.001)
        assert abs(late(x[:, -n:], y[:, at : at + n], rate)) < 1.5


def test_offset_and_drift_from_flashes_and_claps(tmp_path):
    rate = 16000
    rng = np.random.default_rng(0)
    flashes = np.array([2.0, 6.0, 11.0, 15.0, 20.0, 24.0, 29.0, 35.0])
    n = rate * 40
    x = (0.001 * rng.standard_normal((1, n))).astype(np.float32)
    for f in flashes:
        at = round((0.35 + f * 1.002) * rate)
        if at + 800 < n:
            x[0, at : at + 800] += (rng.standard_normal(800) * np.exp(-np.arange(800) / 150) * 0.3).astype(np.float32)
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [x], rate, flashes=tuple(flashes), seconds=40))
    sync = by_events(clip)
    assert sync.points >= 6 and sync.method == "events"
    assert sync.offset == pytest.approx(0.35 + 2 * 0.002, abs=0.03)
    assert sync.ratio == pytest.approx(1 / 1.002, abs=5e-4)
    assert "late" in str(sync)


def test_a_clip_without_common_events_says_so(tmp_path):
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [np.zeros((1, 48000), np.float32)], 16000))
    with pytest.raises(SoundError, match="clap"):
        by_events(clip)


def test_sync_speaks_in_milliseconds():
    said = str(Sync(-0.02, 1.001, 1e-6, "times", 7))
    assert said == "sound 20.0 ms early, drift +3600 ms per hour (+-4), from 7 times"


# Memory and disk


def test_memory_does_not_grow_with_length(tmp_path):
    """Peak of a long track over a short one's, each in a process of its own."""
    program = """
import sys, numpy as np
from pathlib import Path
from toolkit.audio import Cleaner
from toolkit.audio.spool import Spool
from toolkit.pipeline import peak_memory
rate, seconds = 8000, int(sys.argv[1])
rng = np.random.default_rng(0)
second = (rng.standard_normal((2, rate)) * 0.05).astype(np.float32)
second[:, ::3] *= 0.1
cleaner = Cleaner("moderate", rate, "stereo", Spool(Path(sys.argv[2])))
while cleaner.passes and not cleaner.can_replay:
    for i in range(seconds):
        cleaner.measure(second * (0.1 + (i % 7)))
    cleaner.end_pass()
total = sum(out.shape[1] for out in cleaner.replay())
assert total == rate * seconds
print(peak_memory() / 2**20)
"""
    peaks = []
    for seconds in (40, 1200):
        done = subprocess.run(
            [sys.executable, "-c", program, str(seconds), str(tmp_path)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 12, f"{peaks} MiB"
    assert not list(tmp_path.glob("*.f32"))


def test_scratch_is_gone_when_the_listener_leaves(tmp_path):
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [programme(16000, 1, seconds=3)], 16000))
    blocks = clean_clip(clip, "light")
    next(blocks)
    assert list(scratch.root().rglob("*.f32")), "the sound waits on disk"
    blocks.close()
    assert not scratch.root().exists()
    with pytest.raises(ZeroDivisionError):
        for _ in clean_clip(clip, "light"):
            raise ZeroDivisionError
    import gc

    gc.collect()
    assert not scratch.root().exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_scratch_is_gone_after_interrupt_and_kill(tmp_path, how):
    import signal

    path = write_clip(tmp_path / "a.mkv", [programme(16000, 1, seconds=3)], 16000)
    program = (
        "import sys, time\nfrom toolkit.clip import Clip\nfrom toolkit.audio.tracks import clean_clip\n"
        "for block in clean_clip(Clip.open(sys.argv[1]), 'light'):\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stdout.readline().strip() == b"ready", child.stderr.read().decode()
        assert list(scratch.root().rglob("*.f32"))
        child.send_signal(getattr(signal, how))
        child.communicate(timeout=30)
    finally:
        child.kill()
        child.communicate()
    if how == "SIGKILL":
        with scratch.folder():  # the next start sweeps
            assert not list(scratch.root().rglob("*.f32"))
    deadline = time.monotonic() + 60
    while scratch.root().exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not scratch.root().exists()


def test_without_room_on_disk_the_sound_is_worked_on_again(tmp_path, monkeypatch, caplog):
    from toolkit.audio import tracks

    clip = Clip.open(write_clip(tmp_path / "a.mkv", [programme(16000, 2, seconds=3)], 16000))
    usual, _ = joined(clean_clip(clip, "light"))
    monkeypatch.setattr(tracks, "room_for", lambda size, folder: False)
    again, _ = joined(clean_clip(clip, "light"))
    assert "no room" in caplog.text
    np.testing.assert_allclose(again, usual, atol=1e-6)


def test_a_full_disk_breaks_the_spool_and_not_the_work(tmp_path):
    x = programme(16000, 1, seconds=2)
    spool = Spool(tmp_path)

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    spool._file.close()
    spool._file = Full()
    cleaner = Cleaner("loudness", 16000, "mono", spool)
    cleaner.measure(x)
    cleaner.end_pass()
    assert spool.broken and not cleaner.can_replay and not spool.path.exists()
    y = np.concatenate([cleaner.process(x), cleaner.flush()], axis=1)
    np.testing.assert_allclose(y, clean_samples(x, 16000, "loudness")[0], atol=1e-6)


def test_ticks_of_a_container_are_no_drift(tmp_path):
    """Matroska rounds times to milliseconds; at 44.1 kHz none of them is exact."""
    x = programme(44100, 1, seconds=8)
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [x], 44100, tick=Fraction(1, 1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, _ = joined(clean_clip(clip, "keep"))
    assert y.shape == x.shape and not measure_drift(clip).certain
