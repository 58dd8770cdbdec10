"""Figures of sound say what is there: levels, frequencies, and nothing where there is nothing; the player plays it."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests._audio import programme, write_clip
from toolkit.audio import analysis, player
from toolkit.audio.example import Damage, damage, music
from toolkit.clip import Clip

RATE = 48000


def image(picture) -> np.ndarray:
    from matplotlib import image as reader

    return reader.imread(io.BytesIO(picture._repr_png_()))


@pytest.mark.parametrize("frequency, level", [(440.0, -6.0), (3000.0, -40.0), (12000.0, -20.0)])
def test_a_tone_stands_in_the_spectrogram_at_its_frequency_and_level(frequency, level):
    t = np.arange(2 * RATE) / RATE
    tone = (10 ** (level / 20) * np.sin(2 * np.pi * frequency * t))[None].astype(np.float32)
    levels, freqs, times = analysis.spectrogram(np.repeat(tone, 2, axis=0), RATE)
    assert levels.shape == (len(freqs), len(times)) and times[-1] == pytest.approx(2, abs=0.05)
    middle = levels[:, len(times) // 2]
    assert freqs[middle.argmax()] == pytest.approx(frequency, abs=RATE / 2048)
    assert middle.max() == pytest.approx(level, abs=1.5)  # between two bins a Hann window loses up to 1.4 dB


def test_what_was_made_louder_is_shown_as_loud_as_it_came():
    before = programme(RATE, 2, seconds=4.0)
    even = analysis.as_loud_as(before, 2.5 * before, RATE)
    assert even.dtype == before.dtype and np.abs(even - before).max() < 1e-3
    quiet = np.zeros((2, RATE), np.float32)
    assert analysis.as_loud_as(before, quiet, RATE) is quiet
    assert analysis.as_loud_as(quiet, before, RATE) is before


def test_the_noise_profile_is_that_of_the_hiss():
    hurt, parts = damage(music(12, RATE, seed=1), RATE, Damage(hiss=-46, hum=None), seed=2)
    freqs, found = analysis.noise_of(hurt, RATE)
    true, _, _ = analysis.spectrogram(parts["hiss"].astype(np.float32), RATE)
    true = 10 * np.log10((10 ** (true / 10)).mean(axis=1))
    band = (freqs > 4000) & (freqs < 12000)
    there = np.interp(freqs[band], np.arange(len(true)) * RATE / 2048, true)
    assert np.abs(found[band] - there).mean() < 1.5
    assert np.isnan(analysis.noise_of(np.zeros((1, RATE), np.float32), RATE)[1]).all()


def test_the_hum_is_named_and_silence_has_none():
    hurt, _ = damage(music(10, RATE, seed=1), RATE, Damage(hiss=-60, hum=-36, mains=50.0), seed=2)
    tracks = analysis.hum_of(hurt, RATE)
    assert max(tracks.values(), key=lambda t: t.confidence).mains == 50
    picture = analysis.hum_comb(hurt, hurt, RATE)
    assert "50 Hz mains" in picture.figure.axes[1].get_title()
    quiet = np.zeros((2, 3 * RATE), np.float32)
    assert "no hum" in analysis.hum_comb(quiet, quiet, RATE).figure.axes[1].get_title()


@pytest.mark.parametrize("channels, seconds", [(1, 4.0), (2, 4.0), (6, 2.0), (2, 0.01)])
def test_every_figure_is_drawn_for_every_layout_and_length(tmp_path, channels, seconds):
    x = programme(RATE, channels, seconds=seconds)
    for draw in (analysis.spectrograms, analysis.loudness_over_time, analysis.noise_profile, analysis.hum_comb):
        picture = draw(x, 0.5 * x, RATE)
        seen = image(picture)
        assert seen.shape[1] > 700 and seen.std() > 0.02, draw.__name__
    assert picture.save(tmp_path / "a.png").stat().st_size > 1000


def test_loudness_is_written_beside_its_curve():
    x = programme(RATE, 2, seconds=8)
    legend = analysis.loudness_over_time(x, 2 * x, RATE).figure.axes[0].get_legend()
    told = [float(t.get_text().split(": ")[1].split(" LUFS")[0]) for t in legend.get_texts()[:2]]
    assert told[1] - told[0] == pytest.approx(6.02, abs=0.11)


def test_the_player_holds_the_stretch_and_follows_the_mode(tmp_path):
    import soundfile

    x = programme(16000, 2, seconds=6)
    clip = Clip.open(write_clip(tmp_path / "a.mkv", [x], 16000))
    cut, rate = player.excerpt(clip, 2.0, 1.5)
    assert rate == 16000 and cut.shape == (2, 24000)
    assert np.abs(cut - x[:, 32000:56000]).max() < 1e-4
    panel = player.listen(clip, mode="light", start=2.0, seconds=1.5)
    choice = panel.children[0].children[0]
    before, after = (c for c in panel.children if type(c).__name__ == "Audio")
    played, _ = soundfile.read(io.BytesIO(bytes(before.value)))
    assert np.abs(played.T - cut).max() < 1e-3
    first = bytes(after.value)
    assert 'mode="light"' in panel.call
    choice.value = "voice"
    assert bytes(after.value) != first and 'mode="voice"' in panel.call
