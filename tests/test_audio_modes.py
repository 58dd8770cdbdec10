"""Every mode on every layout and rate; time, length and finiteness; blocks of any size give the same sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests._audio import cleaned, in_blocks, late, programme, through
from toolkit import audio
from toolkit.audio import MODES, STAGES, Cleaner, chain_of, clean, clean_samples, from_dict, measure, to_dict
from toolkit.audio.signal import LAYOUTS, SoundFormat
from toolkit.errors import KnobError, RequestError, SoundError, UnknownName

RATES = (8000, 11025, 22050, 44100, 48000, 96000, 192000)


def layouts_for(rate):
    return ("mono", "stereo", "5.1") if rate <= 48000 else ("stereo",)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_length_time_and_level(mode, rate):
    for layout in layouts_for(rate):
        x = programme(rate, len(LAYOUTS[layout]), seconds=3.2 if rate <= 48000 else 2.2)
        y, report = clean_samples(x, rate, mode, layout)
        assert y.shape == x.shape and y.dtype == np.float32 and np.isfinite(y).all()
        assert abs(late(x, y, rate)) < 1, f"{mode} {layout} {rate}"
        if mode == "keep":
            np.testing.assert_array_equal(y, x)
        else:
            after = measure(y, rate, layout)
            assert after.integrated == pytest.approx(-14, abs=0.1)
            assert after.true_peak <= -1.5
            assert report["loudness_after"]["integrated"] == pytest.approx(after.integrated, abs=0.01)


def test_five_one_at_one_ninety_two_kilohertz():
    """5.1 at the highest rate too, once: the dearest of all."""
    x = programme(192000, 6, seconds=1.2)
    y, _ = clean_samples(x, 192000, "moderate", "5.1")
    assert y.shape == x.shape and abs(late(x, y, 192000)) < 1


@pytest.mark.parametrize("mode", ["light", "moderate", "music"])
def test_block_sizes_do_not_matter(mode):
    x = programme(16000, 2, seconds=4)
    whole, _ = clean_samples(x, 16000, mode)
    for size in (None, 777, 16000 * 60):
        pieces = cleaned(Cleaner(mode, 16000, "stereo"), x, size)
        assert pieces.shape == whole.shape
        assert np.abs(pieces - whole).max() < 1e-4, f"blocks of {size}"


def test_input_is_untouched_and_can_be_read_only():
    x = programme(16000, 1, seconds=2).copy()
    before = x.copy()
    x.flags.writeable = False
    clean(x, 16000, "aggressive")
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float64, np.float32])
def test_integer_and_float_samples_mean_the_same(dtype):
    x = programme(16000, 1, seconds=2)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        given_ = np.round(x.astype(np.float64) * (info.max if dtype != np.uint8 else 127) + (dtype == np.uint8) * 128)
        given_ = given_.astype(dtype)
    else:
        given_ = x.astype(dtype)
    y = clean(given_, 16000, "keep")
    assert np.abs(y - x).max() < {np.uint8: 0.02, np.int16: 1e-4}.get(dtype, 1e-6)


# Bad input

NOTHING = np.zeros((2, 0), np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 63, 500, 4000, 9000])
def test_sound_shorter_than_any_window(mode, n):
    rate = 16000
    x = programme(rate, 2, seconds=1)[:, 6000 : 6000 + n]
    y, _ = clean_samples(x, rate, mode)
    assert y.shape == x.shape and np.isfinite(y).all()


@pytest.mark.parametrize("mode", MODES)
def test_digital_silence_stays_silence(mode):
    y, _ = clean_samples(np.zeros((2, 48000), np.float32), 16000, mode)
    assert y.shape == (2, 48000) and not y.any()


@pytest.mark.parametrize("mode", MODES)
def test_nan_infinity_and_clipping_do_not_spread(mode, caplog):
    rate = 16000
    x = programme(rate, 2, seconds=3).copy() * 12
    x = np.clip(x, -1, 1)
    good, _ = clean_samples(x, rate, mode)
    bad = x.copy()
    bad[0, 20000:20020] = np.nan
    bad[1, 30000] = np.inf
    y, report = clean_samples(bad, rate, mode)
    assert np.isfinite(y).all() and y.shape == x.shape
    assert report["mended_samples"] == 21
    assert "not numbers" in caplog.text
    far = np.r_[0:15000, 35000:48000]
    assert np.abs(y[:, far] - good[:, far]).max() < 0.1 * np.abs(good).max()


def test_clipped_samples_are_counted():
    x = np.clip(programme(16000, 1, seconds=2) * 12, -1, 1)
    _, report = clean_samples(x, 16000, "keep")
    assert report["clipped_samples"] == int((np.abs(x) >= 0.9999).sum()) > 100


def test_wrong_shapes_and_kinds_are_refused_in_one_sentence():
    with pytest.raises(SoundError, match="channels, n.*samples.T"):
        clean(np.zeros((1000, 2)), 48000)
    with pytest.raises(SoundError, match="rate"):
        clean(np.zeros((2, 1000)))
    with pytest.raises(SoundError, match="complex"):
        clean(np.zeros((2, 1000), complex), 48000)
    with pytest.raises(SoundError, match="samples per second"):
        clean(np.zeros((2, 1000)), 10)
    with pytest.raises(SoundError, match="layout"):
        Cleaner("moderate", 48000, "hexagonal")


def test_a_cleaner_cannot_be_used_out_of_order():
    cleaner = Cleaner("moderate", 16000, "mono")
    with pytest.raises(RuntimeError, match="survey, denoise, loudness"):
        cleaner.process(np.zeros((1, 100)))
    with pytest.raises(RuntimeError, match="no pass left"):
        Cleaner("keep", 16000, "mono").measure(np.zeros((1, 100)))
    with pytest.raises(SoundError, match="2 channels.*1, as the stream began"):
        Cleaner("keep", 16000, "mono").process(np.zeros((2, 100)))


# Chains: names, text, serialised form

def test_modes_are_what_the_command_line_offers():
    assert set(audio.MODE_NAMES) == {"keep", "light", "moderate", "aggressive", "voice", "music", "custom"}
    for when, chain in MODES.values():
        assert when.endswith(".")
        assert from_dict(to_dict(chain)) == chain and hash(from_dict(to_dict(chain))) == hash(chain)


def test_text_changes_a_mode_and_makes_a_chain():
    changed = chain_of("moderate+denoise:reduction=12,strength=0.5+limiter:ceiling=-3")
    named = {step.name: step for step in changed}
    assert named["denoise"]["reduction"] == 12 and named["denoise"]["strength"] == 0.5
    assert changed[-1] == STAGES["limiter"](-3) and len(changed) == len(MODES["moderate"][1]) + 1
    assert chain_of("custom+dehum:mains=50+highpass:80") == chain_of("dehum:mains=50+highpass:frequency=80")
    assert chain_of(to_dict(changed)) == changed and chain_of({"stages": to_dict(changed)}) == changed


@pytest.mark.parametrize(
    "text, error, says",
    [
        ("moderat", UnknownName, "moderate"),
        ("custom", RequestError, "custom\\+dehum"),
        ("moderate+denoize", UnknownName, "denoise"),
        ("moderate+denoise:redution=3", UnknownName, "reduction"),
        ("moderate+denoise:reduction=300", KnobError, "0 to 60 dB"),
        ("moderate+denoise:reduction=much", KnobError, "number"),
        ("dehum:mains=55", KnobError, "50"),
        ("highpass:slope=7.5", KnobError, "whole"),
    ],
)
def test_wrong_names_and_knobs_are_refused(text, error, says):
    with pytest.raises(error, match=says):
        chain_of(text)


def test_two_loudness_stages_are_refused():
    with pytest.raises(RequestError, match="twice"):
        clean(np.zeros((1, 100)), 16000, (STAGES["loudness"](), STAGES["loudness"](-20)))


def knobs_of(stage):
    drawn = {}
    for name, p in stage.knobs.items():
        if p.choices:
            drawn[name] = st.sampled_from(p.choices)
        elif p.kind is int:
            drawn[name] = st.integers(int(p.knob.low), int(p.knob.high))
        else:
            drawn[name] = st.floats(p.knob.low, p.knob.high)
    return st.fixed_dictionaries(drawn)


@pytest.mark.parametrize("name", sorted(STAGES))
@given(data=st.data())
@settings(max_examples=8)
def test_every_stage_survives_all_its_knobs(name, data):
    """Any knobs in range, any length, any block size: as many samples, all finite, at the same time."""
    step = STAGES[name](**data.draw(knobs_of(STAGES[name])))
    assert from_dict([step.to_dict()]) == (step,)
    rate = data.draw(st.sampled_from([8000, 16000, 44100]))
    layout = data.draw(st.sampled_from(["mono", "stereo", "5.1"]))
    n = data.draw(st.integers(0, rate))
    x = programme(rate, len(LAYOUTS[layout]), seconds=1.0)[:, :n]
    cleaner = Cleaner((step,), rate, layout)
    y = cleaned(cleaner, x, data.draw(st.sampled_from([None, 64, 5000])) if n < 4000 else None)
    assert y.shape == (cleaner.output.channels, n)
    assert np.isfinite(y).all()


def test_prepared_chains_are_kept_and_shared():
    first = audio.prepare("moderate", 22050, "stereo")
    assert audio.prepare("moderate", 22050, "stereo") is first
    assert audio.prepare(chain_of("moderate"), 22050, "stereo") is first
    assert audio.prepare("moderate", 22050, "mono") is not first
    x, y = programme(22050, 2, seconds=1.5), programme(22050, 2, seconds=1.5, seed=9)
    alone = cleaned(Cleaner("moderate", 22050, "stereo"), x)
    one, two = Cleaner("moderate", 22050, "stereo"), Cleaner("moderate", 22050, "stereo")
    while one.passes:  # two tracks in step share what is prepared, and nothing else
        for a, b in zip(in_blocks(x, 4000), in_blocks(y, 4000), strict=True):
            one.measure(a)
            two.measure(b)
        one.end_pass()
        two.end_pass()
    parts = []
    for a, b in zip(in_blocks(x, 4000), in_blocks(y, 4000), strict=True):
        parts.append(one.process(a))
        two.process(b)
    together = np.concatenate([*parts, one.flush()], axis=1)
    assert np.abs(together - alone).max() < 1e-5


def test_neighbouring_filters_become_one():
    names = audio.prepare("moderate", 48000, "stereo").names
    assert "highpass+lowpass+equaliser" in names


def test_layouts_change_only_where_asked():
    x = programme(16000, 1, seconds=1)
    y = clean(x, 16000, "mono_to_stereo")
    np.testing.assert_array_equal(y, np.repeat(x, 2, axis=0))
    stereo = programme(16000, 2, seconds=1)
    np.testing.assert_array_equal(clean(stereo, 16000, "mono_to_stereo"), stereo)
    cleaner = Cleaner("upmix", 16000, "stereo")
    assert cleaner.output == SoundFormat(16000, "5.1")
    up = through(cleaner, stereo)
    assert up.shape == (6, 16000) and up[0].std() > 0.01 and abs(late(stereo[:1], up[:1], 16000)) < 1


def test_a_dead_channel_is_filled_and_a_living_one_is_not():
    rate = 16000
    x = programme(rate, 2, seconds=4, hiss=0.0005).copy()
    y, report = clean_samples(x, rate, "repair_dead_channel")
    np.testing.assert_array_equal(y, x)
    assert report["dead_channel"] is None
    for dead in (0, 1):
        broken = x.copy()
        broken[dead] = 0.0005 * np.random.default_rng(1).standard_normal(x.shape[1])
        y, report = clean_samples(broken, rate, "repair_dead_channel")
        assert report["dead_channel"] == ("FL", "FR")[dead]
        np.testing.assert_array_equal(y[0], y[1])
        np.testing.assert_array_equal(y[1 - dead], x[1 - dead])
    quiet = x.copy()
    quiet[1] *= 0.2  # 14 dB down is a level, not a death
    np.testing.assert_array_equal(clean(quiet, rate, "repair_dead_channel"), quiet)
