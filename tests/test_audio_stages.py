"""What each stage does to sound whose clean original is known."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.sound.clicks import fill, predictor
from tests._audio import late, programme, through
from toolkit.audio import STAGES, Cleaner, clean, clean_samples, example, judge
from toolkit.audio.fir import bell, butterworth
from toolkit.audio.hum import HumFinder
from toolkit.audio.signal import Fifo, SoundFormat

RATE = 48000


@functools.cache
def voice(seconds=16.0, rate=RATE):
    """Seeded speech that needs no program."""
    rng = np.random.default_rng(2)
    return example._level(example._formant_speech(round(seconds * rate), rate, rng))[None]


@functools.cache
def song(seconds=16.0, rate=RATE):
    return example.music(seconds, rate, 1)


def db(x):
    return 10 * np.log10(np.mean(np.asarray(x, np.float64) ** 2) + 1e-20)


# Filters


def response(chain, rate=RATE):
    """Magnitude (linear) of a chain by its impulse response, and the response centred on its impulse."""
    x = np.zeros((1, rate), np.float32)
    x[0, rate // 2] = 1
    y = through(Cleaner(chain, rate, "mono"), x, 4801)[0]
    return np.fft.rfftfreq(rate, 1 / rate), np.abs(np.fft.rfft(y)), y


@pytest.mark.parametrize(
    "step, wanted",
    [
        (STAGES["highpass"](100, 12), lambda f: butterworth(f, 100, 12, "high")),
        (STAGES["highpass"](30, 24), lambda f: butterworth(f, 30, 24, "high")),
        (STAGES["lowpass"](14500, 24), lambda f: butterworth(f, 14500, 24, "low")),
        (STAGES["lowpass"](3000, 48), lambda f: butterworth(f, 3000, 48, "low")),
        (STAGES["equaliser"](3000, 2, 1), lambda f: bell(f, 3000, 2, 1)),
        (STAGES["equaliser"](200, -9, 0.5), lambda f: bell(f, 200, -9, 0.5)),
    ],
)
def test_filters_have_their_magnitude_and_no_phase(step, wanted):
    f, got, impulse = response((step,))
    usual = wanted(f) > 0.3
    off = np.abs(20 * np.log10(got[usual] / wanted(f)[usual]))
    assert off.max() < 0.5, f"{off.max():.2f} dB at {f[usual][off.argmax()]} Hz"
    middle = RATE // 2
    np.testing.assert_allclose(impulse[middle - 2000 : middle], impulse[middle + 2000 : middle : -1], atol=1e-6)


def test_corner_frequencies_are_3_db_points():
    for step, corner in ((STAGES["highpass"](100), 100), (STAGES["lowpass"](14500), 14500)):
        f, got, _ = response((step,))
        assert 20 * np.log10(got[np.abs(f - corner).argmin()]) == pytest.approx(-3.01, abs=0.2)
    f, got, _ = response((STAGES["equaliser"](3000, 6, 1),))
    assert 20 * np.log10(got[3000]) == pytest.approx(6, abs=0.1)
    for edge in (3000 / 2**0.5, 3000 * 2**0.5):
        assert 20 * np.log10(got[round(edge)]) == pytest.approx(3, abs=0.2)


def test_highpass_removes_dc():
    y = clean(np.full((1, RATE), 0.5, np.float32), RATE, "highpass:100")
    assert np.abs(y[:, 5000:-5000]).max() < 1e-5


def test_merged_filters_equal_one_after_the_other():
    steps = (STAGES["highpass"](100), STAGES["lowpass"](9000), STAGES["equaliser"](3000, 4))
    x = programme(RATE, 2, seconds=2)
    at_once = clean(x, RATE, steps)
    after = x
    for step in steps:
        after = clean(after, RATE, (step,))
    assert db((at_once - after)[:, 4000:-4000]) < db(x) - 55


# Hum


@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize("wander", [0.02, 0.2])
def test_hum_under_speech_goes_and_its_drift_is_followed(mains, wander):
    truth = voice()
    hummed, parts = example.damage(truth, RATE, example.Damage(hiss=-55, hum=-40, mains=mains, wander=wander), 3)
    rest = (truth + parts["hiss"]).astype(np.float32)
    y, report = clean_samples(hummed, RATE, "dehum")
    assert db(y - rest) < db(parts["hum"]) - 13
    assert report["hum"]["hz"] == pytest.approx(mains, abs=0.1)
    swing = report["hum"]["highest_hz"] - report["hum"]["lowest_hz"]
    assert swing == pytest.approx(1.7 * wander, abs=0.8 * wander + 0.05)
    forced, _ = clean_samples(hummed, RATE, f"dehum:mains={mains:.0f}")
    np.testing.assert_allclose(forced, y, atol=1e-6)


def test_hum_under_music_goes():
    truth = song()
    hummed, parts = example.damage(truth, RATE, example.Damage(hiss=None, hum=-34), 3)
    y = clean(hummed, RATE, "dehum")
    assert db(y - truth) < db(parts["hum"]) - 10


@pytest.mark.parametrize("sound", ["voice", "song", "hiss"])
def test_sound_without_hum_is_untouched(sound):
    hiss = np.random.default_rng(0).standard_normal((1, 6 * RATE)).astype(np.float32) * 0.01
    x = {"voice": voice(), "song": song(), "hiss": hiss}[sound]
    y, report = clean_samples(x, RATE, "dehum")
    assert report["hum"] is None
    np.testing.assert_array_equal(y, x)


def test_hum_frequency_is_found_to_a_few_hundredths_of_a_hertz():
    rng = np.random.default_rng(0)
    t = np.arange(20 * RATE) / RATE
    true = 59.9 + 0.1 * np.sin(2 * np.pi * t / 19)
    x = 0.02 * np.sin(2 * np.pi * np.cumsum(true) / RATE) + 0.01 * np.sin(4 * np.pi * np.cumsum(true) / RATE)
    finder = HumFinder(SoundFormat(RATE, "mono"))
    finder.push((x + 0.01 * rng.standard_normal(len(t))).astype(np.float32)[None])
    found = finder.finish()[60]
    inner = np.arange(4, 16)
    assert found.found and np.abs(found.at(inner) - true[inner * RATE]).max() < 0.04
    turns = found.turns(np.linspace(0, 20, 2001))
    slope = np.diff(turns) / 0.01  # the clock is the integral of the frequency
    np.testing.assert_allclose(slope, found.at(np.linspace(0, 20, 2001)[:-1] + 0.005), atol=1e-3)


# Hiss


@pytest.mark.parametrize("sound, rate, least", [("voice", RATE, 5), ("song", RATE, 7), ("song", 16000, 6)])
def test_hiss_goes_and_sound_stays(sound, rate, least):
    truth = voice(12.0, rate) if sound == "voice" else song(18.0, rate)
    hissed, _ = example.damage(truth, rate, example.Damage(hiss=-44, hum=None), 3)
    y, report = clean_samples(hissed, rate, "denoise")
    assert judge.snr(truth, y) > judge.snr(truth, hissed) + least
    assert judge.log_spectral_distance(truth, y, rate) < judge.log_spectral_distance(truth, hissed, rate)
    assert report["noise_dbfs"] == pytest.approx(-44, abs=3)


def test_hiss_alone_is_lowered_by_the_reduction_and_no_more():
    x = np.random.default_rng(0).standard_normal((2, 6 * RATE)).astype(np.float32) * 0.003
    for reduction in (0, 6, 20):
        y = clean(x, RATE, f"denoise:{reduction}")
        assert db(y[:, RATE:-RATE]) - db(x) == pytest.approx(-reduction, abs=0.15 * reduction + 0.01)


def test_clean_sound_survives_denoising():
    y = clean(song(), RATE, "denoise")
    assert judge.snr(song(), y) > 25


def test_hiss_of_stereo_is_found_in_middle_and_side():
    """Mono programme in both channels, each with its own hiss: the side is nothing but hiss and goes."""
    truth = np.repeat(voice(10.0), 2, axis=0)
    hissed, _ = example.damage(truth, RATE, example.Damage(hiss=-44, hum=None), 3)
    y = clean(hissed, RATE, "denoise")
    side_before, side_after = db(hissed[0] - hissed[1]), db(y[0] - y[1])
    assert side_after < side_before - 12


# Clicks


def clicked(x, count=30, seed=0):
    rng = np.random.default_rng(seed)
    out, places = x.copy(), []
    for i in range(count):
        at = int(rng.integers(3000, x.shape[1] - 3000))
        kind, n = i % 3, int(rng.integers(1, 40))
        if kind == 0:
            out[0, at : at + n] += rng.uniform(0.2, 0.6) * rng.choice([-1, 1], n)
        elif kind == 1:
            out[0, at : at + n] = rng.uniform(0.3, 0.9) * rng.choice([-1, 1])
        else:
            n += 40
            out[0, at : at + n] = 0
        places.append((at, n))
    return out, places


def test_clicks_and_dropouts_are_filled_and_the_rest_is_untouched():
    truth = (voice() + 0.001 * np.random.default_rng(5).standard_normal(voice().shape)).astype(np.float32)
    broken, places = clicked(truth)
    y, report = clean_samples(broken, RATE, "declick")
    assert db(y - truth) < db(broken - truth) - 10
    away = np.ones(truth.shape[1], bool)
    for at, n in places:
        away[at - 100 : at + n + 100] = False
    assert (y[0] != truth[0])[away].mean() < 0.002
    assert len(places) * 0.6 < report["clicks"] < len(places) * 2


def test_music_without_clicks_is_left():
    """Attacks of strings and brushes are sudden too; few are taken for clicks at the setting for music."""
    y, report = clean_samples(song(), RATE, "declick:threshold=12,longest=2")
    assert judge.snr(song(), y) > 35 and report["clicks"] < 8


def test_nothing_longer_than_asked_is_filled():
    x = song(4.0).copy()
    x[0, 60000:60600] = 0  # 12.5 ms
    y = clean(x, RATE, "declick:longest=4")
    assert not y[0, 60010:60590].any()
    y = clean(x, RATE, "declick:longest=15")
    assert db(y[0, 60000:60600]) == pytest.approx(db(song(4.0)[0, 60000:60600]), abs=6)


@given(n=st.integers(1, 120), f=st.floats(100, 8000), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_a_gap_in_a_tone_is_filled_with_the_tone(n, f, seed):
    t = np.arange(4096) / RATE
    x = 0.3 * np.sin(2 * np.pi * f * t + seed) + 1e-5 * np.random.default_rng(seed).standard_normal(4096)
    x = x.astype(np.float32)
    gap = x.copy()
    gap[2000 : 2000 + n] = 0
    fill(gap, 2000, 2000 + n, 1500)
    assert np.abs(gap - x).max() < 0.05
    np.testing.assert_array_equal(gap[:2000], x[:2000])
    np.testing.assert_array_equal(gap[2000 + n :], x[2000 + n :])


def test_predictor_finds_the_process_it_was_given():
    rng = np.random.default_rng(0)
    x, a = np.zeros(20000), (1.6, -0.81)
    e = rng.standard_normal(20000)
    for i in range(2, 20000):
        x[i] = a[0] * x[i - 1] + a[1] * x[i - 2] + e[i]
    np.testing.assert_allclose(predictor(x.astype(np.float32), 2), [1, -1.6, 0.81], atol=0.03)


# The rest


def test_compressor_evens_the_level_and_moves_nothing():
    t = np.arange(2 * RATE) / RATE
    x = (np.sin(2 * np.pi * 500 * t) * np.where(t < 1, 0.05, 0.8)).astype(np.float32)[None]
    y = clean(x, RATE, "compressor:threshold=-20,ratio=4")
    assert np.abs(y[:, 20000:40000] - x[:, 20000:40000]).max() < 1e-3  # -26 dBFS is under the threshold
    above = db(x[:, 70000:]) + 20
    assert db(y[:, 70000:]) == pytest.approx(db(x[:, 70000:]) - 0.75 * above, abs=2.5)
    assert abs(late(x, y, RATE)) < 0.03


@pytest.mark.parametrize("text", ["afftdn", "declip", "upmix", "compressor"])
def test_ffmpeg_s_filters_are_brought_back_into_time(text):
    x = programme(RATE, 2, seconds=2)
    y = clean(x, RATE, text)
    assert y.shape[1] == x.shape[1] and abs(late(x[:1], y[:1], RATE)) < 0.05


def test_clipped_peaks_are_rebuilt():
    truth = (0.6 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)[None]
    x = np.clip(truth, -0.5, 0.5)
    y = clean(x, 16000, "declip")
    assert db((y - truth)[:, 3000:-3000]) < db((x - truth)[:, 3000:-3000]) - 6


@given(ops=st.lists(st.tuples(st.sampled_from(["push", "take", "drop"]), st.integers(0, 5000)), max_size=40))
def test_fifo_is_a_queue(ops):
    fifo, model, count = Fifo(1), [], 0
    for what, n in ops:
        if what == "push":
            fifo.push(np.arange(count, count + n, dtype=np.float32)[None])
            model += list(range(count, count + n))
            count += n
        else:
            n = min(n, len(model))
            if what == "take":
                assert fifo.take(n)[0].tolist() == model[:n]
            else:
                fifo.drop(n)
            model = model[n:]
        assert len(fifo) == len(model) and fifo.position == count - len(model)
        assert fifo.peek()[0].tolist() == model


def test_judge_is_blind_to_delay_and_gain():
    x = np.pad(voice(3.0), ((0, 0), (500, 500)))
    moved = np.pad(x, ((0, 0), (37, 0)))[:, : x.shape[1]] * 0.2
    found = judge.judge(x, moved, RATE)
    assert found["delay_ms"] == pytest.approx(37 / 48, abs=0.01)
    assert found["snr_db"] > 40 and found["lsd_db"] < 0.2
    noisy = x + 0.01 * np.random.default_rng(0).standard_normal(x.shape)
    assert judge.snr(x, noisy) == pytest.approx(db(x) + 40, abs=0.1)
