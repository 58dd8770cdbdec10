"""The made tape: each fault does what its knob says and nothing else, and what has no fault is the truth."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import tape
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import KnobError, OutputRefused, PictureError, UnknownName
from toolkit.tape import Tape, chance, faults, sound

MHZ = 13.5


def clean(planes, tape=None, start=0, **changes) -> Batch:
    """Field-rate truth from arrays `(T, H, W)` of a given layout."""
    height, width = planes[0].shape[1:]
    layout = None if len(planes) == 1 else (1, 0)
    fmt = PictureFormat(width, height, layout, field_order="progressive", matrix="bt601").replace(**changes)
    n = len(planes[0])
    rate = (tape or Tape()).field_rate
    return Batch(tuple(planes), start + np.arange(n), np.ones(n, np.int64), 1 / rate, fmt)


def grey(count=2, height=240, width=720, level=120) -> Batch:
    chroma = np.full((count, height, width // 2), 128, np.uint8)
    return clean([np.full((count, height, width), level, np.uint8), chroma, chroma])


def fields(plane: np.ndarray, order: str = "tff") -> np.ndarray:
    """The fields of woven frames in time order."""
    first = 0 if order == "tff" else 1
    return np.stack([f for frame in plane for f in (frame[first::2], frame[1 - first :: 2])])


# Randomness


def test_philox_gives_the_published_words():
    """Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds)."""
    words = [
        ((0,) * 6, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 6, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for given_words, want in words:
        assert tuple(int(w) for w in chance.philox(*(np.uint64(w) for w in given_words))) == want


def test_normals_are_normal_and_streams_differ():
    a, b = np.empty(100_003, np.float32), np.empty(100_003, np.float32)
    chance.normals(a, 3, 7, chance.LUMA, 11)
    chance.normals(b, 3, 7, chance.CB, 11)
    assert abs(a.mean()) < 0.02 and abs(a.std() - 1) < 0.01
    assert abs((np.abs(a) > 1.96).mean() - 0.05) < 0.004
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.02


# Without faults


@settings(max_examples=25)
@given(
    order=st.sampled_from(["tff", "bff"]),
    layout=st.sampled_from([None, (0, 0), (1, 0), (1, 1), (2, 0)]),
    height=st.integers(4, 21),
    width=st.integers(4, 21),
    frames=st.integers(1, 3),
    depth=st.sampled_from([8, 10]),
    seed=st.integers(0, 99),
)
def test_an_ideal_tape_is_the_truth_woven(order, layout, height, width, frames, depth, seed):
    fmt = PictureFormat(width, height, layout, bits=depth, field_order="progressive")
    rng = np.random.default_rng(seed)
    planes = tuple(rng.integers(0, 1 << depth, (2 * frames, *s)).astype(fmt.dtype) for s in fmt.plane_shapes)
    truth = Batch(planes, np.arange(2 * frames), np.ones(2 * frames, int), Fraction(1001, 60000), fmt)
    made = Tape.ideal(field_order=order, seed=seed).record(truth)
    first = 0 if order == "tff" else 1
    for p, t in zip(made.tape.planes, planes, strict=True):
        for parity, n in ((first, 0), (1 - first, 1)):
            assert np.array_equal(p[:, parity::2], t[n::2, parity::2])
    assert made.tape.format.field_order == order and not made.dropouts.any()
    assert np.array_equal(made.tape.times, made.truth.times[::2])
    assert np.array_equal(made.truth_frames.times, made.tape.times)
    assert np.array_equal(made.truth_frames.planes[0], planes[0][::2])


def test_each_fault_alone_changes_what_it_says_and_nothing_else():
    """Luma faults leave chroma alone and the other way round; dropouts and head switching stay in their places."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.integers(-2, 3, (4, 240, 720)), axis=2).clip(-90, 90) + 120
    chroma = np.cumsum(rng.integers(-2, 3, (2, 4, 240, 360)), axis=3).clip(-90, 90) + 128
    truth = clean([smooth.astype(np.uint8), *chroma.astype(np.uint8)])
    base = Tape.ideal().record(truth).tape.planes
    touched = {
        "luma_bandwidth": (2.0, "Y"),
        "luma_noise": (3.0, "Y"),
        "chroma_bandwidth": (0.5, "UV"),
        "chroma_lines": (2, "UV"),
        "chroma_delay": (300.0, "UV"),
        "chroma_noise": (3.0, "UV"),
        "jitter": (60.0, "YUV"),
        "dropouts": (20000.0, "YUV"),
    }
    for name, (value, where) in touched.items():
        made = Tape.only(**{name: value}).record(truth).tape.planes
        changed = "".join(n for n, a, b in zip("YUV", base, made, strict=True) if not np.array_equal(a, b))
        assert changed == where, f"{name} changed {changed}"
    switched = Tape.only(head_switch_lines=4, head_switch_skew=3.0).record(truth).tape.planes
    for a, b in zip(base, switched, strict=True):
        lines = np.flatnonzero((a != b).any(axis=(0, 2)))
        assert lines.min() == 240 - 8 and lines.max() == 239


