"""What `restore` makes of sound: tracks chosen, layouts, drift put right, findings told. Judged on the written file."""

from __future__ import annotations

import json

import numpy as np
import pytest

import toolkit
from tests import _media as m
from tests._audio import programme, write_clip
from toolkit import Pipeline
from toolkit.audio import clean_samples
from toolkit.audio.drift import against
from toolkit.audio.resample import Stretcher
from toolkit.cli import main
from toolkit.clip import Clip
from toolkit.errors import KnobError, OutputCheckFailed, SoundError
from toolkit.media.sound import read_sound
from toolkit.soundtrack import findings, plan_sound

RATE = 16000


@pytest.fixture(autouse=True)
def own_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))


def restored(tape, out, **more):
    return toolkit.restore(tape, out, pipeline=Pipeline(), preset="vhs-fast", **more)


def samples_of(path, track=0):
    return np.concatenate([b.samples for b in read_sound(Clip.open(path), track)], axis=1)


@pytest.mark.parametrize("audio", ["keep", "light"])
def test_one_of_several_tracks_is_chosen_by_its_language(tmp_path, audio):
    x = programme(RATE, 1, seconds=3)
    tape = write_clip(tmp_path / "a.mkv", [x, -x], RATE, languages=("eng", "deu"))
    run = restored(tape, tmp_path / "o.mkv", audio=audio, sound_track="deu", field_order="progressive")
    out = Clip.open(run.output)
    assert [t.language for t in out.sound] == ["deu"]
    match = np.corrcoef(samples_of(run.output)[0][: x.shape[1]], x[0])[0, 1]
    assert match < -0.9, "the other track has the opposite sign"
    both = restored(tape, tmp_path / "both.mkv", audio=audio, field_order="progressive")
    assert [t.language for t in Clip.open(both.output).sound] == ["eng", "deu"]
    with pytest.raises(SoundError, match="no sound track in the language 'ita'"):
        restored(tape, tmp_path / "no.mkv", audio=audio, sound_track="ita")
    assert not (tmp_path / "no.mkv").exists()


def test_upmixed_sound_is_written_with_six_channels(tmp_path):
    tape = write_clip(tmp_path / "a.mkv", [programme(RATE, 2, seconds=2)], RATE)
    run = restored(tape, tmp_path / "o.mkv", audio="custom+upmix", field_order="progressive")
    assert Clip.open(run.output).sound[0].channels == 6
    assert len(m.ffmpeg("-i", run.output, "-f", "f32le", "-")) == 2 * RATE * 6 * 4


def test_known_drift_is_put_right_in_the_file(tmp_path):
    """The sound ran 0.2 % long; given the ratio, the file's sound is the true one again, to the end."""
    x = programme(RATE, 1, seconds=20, hiss=0.03)
    slow = Stretcher(1, 1.002)
    tape = write_clip(tmp_path / "a.mkv", [np.concatenate([slow.process(x), slow.flush()], axis=1)], RATE, seconds=20)
    run = restored(tape, tmp_path / "o.mkv", audio="keep", fix_drift=1 / 1.002, field_order="progressive")
    assert "-7186 ms per hour" in run.sound
    offsets = [c for c in run.checks if c.name.startswith("sound 0")]
    assert offsets and all(c.ok for c in offsets) and "3 places" in offsets[0].found
    y = samples_of(run.output)
    found = against(x, y, RATE)
    assert abs(found.ratio - 1) * 3600 < 0.02 and abs(found.offset) < 1e-3
    untouched = restored(tape, tmp_path / "plain.mkv", audio="keep", field_order="progressive")
    assert abs(against(x, samples_of(untouched.output), RATE).ratio - 1 / 1.002) < 5e-5


def test_the_check_sees_sound_that_was_not_stretched_as_planned(tmp_path, monkeypatch):
    """A writer that ignored the drift must not pass."""
    x = programme(RATE, 1, seconds=20, hiss=0.002)
    tape = write_clip(tmp_path / "a.mkv", [x], RATE, seconds=20)
    from toolkit.audio import tracks

    monkeypatch.setattr(tracks, "_asked", lambda *_: (None, 0.0))
    with pytest.raises(OutputCheckFailed, match="sound 0 offset"):
        restored(tape, tmp_path / "o.mkv", audio="keep", fix_drift=1.002, field_order="progressive")


def test_claps_and_flashes_bring_sound_back_to_its_picture(tmp_path):
    rng = np.random.default_rng(0)
    flashes = (2.0, 5.0, 9.0, 13.0, 17.0)
    x = (0.001 * rng.standard_normal((1, RATE * 20))).astype(np.float32)
    late = 0.3
    for f in flashes:
        at = round((late + f) * RATE)
        x[0, at : at + 800] += (rng.standard_normal(800) * np.exp(-np.arange(800) / 150) * 0.3).astype(np.float32)
    tape = write_clip(tmp_path / "a.mkv", [x], RATE, flashes=flashes, seconds=20)
    run = restored(tape, tmp_path / "o.mkv", audio="keep", fix_drift="events", field_order="progressive")
    y = np.abs(samples_of(run.output)[0])
    heard = [
        np.flatnonzero(y[round((f - 0.2) * RATE) : round((f + 0.2) * RATE)] > 0.1)[0] / RATE - 0.2 for f in flashes
    ]
    assert np.abs(heard).max() < 0.03, "within a frame of the picture, which is all that a picture can tell"


@pytest.mark.parametrize("wish", ["yes", 2.0, 0, "1,001"])
def test_a_drift_that_makes_no_sense_is_refused_before_any_work(tmp_path, wish):
    tape = write_clip(tmp_path / "a.mkv", [programme(RATE, 1, seconds=1)], RATE)
    with pytest.raises(KnobError, match="fix_drift is .*expected auto, events, or a ratio between 0.9 and 1.1"):
        restored(tape, tmp_path / "o.mkv", fix_drift=wish, field_order="progressive")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_findings_are_told_in_the_report(tmp_path):
    tape = write_clip(tmp_path / "a.mkv", [programme(RATE, 2, seconds=8)], RATE)
    run = restored(tape, tmp_path / "o.mkv", audio="moderate", field_order="progressive")
    told = "\n".join(run.notes)
    assert "mains hum at 60." in told and "-> -14.0 LUFS" in told
    _, report = clean_samples(programme(RATE, 2, seconds=8), RATE, "moderate")
    assert len(findings(report)) >= 3
    assert findings({}) == []


def test_a_clip_without_sound_plans_none(tmp_path):
    plan = plan_sound(Clip.open(m.made("silent.avi")), "moderate", tmp_path / "o.mkv")
    assert plan.tracks == () and "the tape has none" in plan.label


def test_sync_and_sounds_on_the_command_line(tmp_path, capsys):
    tape = write_clip(tmp_path / "a.mkv", [programme(RATE, 1, seconds=5)], RATE)
    assert main(["sync", str(tape), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert abs(found["ratio"] - 1) < 0.01 and not found["certain"]
    assert main(["sync", str(tape)]) == 0 and "ms per hour" in capsys.readouterr().out
    assert main(["sync", str(tape), "--track", "ita"]) == 2 and "one of 0" in capsys.readouterr().err
    assert main(["sounds", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"moderate", "voice"} <= {row["name"] for row in listed["modes"]}
    assert {"dehum", "denoise"} <= {row["name"] for row in listed["stages"]}
    assert main(["sounds"]) == 0 and "moderate+denoise:reduction=12" in capsys.readouterr().out
