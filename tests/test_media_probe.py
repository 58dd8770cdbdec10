"""`probe` on tapes of every kind."""

from __future__ import annotations

import json

import pytest

from kernels.fields import Cadence, FieldOrder
from tests._media import RECIPES, ffmpeg, folder, made, real_clip, repeated, two_tracks
from toolkit.clip import Clip
from toolkit.media.probe import bursts, field_order_of, probe, suggest
from toolkit.media.read import Reader


@pytest.mark.parametrize("name", RECIPES)
def test_a_tape_is_seen_as_it_was_made(name):
    recipe = RECIPES[name]
    seen = probe(made(name))
    assert seen.order.order == recipe.order and seen.order.confidence > 0.5
    assert seen.claimed_order == (recipe.claim or recipe.order)
    assert seen.frames == recipe.frames
    assert seen.vfr == name.startswith("vfr")
    assert seen.cadence.name == ("none" if recipe.order != "progressive" else "unknown")
    assert len(seen.sound) == recipe.sound
    assert 0 <= seen.noise[0] < 2 and seen.notes == ()
    told = json.loads(json.dumps(seen.to_dict()))
    assert told["field_order"]["measured"] == recipe.order
    assert told["sar"] == f"{recipe.sar.numerator}/{recipe.sar.denominator}"
    assert (told["width"], told["height"]) == recipe.size
    lines = str(seen).splitlines()
    assert any(recipe.order in line and "measured" in line for line in lines)
    assert seen._repr_html_().count("<tr>") == len(seen.rows())


PRESETS = {"dv_ntsc.avi": "dv", "mpeg2_ac3.mpg": "dvd", "huffyuv.avi": "vhs", "h264.mp4": "master"}


@pytest.mark.parametrize("name, preset", PRESETS.items())
def test_the_preset_comes_with_a_reason(name, preset):
    seen = probe(made(name))
    assert seen.preset == preset and len(seen.reason) > 10


def test_noise_is_found_and_changes_the_suggestion():
    path = folder() / "grainy.avi"
    words = ("-vf", "noise=c0s=35:c0f=t:c1s=20:c1f=t:c2s=20:c2f=t", "-pix_fmt", "yuv422p", "-c:v", "huffyuv", path)
    ffmpeg("-i", made("huffyuv.avi"), *words)
    seen = probe(path)
    assert seen.preset == "vhs-noisy" and seen.noise[0] > 6
    assert 2 < seen.noise[1] < seen.noise[0]


def test_film_is_named():
    path = folder() / "film.mkv"
    film = "scale=720:480,setpts=N/(24000/1001)/TB,fps=24000/1001,telecine=pattern=23,setsar=8/9,setfield=tff"
    ffmpeg("-i", real_clip("bikes.mp4"), "-vf", film, "-frames:v", 60, "-pix_fmt", "yuv422p", "-c:v", "ffv1", path)
    seen = probe(path)
    assert seen.cadence.name == "3:2" and "3:2 pulldown" in str(seen)
    assert seen.to_dict()["cadence"]["meaning"].startswith("film at 24")
    assert seen.order.order == "tff"
    path = folder() / "psf.mkv"
    words = ("-vf", "scale=720:576,setsar=16/15,setfield=tff", "-frames:v", 60, "-pix_fmt", "yuv422p", "-c:v", "ffv1")
    ffmpeg("-i", real_clip("bikes.mp4"), *words, "-field_order", "tt", path)
    seen = probe(path)
    assert seen.cadence.name == "2:2" and seen.order.order == "progressive" and seen.claimed_order == "tff"


def test_a_wrong_claim_is_contradicted():
    path = folder() / "liar.mkv"
    ffmpeg("-i", made("huffyuv.avi"), "-vf", "setfield=bff", "-c:v", "ffv1", "-level", 3, "-c:a", "copy", path)
    seen = probe(path)
    assert (seen.claimed_order, seen.order.order) == ("bff", "tff")
    assert any("claims bff" in note and "tff" in note for note in seen.notes)


def test_only_a_few_bursts_are_decoded(monkeypatch):
    clip, decoded = Clip.open(repeated("silent.avi", 40)), []
    assert clip.frames == 1200
    plain = Reader._decoded

    def counted(self, container, stream):
        for frame in plain(self, container, stream):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(Reader, "_decoded", counted)
    seen = [b.pts for b in bursts(clip)]
    assert len(seen) == 6 and all(len(b) == 13 for b in seen)
    assert seen[0][0] == 0 and seen[-1][-1] > 1150
    assert len(decoded) < 6 * 20
    before = len(decoded)
    assert probe(clip).frames == 1200
    again = len(decoded)
    assert field_order_of(clip).order == "progressive" and len(decoded) == again  # remembered
    assert again - before < 6 * 20


def test_uneven_spacing_is_seen_without_an_index(monkeypatch):
    monkeypatch.setattr("toolkit.media.probe.spacing", lambda clip: (None, None))
    assert probe(made("vfr.mkv")).vfr is True and probe(made("vfr.mkv")).frames is None
    seen = probe(made("ffv1.mkv"))
    assert seen.vfr is False and seen.frames == 30


def test_a_probe_lists_every_sound_track_and_late_starts():
    text = str(probe(two_tracks()))
    assert "sound 0      pcm_s16le 48000 Hz stereo (eng)" in text
    assert "sound 2      mp3float 44100 Hz stereo" in text
    assert "begins at 0.535 s" in str(probe(made("mpeg2_ac3.mpg")))


def test_suggestions_follow_the_numbers():
    clip = Clip.open(made("huffyuv.avi"))
    sure = FieldOrder("tff", 0.9)
    video = Cadence("none", 1.0)
    assert suggest(clip, sure, video, 3.0)[0] == "vhs"
    assert suggest(clip, sure, video, 9.0)[0] == "vhs-noisy"
    assert "--deinterlace film" in suggest(clip, sure, Cadence("3:2", 0.9), 3.0)[1]
    for doubtful in (video, Cadence("3:2", 0.3)):
        assert "film" not in suggest(clip, sure, doubtful, 3.0)[1]
    assert suggest(Clip.open(made("dv_pal.avi")), sure, video, 9.0)[0] == "vhs-noisy"
    assert suggest(Clip.open(real_clip("bigbuckbunny.mp4")), FieldOrder("progressive", 1.0), video, 1.0)[0] == "master"
