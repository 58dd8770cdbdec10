"""Loudness, range and true peak against pyloudnorm and FFmpeg's ebur128; the normaliser and the limiter by both."""

from __future__ import annotations

import math

import av
import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._audio import cleaned, in_blocks, programme, through
from toolkit.audio import STAGES, Cleaner, clean_samples, measure
from toolkit.audio.meter import Meter, k_weighting
from toolkit.audio.signal import LAYOUTS, SoundFormat


def dynamic(rate, channels, seconds=24.0, span=20.0, seed=3):
    """Noise with peaks, whose level walks over `span` dB: something to gate and to range."""
    rng = np.random.default_rng(seed)
    n = round(rate * seconds)
    level = np.interp(np.arange(n), np.linspace(0, n, 13), rng.uniform(-span, 0, 13))
    noise = rng.laplace(size=(channels, n)) * 0.05
    spectrum = np.fft.rfft(noise)
    f = np.fft.rfftfreq(n, 1 / rate)
    noise = np.fft.irfft(spectrum / np.maximum(f, 100) * 400, n)
    return (noise * 10 ** (level / 20)).astype(np.float32)


def ebur128(samples, rate, layout):
    """What FFmpeg's filter says: integrated, range, true peak."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout=layout, time_base=f"1/{rate}")
    meter = graph.add("ebur128", peak="true", metadata="1")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    told = {}

    def drain():
        while True:
            try:
                frame = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            told.update(frame.metadata or {})

    for at, block in zip(range(0, samples.shape[1], 4800), in_blocks(samples, 4800), strict=False):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, at
        source.push(frame)
        drain()
    source.push(None)
    drain()
    peaks = [float(v) for k, v in told.items() if "true_peaks_ch" in k]
    return float(told["lavfi.r128.I"]), float(told["lavfi.r128.LRA"]), 20 * math.log10(max(peaks))


def test_the_filter_is_the_standard_s():
    """BS.1770-4, tables 1 and 2, to the last digit printed there."""
    shelf, high = k_weighting(48000)
    np.testing.assert_allclose(shelf[:3], [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-12)
    np.testing.assert_allclose(shelf[4:], [-1.69065929318241, 0.73248077421585], atol=1e-12)
    np.testing.assert_allclose(high[:3], [1, -2, 1])
    np.testing.assert_allclose(high[4:], [-1.99004745483398, 0.99007225036621], atol=1e-12)


@pytest.mark.parametrize("rate, layout", [(48000, "stereo"), (44100, "mono"), (48000, "5.1"), (96000, "stereo")])
def test_meter_equals_ffmpeg(rate, layout):
    x = dynamic(rate, len(LAYOUTS[layout]))
    mine = measure(x, rate, layout)
    level, spread, peak = ebur128(x, rate, layout)
    assert mine.integrated == pytest.approx(level, abs=0.1)
    assert mine.range == pytest.approx(spread, abs=0.3) and spread > 6
    assert mine.true_peak == pytest.approx(peak, abs=0.2)


@pytest.mark.parametrize("rate, channels", [(8000, 1), (22050, 2), (48000, 2), (192000, 2), (48000, 5)])
def test_meter_equals_pyloudnorm(rate, channels):
    """pyloudnorm's class "DeMan" has the standard's filter at any rate."""
    x = dynamic(rate, channels, seconds=12.0)
    theirs = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(x.T.astype(np.float64))
    assert measure(x, rate, {1: "mono", 2: "stereo", 5: "5.0"}[channels]).integrated == pytest.approx(theirs, abs=0.1)


def test_a_sine_reads_as_the_standard_says():
    """997 Hz at 0 dBFS in one channel is -3.01 LKFS; a peak between samples is found."""
    t = np.arange(48000 * 3) / 48000
    sine = np.sin(2 * np.pi * 997 * t)[None]
    assert measure(sine, 48000, "mono").integrated == pytest.approx(-3.01, abs=0.02)
    between = 0.5 * np.sin(2 * np.pi * 12000 * t + np.pi / 4)[None]  # samples at 0.35, peaks at 0.5
    assert measure(between, 48000).true_peak == pytest.approx(-6.02, abs=0.25)


def test_lfe_does_not_count_and_surrounds_count_more():
    x = programme(48000, 1, seconds=2)
    parts = {}
    for i, name in enumerate(LAYOUTS["5.1"]):
        only = np.zeros((6, x.shape[1]), np.float32)
        only[i] = x[0]
        parts[name] = measure(only, 48000, "5.1").integrated
    assert parts["LFE"] == -math.inf
    assert parts["FL"] == pytest.approx(parts["FC"]) == pytest.approx(parts["BL"] - 1.49, abs=0.02)


@given(sizes=st.lists(st.integers(1, 20000), min_size=1, max_size=20), channels=st.sampled_from([1, 2]))
@settings(max_examples=15)
def test_meter_does_not_see_blocks(sizes, channels):
    x = programme(16000, channels, seconds=2)
    meter, at, turn = Meter(SoundFormat(16000, {1: "mono", 2: "stereo"}[channels])), 0, 0
    while at < x.shape[1]:
        n = sizes[turn % len(sizes)]
        meter.push(x[:, at : at + n])
        at, turn = at + n, turn + 1
    whole, pieces = measure(x, 16000), meter.result()
    np.testing.assert_array_equal(whole.powers, pieces.powers)
    np.testing.assert_array_equal(whole.peaks, pieces.peaks)


@pytest.mark.parametrize("target, peak", [(-14, -1.5), (-23, -1), (-12.5, -1)])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_normaliser_meets_its_target_by_both_judges(target, peak, layout):
    x = dynamic(48000, len(LAYOUTS[layout]), seconds=16, span=8)
    x *= 0.3 / np.abs(x).max()
    y, report = clean_samples(x, 48000, (STAGES["loudness"](target, peak, 20),), layout)
    level, _, top = ebur128(y, 48000, layout)
    assert level == pytest.approx(target, abs=0.1)
    assert top <= peak
    assert report["loudness_after"]["integrated"] == pytest.approx(target, abs=0.1)
    if layout != "5.1":  # pyloudnorm wants five channels in another order
        assert pyloudnorm.Meter(48000).integrated_loudness(y.T.astype(np.float64)) == pytest.approx(target, abs=0.1)


def test_wide_range_is_drawn_in_and_narrow_range_is_left():
    x = dynamic(48000, 2, seconds=40, span=30)
    before = measure(x, 48000).range
    y, _ = clean_samples(x, 48000, (STAGES["loudness"](range=8),))
    level, spread, _ = ebur128(y, 48000, "stereo")
    assert before > 14 and spread <= 8.3 and level == pytest.approx(-14, abs=0.1)
    calm = dynamic(48000, 2, seconds=20, span=3) * 0.1
    y, _ = clean_samples(calm, 48000, (STAGES["loudness"](-30, -1.5, 11),))
    gain = y[:, 1000:] / np.where(calm[:, 1000:] == 0, 1, calm[:, 1000:])
    np.testing.assert_allclose(gain[np.abs(calm[:, 1000:]) > 1e-4], gain[0, 0], rtol=1e-3)


def test_too_quiet_to_be_raised_is_said(caplog):
    x = np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32) * 10 ** (-66 / 20)
    _, report = clean_samples(x, 16000, "loudness")
    assert report["gain_db"] == 40 and "only raise noise" in caplog.text


@given(
    ceiling=st.floats(-12, -0.5),
    release=st.floats(5, 500),
    loud=st.floats(0.1, 8),
    rate=st.sampled_from([8000, 44100, 96000]),
    size=st.sampled_from([None, 100, 4096]),
)
@settings(max_examples=20)
def test_limiter_holds_its_ceiling_and_leaves_the_rest(ceiling, release, loud, rate, size):
    x = dynamic(rate, 1, seconds=0.6) * np.float32(loud)
    y = through(Cleaner((STAGES["limiter"](ceiling, release),), rate, "mono"), x, size)
    assert y.shape == x.shape
    assert measure(y, rate).true_peak <= ceiling
    if measure(x, rate).true_peak < ceiling - 0.2:
        np.testing.assert_array_equal(y, x)
    assert (np.abs(y) <= np.abs(x) * 1.00001).all()


def test_limiter_gain_is_smooth():
    """Just under a burst the gain moves, but never by more than a dB from one millisecond to the next."""
    t = np.arange(48000) / 48000
    x = (np.sin(2 * np.pi * 440 * t) * np.where((t > 0.4) & (t < 0.6), 4.0, 0.2)).astype(np.float32)[None]
    y = through(Cleaner("limiter", 48000, "mono"), x)
    gain = np.where(np.abs(x) > 0.05, y / np.where(x == 0, 1, x), np.nan)[0].reshape(-1, 48)
    per_ms = 20 * np.log10(np.nanmedian(gain, axis=1))
    per_ms = per_ms[np.isfinite(per_ms)]
    assert per_ms.min() < -11 and np.abs(np.diff(per_ms)).max() < 5
    assert np.nanmax(np.abs(np.diff(gain, axis=1))) < 0.02


def test_second_pass_that_is_longer_or_shorter_than_the_first():
    x = programme(16000, 2, seconds=3)
    for second in (x[:, :30000], np.concatenate([x, x], axis=1)):
        cleaner = Cleaner("loudness", 16000, "stereo")
        cleaner.measure(x)
        cleaner.end_pass()
        y = through(cleaner, second)
        assert y.shape == second.shape and np.isfinite(y).all()


def test_loudness_by_blocks_equals_loudness_at_once():
    x = programme(16000, 2, seconds=4)
    whole, _ = clean_samples(x, 16000, "loudness")
    np.testing.assert_allclose(cleaned(Cleaner("loudness", 16000, "stereo"), x, 333), whole, atol=1e-6)