def test_batches_of_any_size_and_any_start_give_the_same_frames():
    source = tape.demo(frames=6, size=(180, 120))
    recorder = Tape(seed=5, dropouts=3000)
    whole = Batch.join([r.tape for r in recorder.stream(source.batches(size=12), to=source.format)])
    for size in (1, 5):
        again = Batch.join([r.tape for r in recorder.stream(source.batches(size=size), to=source.format)])
        for a, b in zip(whole.planes, again.planes, strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(whole.pts, again.pts)
    truth = Batch.join(list(source.batches()))
    tail = recorder.record(truth[6:10])
    assert np.array_equal(tail.tape.planes[0], whole.planes[0][3:5])
    assert not np.array_equal(recorder.replace(seed=6).record(truth[:2]).tape.planes[0], whole.planes[0][:1])


def test_switching_one_fault_off_leaves_the_others_as_they_were():
    truth = grey()
    truth = truth.replace(planes=tuple(p.astype(np.float32) for p in truth.planes))
    with_all = Tape(seed=4, dropouts=0, head_switch_lines=0, jitter=0)
    noise_only = Tape.only(seed=4, luma_noise=with_all.luma_noise, luma_noise_length=with_all.luma_noise_length)
    assert np.abs(with_all.record(truth).tape.planes[0] - noise_only.record(truth).tape.planes[0]).max() < 1e-3


# Bandwidth, delay, noise


def tone_level(values: np.ndarray, cycles_per_sample: float) -> float:
    """Amplitude of a sine in lines, by projection on it, away from the edges."""
    part = values[:, 60:-60].astype(float) - values[:, 60:-60].mean()
    wave = np.exp(-2j * np.pi * cycles_per_sample * np.arange(part.shape[1])) * np.hanning(part.shape[1])
    return float(2 * np.abs(part @ wave).mean() / np.hanning(part.shape[1]).sum())


@pytest.mark.parametrize(
    "plane, knob, mhz, rate", [(0, "luma_bandwidth", 3.0, MHZ), (1, "chroma_bandwidth", 0.5, MHZ / 2)]
)
def test_bandwidth_is_the_3_db_point(plane, knob, mhz, rate):
    recorder = Tape.only(**{knob: mhz})
    gains = []
    for f in (0.4 * mhz, mhz, 1.6 * mhz):
        truth = grey(height=8)
        x = np.arange(truth.planes[plane].shape[2])
        line = 128 + 80 * np.sin(2 * np.pi * f / rate * x)
        planes = list(truth.planes)
        planes[plane] = np.broadcast_to(line, planes[plane].shape).astype(np.float32)
        planes = [p.astype(np.float32) for p in planes]
        made = recorder.record(truth.replace(planes=tuple(planes))).tape.planes[plane][0]
        gains.append(20 * np.log10(tone_level(made, f / rate) / 80))
    assert abs(gains[0]) < 0.3 and abs(gains[1] + 3.0) < 0.3 and gains[2] < -12


@pytest.mark.parametrize("delay", [-370.0, 148.0, 200.0, 525.0])
def test_chroma_delay_moves_chroma_by_nanoseconds(delay):
    truth = grey(height=8)
    x = np.arange(360)
    bump = 128 + 90 * np.exp(-(((x - 170) / 9.0) ** 2))
    planes = [p.astype(np.float32) for p in truth.planes]
    planes[1] = np.broadcast_to(bump, planes[1].shape).astype(np.float32)
    made = Tape.only(chroma_delay=delay).record(truth.replace(planes=tuple(planes))).tape
    line = made.planes[1][0, 3] - 128.0
    centre = (line * x).sum() / line.sum()
    assert abs((centre - 170) / (MHZ / 2) * 1000 - delay) < 4
    assert np.array_equal(made.planes[0][0], planes[0][0])


def test_chroma_lines_average_downwards():
    planes = [p.astype(np.float32) for p in grey(height=40).planes]
    planes[1][:, 20:22] = 228  # one line of each field
    made = Tape.only(chroma_lines=4).record(clean(planes)).tape.planes[1][0]
    for field in (made[0::2], made[1::2]):
        assert np.allclose(field[:, 0] - 128, [0] * 10 + [25] * 4 + [0] * 6)


@pytest.mark.parametrize("plane, kind", [(0, "luma"), (1, "chroma"), (2, "chroma")])
def test_noise_has_its_level_and_length_and_fields_are_independent(plane, kind):
    made = Tape.only(**{f"{kind}_noise": 6.0, f"{kind}_noise_length": 300.0}).record(
        grey(count=4).replace(planes=tuple(p.astype(np.float32) for p in grey(count=4).planes))
    )
    noise = fields(made.tape.planes[plane]) - float(fields(made.truth.planes[plane])[0, 0, 0])
    assert abs(noise.std() - 6) < 0.06 and abs(noise.mean()) < 0.08
    mhz = MHZ if plane == 0 else MHZ / 2
    for distance in (1, 3):
        want = np.exp(-distance * 1000 / mhz / 300)
        found = np.corrcoef(noise[..., distance:].ravel(), noise[..., :-distance].ravel())[0, 1]
        assert abs(found - want) < 0.01
    flat = noise.reshape(len(noise), -1)
    between = np.corrcoef(flat)
    assert np.abs(between - np.eye(len(flat))).max() < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02  # lines too
    assert not np.array_equal(made.tape.planes[1], made.tape.planes[2]) or plane == 0


# Jitter and head switching


def line_places(field: np.ndarray) -> np.ndarray:
    """Where a bright bar stands in each line, in samples, by its centre of gravity."""
    weight = field.astype(float) - 16
    return (weight * np.arange(field.shape[1])).sum(1) / weight.sum(1)


def bar(count=2, height=480, width=720) -> Batch:
    x = np.arange(width)
    line = 16 + 200 * np.exp(-(((x - width / 2) / 12.0) ** 2))
    planes = [np.broadcast_to(line, (count, height, width)).astype(np.float32)]
    planes += [np.full((count, height, width // 2), 128, np.float32)] * 2
    return clean(planes)


def test_jitter_has_its_deviation_and_its_length_down_the_field():
    made = Tape.only(jitter=80.0, jitter_lines=5).record(bar(count=12)).tape
    places = np.stack([line_places(f) for f in fields(made.planes[0])]) - 360
    nanoseconds = places / MHZ * 1000
    assert abs(nanoseconds.std() - 80) < 6
    for distance in (1, 4):
        found = np.corrcoef(nanoseconds[:, distance:].ravel(), nanoseconds[:, :-distance].ravel())[0, 1]
        assert abs(found - np.exp(-distance / 5)) < 0.06
    assert np.abs(np.corrcoef(nanoseconds) - np.eye(12)).max() < 0.4


def test_head_switching_skews_the_lowest_lines_to_the_right():
    made = Tape.only(head_switch_lines=6, head_switch_skew=4.0).record(bar(count=8)).tape
    places = np.stack([line_places(f) for f in fields(made.planes[0])]) - 360
    assert np.abs(places[:, :-6]).max() < 0.01
    skew = places[:, -5:] / MHZ  # us; the line of the switch itself is noisy
    assert (np.diff(skew, axis=1) > 0).all()
    assert (skew[:, -1] > 4.0 * 0.74).all() and (skew[:, -1] < 4.0 * 1.26).all() and skew[:, -1].std() > 0.1


def test_what_is_moved_out_of_the_picture_leaves_blanking_not_green():
    made = Tape(head_switch_skew=10.0, head_switch_lines=8, dropouts=6000, luma_noise=0, chroma_noise=0).record(
        clean([np.full((2, 480, 720), 200, np.uint8), *[np.full((2, 480, 360), v, np.uint8) for v in (90, 170)]])
    )
    y, u, v = (p[0].astype(int) for p in made.tape.planes)
    assert np.abs(y[-1, :40] - 16).max() < 3
    assert np.abs(u[-1, :20] - 128).max() < 3 and np.abs(v[-1, :20] - 128).max() < 3
    # Chroma never leaves what lies between the picture's own colour and no colour.
    assert u.min() >= 88 and u.max() <= 130 and v.min() >= 126 and v.max() <= 172


# Dropouts


def test_dropouts_come_as_often_as_asked_as_long_as_asked_and_as_white():
    recorder = Tape.only(dropouts=1200.0, dropout_length=20.0, dropout_white=0.7)
    count = 6000  # fields: 100.1 s
    found = [d for drops in recorder.dropouts_of(range(count), 480) for d in drops]
    minutes = count / float(recorder.field_rate) / 60
    assert abs(len(found) / minutes - 1200) < 4 * np.sqrt(1200 / minutes)
    lengths = np.array([d.length_us for d in found])
    assert abs(lengths.mean() - 20) < 2 and abs(lengths.std() - 20) < 2.5
    assert abs(np.mean([d.white for d in found]) - 0.7) < 0.05
    assert np.ptp([d.line for d in found]) > 200


def test_the_mask_is_where_the_tape_was_changed():
    truth = grey(count=40, height=480)
    made = Tape.only(dropouts=3600.0).record(truth)
    changed = made.tape.planes[0] != Tape.ideal().record(truth).tape.planes[0]
    assert changed.any() and not (changed & ~made.dropouts).any()
    assert (made.dropouts & changed).sum() > 0.97 * made.dropouts.sum()
    u = made.tape.planes[1]
    assert (u == 128).all()


def test_a_long_dropout_runs_on_in_the_next_lines():
    line, active = 63.5556, 720 / MHZ
    drop = faults.Dropout(field=0, line=10, start_us=50.0, length_us=line, white=True)
    assert faults.spans(drop, 240, line, active) == [
        (10, 50.0, active),
        (11, 0.0, pytest.approx(50.0)),
    ]
    in_blanking = faults.Dropout(0, 10, 54.0, 5.0, True)
    assert faults.spans(in_blanking, 240, line, active) == []
    assert [s[0] for s in faults.spans(faults.Dropout(0, 239, 0.0, 500.0, True), 240, line, active)] == [239]


# Sound


def spoilt(seconds=4.0, **knobs) -> np.ndarray:
    silence = np.zeros((2, round(48000 * seconds)), np.float32)
    return np.concatenate(list(Tape.only(**knobs).sound([silence], 48000)), axis=1)


def test_hiss_has_its_level_and_channels_differ():
    made = spoilt(hiss=-40.0)
    assert abs(20 * np.log10(made.std()) + 40) < 0.1
    assert abs(np.corrcoef(made)[0, 1]) < 0.01
    power = np.abs(np.fft.rfft(made[0])) ** 2
    assert abs(10 * np.log10(power[: len(power) // 2].mean() / power[len(power) // 2 :].mean())) < 0.2  # white


@pytest.mark.parametrize("standard, mains", [("ntsc", 60.0), ("pal", 50.0)])
def test_hum_has_its_level_frequency_and_harmonics(standard, mains):
    made = spoilt(hum=-30.0, standard=standard)
    spectrum = np.abs(np.fft.rfft(made[0])) / made.shape[1] * np.sqrt(2)
    hertz = np.fft.rfftfreq(made.shape[1], 1 / 48000)
    for i, db in enumerate(sound.HUM_HARMONICS):
        level = 20 * np.log10(spectrum[np.argmin(np.abs(hertz - mains * (i + 1)))])
        assert abs(level - (-30 + db)) < 0.01
    rest = np.min([np.abs(hertz - mains * k) for k in range(1, 6)], axis=0) > 1
    assert spectrum[rest].max() < 1e-5


def click_times(samples: np.ndarray) -> np.ndarray:
    """Seconds of the clicks of the demo's sound."""
    sharp = np.abs(np.diff(samples[0], n=2))
    loud = np.flatnonzero(sharp > 0.6 * sharp.max())
    return loud[np.insert(np.diff(loud) > 2000, 0, True)] / 48000 + 1 / 48000


def test_sound_delay_and_drift_move_the_clicks():
    source = tape.demo(frames=300, size=(64, 48))
    clean_sound = np.concatenate(list(source.sound()), axis=1)
    assert np.allclose(click_times(clean_sound), source.clicks, atol=2e-4)
    made = np.concatenate(list(Tape.only(sound_delay=20.0, sound_drift=2000.0).sound(source.sound(), 48000)), axis=1)
    assert np.allclose(click_times(made), np.array(source.clicks) * 1.002 + 0.02, atol=3e-4)
    assert abs(made.shape[1] - (clean_sound.shape[1] * 1.002 + 960)) < 3
    ideal = np.concatenate(list(Tape.ideal().sound(source.sound(), 48000)), axis=1)
    assert np.array_equal(ideal, clean_sound)


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(1, 9000), min_size=1, max_size=6),
    delay=st.sampled_from([0.0, 3.3, -40.0, 200.0]),
    drift=st.sampled_from([0.0, -300.0, 9000.0]),
    speed=st.sampled_from([1.0, 2.0]),
)
def test_sound_blocks_of_any_size_give_the_same_samples(cuts, delay, drift, speed):
    rng = np.random.default_rng(1)
    samples = rng.uniform(-0.5, 0.5, (1, sum(cuts))).astype(np.float32)
    blocks = np.split(samples, np.cumsum(cuts)[:-1], axis=1)
    recorder = Tape.only(hiss=-30.0, hum=-30.0, sound_delay=delay, sound_drift=drift)
    whole = [b for b in recorder.sound([samples], 8000, speed)]
    parts = [b for b in recorder.sound(blocks, 8000, speed)]
    whole, parts = (np.concatenate(x, axis=1) if x else np.empty((1, 0)) for x in (whole, parts))
    assert whole.shape == parts.shape and np.abs(whole - parts).max(initial=0) < 1e-5


# Clean clips of other rates and shapes


def steps(count: int, rate: Fraction, fmt: PictureFormat) -> list[Batch]:
    """Frame n is flat grey of level n."""
    planes = [np.full((count, *s), 128, np.uint8) for s in fmt.plane_shapes]
    planes[0][:] = np.arange(count, dtype=np.uint8)[:, None, None]
    pts = np.arange(count) * 1000
    return [Batch(tuple(planes), pts, np.full(count, 1000), 1 / (rate * 1000), fmt)]


SMALL = PictureFormat(48, 36, (1, 0), sar=Fraction(1), field_order="progressive", matrix="bt601")


@pytest.mark.parametrize(
    "standard, rate, want",
    [
        ("ntsc", Fraction(60000, 1001), [0, 1, 2, 3, 4, 5]),
        ("ntsc", Fraction(24000, 1001), [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),  # 3:2 pulldown
        ("pal", Fraction(25), [0, 0, 1, 1, 2, 2]),
        ("pal", Fraction(100), [0, 2, 4, 6]),
    ],
)
def test_hold_shows_what_is_on_display_at_each_fields_time(standard, rate, want):
    recorder = Tape.ideal(standard=standard)
    held = list(recorder.prepare(steps(12, rate, SMALL), to=SMALL))
    levels = np.concatenate([b.planes[0][:, 0, 0] for b in held])
    assert levels[: len(want)].tolist() == want
    assert np.concatenate([b.pts for b in held]).tolist() == list(range(len(levels)))
    assert abs(len(levels) - float(12 * recorder.field_rate / rate)) <= 1


def test_retime_makes_every_frame_a_field():
    made = list(Tape.ideal("pal").prepare(steps(7, Fraction(25), SMALL), motion="retime", to=SMALL))
    assert np.concatenate([b.planes[0][:, 0, 0] for b in made]).tolist() == list(range(7))
    recorded = list(Tape.ideal("pal").stream(steps(7, Fraction(25), SMALL), motion="retime", to=SMALL))
    assert sum(len(r.tape) for r in recorded) == 3  # the last lone field is dropped


@pytest.mark.parametrize("fit, place", [("crop", 0.5), ("letterbox", 0.5), ("stretch", 0.5)])
def test_a_wide_clip_keeps_its_middle_and_its_colours(fit, place):
    fmt = PictureFormat(320, 180, (1, 1), matrix="bt709", field_order="progressive")
    red = (63, 102, 240)
    planes = [np.full((2, *s), v, np.uint8) for s, v in zip(fmt.plane_shapes, red, strict=True)]
    planes[0][:, 70:110, 140:180] = 235
    batch = Batch(tuple(planes), np.arange(2), np.ones(2, int), Fraction(1, 50), fmt)
    to = PictureFormat(160, 120, (1, 0), matrix="bt601", field_order="progressive")
    made = next(Tape.ideal("pal").prepare([batch], fit=fit, to=to))
    y, u, v = (p[0].astype(float) for p in made.planes)
    bright = y > 160
    rows, columns = np.nonzero(bright)
    assert abs(columns.mean() / 159 - place) < 0.01 and abs(rows.mean() / 119 - place) < 0.01
    high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    # The mark is a square of the clip, and on a picture of square samples it is one again (unless stretched).
    assert abs(high / wide - (4 / 3 if fit == "stretch" else 1)) < 0.1
    at = (60, 20)
    assert np.abs([y[at] - 81, u[60, 10] - 90, v[60, 10] - 240]).max() <= 2  # BT.601 red
    assert (abs(y[2, 80] - 16) <= 1 and u[2, 40] == 128) == (fit == "letterbox")


# Knobs and bad input


def test_wrong_knobs_are_named():
    with pytest.raises(UnknownName, match="luma_noise"):
        Tape.of(luma_noize=3)
    with pytest.raises(KnobError, match="luma_noise is 1000 levels; expected 0 to 60 levels"):
        Tape.of(luma_noise=1000)
    with pytest.raises(KnobError, match="standard is 'secam'; expected one of ntsc, pal"):
        Tape.of(standard="secam")
    with pytest.raises(KnobError, match="whole number"):
        Tape.of(chroma_lines=1.5)
    with pytest.raises(PictureError, match="progressive"):
        next(Tape().prepare([grey().replace(format=grey().format.replace(field_order="tff"))]))
    with pytest.raises(PictureError, match="even number"):
        Tape().record(grey(count=3))


def test_every_knob_has_a_unit_or_says_what_it_is():
    for name, knob in Tape.knobs().items():
        assert name in Tape.__doc__
        assert knob.choices or knob.knob.unit or name in ("seed", "dropout_white")


# The demo


@pytest.mark.parametrize("standard", ["ntsc", "pal"])
def test_demo_moves_cuts_and_is_always_the_same(standard, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", None)  # no download
    source = tape.demo(frames=9, standard=standard, seed=3, size=(144, 96))
    frames = Batch.join(list(source.batches(size=7)))
    assert len(frames) == 18 and frames.format.dar == Fraction(4, 3)
    assert np.array_equal(frames.planes[1][5:9], next(source.batches(size=4, frames=(5, 9))).planes[1])
    luma = frames.planes[0].astype(float)
    change = np.abs(np.diff(luma, axis=0)).mean(axis=(1, 2))
    cuts = [round(t * source.rate) for t in source.cuts]
    assert cuts == [6, 12] and set(np.argsort(change)[-2:] + 1) == set(cuts)
    assert (change > 0.2).all()
    other = next(tape.demo(frames=9, standard=standard, seed=4, size=(144, 96)).batches(size=2))
    assert not np.array_equal(other.planes[0], frames.planes[0][:2])
    assert frames.planes[0].std() > 20 and frames.planes[2].std() > 5


# Files


def test_simulate_writes_the_tape_the_truth_and_the_sound(tmp_path):
    source = tape.demo(frames=7, size=(144, 96))
    made = tape.simulate(source, tmp_path / "tape.mkv", truth=tmp_path / "truth.mkv", seed=2, layout="4:2:0")
    assert made.frames == 7 and made.settings["seed"] == 2 and "7 frames" in str(made)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tape.mkv", "truth.mkv"]
    t, c = Clip.open(tmp_path / "tape.mkv"), Clip.open(tmp_path / "truth.mkv")
    assert (t.format.width, t.format.height, t.format.sar, t.format.field_order) == (720, 480, Fraction(8, 9), "tff")
    assert c.format.field_order == "progressive" and t.format.subsampling == c.format.subsampling == (1, 1)
    written, truth = Batch.join(list(t.batches())), Batch.join(list(c.batches()))
    to = t.format.replace(field_order="progressive")
    want = [r for r in Tape(seed=2).stream(source.batches(), to=to)]
    for i in range(3):
        assert np.array_equal(written.planes[i], np.concatenate([r.tape.planes[i] for r in want]))
        assert np.array_equal(truth.planes[i], np.concatenate([r.truth.planes[i] for r in want]))
    assert np.allclose(written.times, np.arange(7) * 1001 / 30000, atol=0.001)
    assert np.allclose(truth.times, np.arange(14) * 1001 / 60000, atol=0.001)
    from toolkit.media.sound import read_sound

    clean_sound, tape_sound = (np.concatenate([b.samples for b in read_sound(x)], axis=1) for x in (c, t))
    wanted = np.concatenate(list(source.sound()), axis=1)
    assert np.abs(clean_sound[:, : wanted.shape[1]] - wanted).max() < 2 / 32768
    added = tape_sound - clean_sound
    assert -51 < 20 * np.log10(added.std()) < -46  # hum at -52 with its harmonics and hiss at -50


def test_simulate_reads_a_clean_file_and_leaves_nothing_behind_when_it_fails(tmp_path):
    source = tape.demo(frames=4, size=(96, 72))
    tape.simulate(source, tmp_path / "a.mkv", truth=tmp_path / "clean.mkv", ideal=True)
    made = tape.simulate(tmp_path / "clean.mkv", tmp_path / "b.mkv", ideal=True, frames=3)
    assert made.frames == 3
    a, b = (Batch.join(list(Clip.open(tmp_path / n).batches())) for n in ("a.mkv", "b.mkv"))
    assert np.array_equal(a.planes[0][:3], b.planes[0])
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(OutputRefused, match="exists"):
        tape.simulate(tmp_path / "clean.mkv", tmp_path / "a.mkv")
    with pytest.raises(OutputRefused):
        tape.simulate(tmp_path / "clean.mkv", tmp_path / "c.mkv", truth=tmp_path / "no folder" / "t.mkv")
    with pytest.raises(PictureError, match="interlaced"):
        tape.simulate(tmp_path / "a.mkv", tmp_path / "c.mkv", truth=tmp_path / "t.mkv")
    with pytest.raises(OutputRefused, match="two names"):
        tape.simulate(source, tmp_path / "c.mkv", truth=tmp_path / "c.mkv")
    with pytest.raises(KnobError):
        tape.simulate(source, tmp_path / "c.mkv", luma_noise=-1)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
