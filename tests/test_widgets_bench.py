"""The tape bench: the right frame and field, scopes that tell the truth, a plain word for all that goes wrong."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from fractions import Fraction

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kernels.colour import coefficients
from tests import _media as m
from toolkit import widgets
from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.widgets import scopes, timecode
from toolkit.widgets.background import Background
from toolkit.widgets.pictures import film, part_shown, shown_as
from toolkit.widgets.thumbnails import Thumbnails, along

RATES = [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(24000, 1001), Fraction(50)]
EVERY = {0: "00:00:00;00", 1799: "00:00:59;29", 1800: "00:01:00;02", 17982: "00:10:00;00", 107892: "01:00:00;00"}


def image(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")).astype(int)


def flat(levels, form: PictureFormat) -> Batch:
    """One frame of bands from left to right, each of one (Y, Cb, Cr)."""
    planes = []
    for n, (height, width) in enumerate(form.plane_shapes):
        band = np.arange(width) * len(levels) // width
        values = np.array([v[n] for v in levels])[band]
        planes.append(np.broadcast_to(np.rint(values).astype(form.dtype), (1, height, width)).copy())
    return Batch(tuple(planes), np.zeros(1, np.int64), np.ones(1, np.int64), Fraction(1, 25), form)


# -- time code -------------------------------------------------------------------------------------------------------


def test_time_code_keeps_up_with_the_clock_by_dropping_numbers():
    for number, text in EVERY.items():
        assert timecode.written(number, RATES[2]) == text and timecode.parse(text, RATES[2]) == number
    assert timecode.written(215784, RATES[3]) == "01:00:00;00"
    assert timecode.written(90000, 25) == "01:00:00:00" and timecode.written(86400, RATES[4]) == "01:00:00:00"
    with pytest.raises(ValueError, match="leaves out"):
        timecode.parse("00:01:00;00", RATES[2])


@given(st.integers(0, 12 * 3600 * 60), st.sampled_from(RATES))
def test_a_time_code_leads_back_to_its_frame(number, rate):
    text = timecode.written(number, rate)
    assert timecode.parse(text, rate) == number
    assert number == 0 or timecode.written(number - 1, rate) < text


@pytest.mark.parametrize(
    "text, frame", [("#35", 35), ("1.5", 37), ("2 s", 50), ("1:00", 1500), ("0:01:00.5", 1512), ("1:00:00:24", 90024)]
)
def test_times_are_read_as_people_write_them(text, frame):
    assert timecode.parse(text, 25) == frame


@given(st.text(max_size=12))
def test_other_words_are_no_time(text):
    try:
        assert timecode.parse(text, 25) >= 0
    except ValueError as error:
        assert "time" in str(error)


# -- scopes ----------------------------------------------------------------------------------------------------------


def lit(picture):
    """Where the trace is: much greener than red."""
    return picture[..., 1] - picture[..., 0] > 40


@pytest.mark.parametrize(
    "bits, span, black, white", [(8, "limited", 16, 235), (10, "limited", 64, 940), (8, "full", 0, 255)]
)
def test_the_waveform_has_black_and_white_on_their_lines_and_columns_in_their_places(bits, span, black, white):
    form = PictureFormat(96, 64, (1, 0), bits, matrix="bt601", range=span)
    grey = 1 << (bits - 1)
    sheet = lit(image(scopes.waveform_png(flat([(black, grey, grey), (white, grey, grey)], form))))
    trace = sheet[scopes._TOP : scopes._TOP + 256, scopes._LEFT : scopes._LEFT + scopes._COLUMNS]
    low, high = (16, 235) if span == "limited" else (0, 255)
    half = scopes._COLUMNS // 2
    assert trace[255 - low, : half - 4].all() and trace[255 - high, half + 4 :].all()
    assert trace.sum() == scopes._COLUMNS, "nothing else is lit"
    column = scopes._waveform_paper(span)[scopes._TOP : scopes._TOP + 256, scopes._LEFT + 5]
    lines = np.flatnonzero((column != scopes._PAPER).any(axis=1))
    assert (lines[0], lines[-1], len(lines)) == (255 - high, 255 - low, 5)


@pytest.mark.parametrize(
    "matrix, bits, span", [("bt601", 8, "limited"), ("bt709", 10, "limited"), ("bt601", 8, "full")]
)
def test_colour_bars_lie_in_their_boxes(matrix, bits, span):
    table = coefficients(matrix, span, bits)
    bars = [table.to_yuv @ (np.array(rgb) * 0.75 * ((1 << bits) - 1)) + table.offset for rgb in scopes._BARS.values()]
    form = PictureFormat(96, 64, (0, 0), bits, matrix=matrix, range=span)
    sheet, paper = image(scopes.vectorscope_png(flat(bars, form))), scopes._vector_paper(matrix, span).astype(int)
    glow = np.abs(sheet - paper).sum(axis=2) > 60
    for _, cb, cr in bars:
        x, y = 2 * cb / (1 << (bits - 8)) + 1, scopes._TOP + 2 * (255 - cr / (1 << (bits - 8))) + 1
        assert glow[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].any()
        glow[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7] = False
    assert not glow.any()


def test_scopes_look_at_the_part_that_is_shown_and_bear_grey_and_tiny_pictures():
    form = PictureFormat(96, 64, (1, 1), matrix="bt601")
    two = flat([(60, 128, 128), (200, 90, 200)], form)
    right = scopes.waveform_png(two, (0.5, 0, 0.5, 1))
    assert right == scopes.waveform_png(flat([(200, 90, 200)], form)) != scopes.waveform_png(two)
    assert scopes.vectorscope_png(two, (0.5, 0, 0.5, 1)) == scopes.vectorscope_png(flat([(200, 90, 200)], form))
    grey = flat([(99,)], PictureFormat(17, 16, None))
    assert image(scopes.vectorscope_png(grey)).shape == image(scopes.vectorscope_png(two)).shape
    assert lit(image(scopes.waveform_png(grey, (0.99, 0.99, 0.01, 0.01)))).any()


# -- fields ----------------------------------------------------------------------------------------------------------


def striped(order):
    """Top field light, bottom field dark."""
    form = PictureFormat(64, 48, (1, 1), field_order=order, matrix="bt601")
    batch = flat([(200, 128, 128)], form)
    batch.planes[0][:, 1::2] = 50
    return batch


def test_fields_are_shown_apart_in_turn_and_woven():
    for order in ("tff", "bff", "unknown"):
        top, bottom = shown_as(striped(order), "separate")
        assert top.min() > 200 and bottom.max() < 60 and top.shape == (48, 64, 3)
        first, second = shown_as(striped(order), "interleaved")
        assert (first.mean() > second.mean()) == (order != "bff")
        (woven,) = shown_as(striped(order), "woven")
        assert woven[0::2].min() > 200 and woven[1::2].max() < 60


def test_a_burst_keeps_the_times_and_gives_each_field_its_own():
    clip = Clip.open(m.made("vfr.mkv"))
    batches = list(clip.batches(1))
    times = np.array([b.times[0] for b in batches])
    told, images = film(iter(batches), "woven")
    assert [s[0] for s in told["steps"]] == pytest.approx(1000 * (times - times[0]), abs=0.01)
    assert len(images) == 30 and told["length"] > told["steps"][-1][0]
    told, images = film(iter(batches), "interleaved")
    assert len(images) == 60 and [s[2] for s in told["steps"]] == [1] * 60
    assert told["steps"][1][0] == pytest.approx(500 * (times[1] - times[0]), abs=0.01)
    told, images = film(iter(batches), "separate")
    assert [s[1:] for s in told["steps"]] == [[2 * n, 2] for n in range(30)] and len(images) == 60


@given(st.floats(1, 16), st.floats(0, 1), st.floats(0, 1))
def test_a_zoom_stays_in_the_picture_and_shows_whole_samples(zoom, x, y):
    form = PictureFormat(355, 289)
    left, top, width, height = part_shown(form, zoom, (x, y))
    for at, size, n in ((left, width, 355), (top, height, 289)):
        assert 0 <= at and at + size <= 1 + 1e-9 and 1 / zoom - 1e-9 <= size <= 1 / zoom + 2 / n
        assert at * n == pytest.approx(round(at * n)) and size * n == pytest.approx(round(size * n))


# -- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted():
    """Frame n of 40 is grey of level 16 + 4 n, at 25 a second, with two seconds of a tone."""
    raw, path = m.folder() / "bench.rgb", m.folder() / "bench.mkv"
    levels = np.arange(40, dtype=np.uint8) * 4 + 16
    raw.write_bytes(np.broadcast_to(levels[:, None, None, None], (40, 48, 64, 3)).tobytes())
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", 25, "-i", raw)
    tone = ("-f", "lavfi", "-t", 1.6, "-i", "sine=440:r=8000")
    m.ffmpeg(*source, *tone, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", 20, "-crf", 4, "-c:a", "flac", path)
    return path


def number(bench, picture=None):
    return round((image(bench.pictures[0] if picture is None else picture).mean() - 16) / 4)


def page(bench, kind, **more):
    """The page sends a word; what comes back."""
    got = []
    bench.send = lambda content, buffers=None: got.append((content, buffers))
    bench._handle_custom_msg({"kind": kind, "number": 7, **more}, [])
    assert got[-1][0] == {"kind": "done", "number": 7}
    return got[:-1]


def test_the_frame_that_is_asked_for_is_shown_from_python_and_from_the_page(counted):
    bench = widgets.open(counted)
    assert (bench.position, bench.last, number(bench), bench.timecode) == (19, 39, 19, "00:00:00:19")
    for n in (0, 39, 20, 21, 7):
        bench.position = n
        assert number(bench) == n and bench.timecode == timecode.written(n, 25) and not bench.message["text"]
    bench.set_state({"position": 33, "view": "separate", "zoom": 4.0, "centre": [1.0, 0.0], "asked": 1})
    assert bench.answered == 1 and len(bench.pictures) == 2 and number(bench) == 33
    assert bench.detail["part"] == [0.75, 0.0, 0.25, 0.25] and image(bench.detail["pictures"][1]).shape == (12, 16, 3)
    bench.set_state({"zoom": 1.0, "view": "woven", "asked": 2})
    assert bench.detail == {} and bench.answered == 2 and len(bench.pictures) == 1
    for text, frame in (("00:00:01:10", 35), ("0.5", 12), ("#3", 3)):
        page(bench, "go", text=text)
        assert bench.position == frame and number(bench) == frame and not bench.message["text"]
    assert widgets.open(counted, time=0.4).position == 10


def test_scopes_follow_and_can_be_switched_off(counted):
    bench = widgets.open(counted)
    first = bench.waveform
    bench.position = 30
    assert bench.waveform != first
    second = bench.waveform
    bench.scopes = False
    bench.position = 10
    assert bench.waveform == second
    bench.scopes = True
    assert bench.waveform != second


def test_what_is_out_of_range_is_brought_into_it_and_said(counted):
    bench = widgets.open(counted, time=99.0, view="sideways")
    assert bench.position == 39 and bench.view == "woven"
    assert "no view 'sideways'" in bench.message["text"] and "there is no frame 2475" in bench.message["text"]
    assert bench.message["kind"] == "note" and number(bench) == 39
    bench.position = 12
    assert bench.message["text"] == ""
    for name, value, held, words in (
        ("position", -5, 0, "the first"), ("position", 4000, 39, "the last"), ("position", 5000, 39, "the last"),
        ("zoom", 99.0, 16.0, "from 1 to 16"), ("zoom", 0.0, 1.0, "from 1 to 16"), ("zoom", float("nan"), 1.0, "from 1"),
        ("view", "x", "woven", "no view"),
        ("centre", [7, float("nan")], [1.0, 0.5], ""), ("centre", ["a"], [0.5, 0.5], ""),
    ):  # fmt: skip
        setattr(bench, name, value)
        assert getattr(bench, name) == held and words in bench.message["text"]
    bench.position = 5
    bench.set_state({"position": 999, "asked": 5})
    assert (bench.position, bench.answered, number(bench)) == (39, 5, 39) and "no frame 999" in bench.message["text"]
    page(bench, "go", text="noon")
    assert "'noon' is no time" in bench.message["text"] and bench.position == 39
    page(bench, "go", text="9:00:00:00")
    assert "no frame 810000 (09:00:00:00)" in bench.message["text"]


def test_a_clip_that_goes_away_and_comes_back_changed(counted, tmp_path):
    path = tmp_path / "tape.mkv"
    path.write_bytes(counted.read_bytes())
    bench = widgets.open(path)
    page(bench, "shown")
    assert bench._background.wait(120) and all(bench.strip)
    path.rename(tmp_path / "away.mkv")
    bench.position = 30
    assert bench.message["kind"] == "error" and "tape.mkv cannot be read any more" in bench.message["text"]
    assert number(bench) == 19, "the last picture stays"
    for kind in ("play", "sound", "go"):
        assert page(bench, kind, text="3") == []
        assert "cannot be read" in bench.message["text"]
    (tmp_path / "away.mkv").rename(path)
    bench.position = 19
    assert bench.message["text"] == "" and number(bench) == 19, "also where nothing new is to be drawn"
    bench.position = 10
    m.ffmpeg("-i", counted, "-frames:v", 11, "-vf", "negate", "-an", "-c:v", "ffv1", tmp_path / "other.mkv")
    (tmp_path / "other.mkv").replace(path)
    page(bench, "again")
    assert "was changed" in bench.message["text"] and (bench.last, bench.position) == (10, 10)
    assert number(bench) == round((255 - 16 - 40 - 16) / 4) and not bench.tracks
    assert bench._background.wait(120) and len(bench.strip) == 11 and number(bench, bench.strip[0]) > 50
    path.write_bytes(b"no video" * 100)
    bench.position = 2
    assert bench.message["kind"] == "error" and "not a video" in bench.message["text"]


def test_a_clip_that_is_not_there_or_no_video_opens_with_a_word_and_can_be_put_there(counted, tmp_path):
    path = tmp_path / "later.mkv"
    bench = widgets.open(path)
    assert bench.message["kind"] == "error" and "there is no file" in bench.message["text"] and not bench.pictures
    bench.position, bench.zoom = 12, 3.0
    page(bench, "shown")
    path.write_text("not yet")
    page(bench, "again")
    assert "not a video" in bench.message["text"]
    path.write_bytes(counted.read_bytes())
    page(bench, "again")
    assert bench.message["text"] == "" and number(bench) == 19 and bench.last == 39
    assert bench._background.wait(120) and all(bench.strip) and bench.findings
    bench.load(m.made("silent.avi"))
    assert bench.name == "silent.avi" and bench.last == 29 and not bench.message["text"]
    for wrong in (tmp_path, 3, None):
        bench.load(wrong)
        assert bench.message["kind"] == "error" and not bench.pictures and bench.last == 0
        page(bench, "play")
        page(bench, "again")


def test_a_clip_of_one_frame(tmp_path):
    one = tmp_path / "one.avi"
    m.ffmpeg("-i", m.made("dv_pal.avi"), "-frames:v", 1, "-c", "copy", one)
    bench = widgets.open(one)
    assert (bench.last, bench.position, len(bench.pictures)) == (0, 0, 1) and not bench.message["text"]
    page(bench, "shown")
    assert bench._background.wait(120) and len(bench.strip) == 1 and bench.strip[0] and len(bench.findings) > 5
    ((told, pictures),) = page(bench, "play")
    assert len(told["steps"]) == len(pictures) == 1 and told["length"] == pytest.approx(40)
    for view in ("separate", "interleaved"):
        bench.view = view
        assert len(bench.pictures) == 2


def test_a_tape_of_twelve_hours_is_sought_and_not_read(tmp_path):
    short, path = tmp_path / "short.mkv", tmp_path / "long.mkv"
    m.ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32:r=5:d=60", "-c:v", "libx264", "-g", 50, "-crf", 18, short)
    m.ffmpeg("-stream_loop", -1, "-i", short, "-c", "copy", "-t", 12 * 3600, path)
    before = psutil.Process().io_counters().read_chars
    bench = widgets.open(path)
    for place in (0, bench.last, 123_456):
        bench.position = place
    page(bench, "play")
    read = psutil.Process().io_counters().read_chars - before
    assert abs(bench.last - 12 * 3600 * 5) < 10 and not bench.message["text"]
    assert bench.timecode == timecode.written(123_456, 5) == "06:51:31:1"
    before, cache = psutil.Process().io_counters().read_chars, Thumbnails()
    for _, seconds in along(0.0, 12 * 3600, 16):
        assert cache.get(path, seconds, within=1350)[:2] == b"\xff\xd8"
    thumbs = psutil.Process().io_counters().read_chars - before
    assert max(read, thumbs) < path.stat().st_size / 3, (read, thumbs, path.stat().st_size)


def test_sound_is_the_stretch_from_this_frame_on(counted):
    import soundfile

    bench = widgets.open(m.made("dv_pal.avi"))
    bench.seek(m.BURSTS[0] - 0.04)
    ((told, (data,)),) = page(bench, "sound", track=0)
    samples, rate = soundfile.read(io.BytesIO(data))
    assert told["seconds"] == pytest.approx(len(samples) / rate) and rate == 48000 and samples.shape[1] == 2
    assert m.burst_times(samples[:, 0], rate)[0] == pytest.approx(0.04, abs=1e-3)
    assert page(bench, "sound", track=5) == [] and "no sound track 5" in bench.message["text"]
    silent = widgets.open(m.made("silent.avi"))
    assert page(silent, "sound") == [] and "no sound track" in silent.message["text"]


def test_thumbnails_and_findings_arrive_between_cells_in_the_loop_s_thread(counted):
    async def notebook():
        bench, threads = widgets.open(m.made("huffyuv.avi")), set()
        bench.observe(lambda _: threads.add(threading.current_thread()), ["strip", "findings", "pictures"])
        assert bench.about.split()[4] == "unknown"
        page(bench, "shown")
        assert not any(bench.strip), "nobody waits"
        async with asyncio.timeout(120):
            while not bench.findings:
                await asyncio.sleep(0.05)
        assert all(bench.strip) and dict(bench.findings)["field order"].startswith("tff")
        assert bench.about.split()[4] == "tff", "fields are shown in the order that was measured"
        assert threads == {threading.main_thread()}
        bench.close()

    asyncio.run(notebook())


def test_loading_another_tape_forgets_the_thumbnails_of_the_first(counted):
    bench = widgets.open(m.made("huffyuv.avi"))
    page(bench, "shown")
    bench.load(counted)
    assert bench._background.wait(120)
    assert {number(bench, p) for p in bench.strip} <= set(range(40)) and len(set(bench.strip)) > 10
    assert dict(bench.findings)["file"].startswith("bench.mkv") and bench.name == "bench.mkv"
    bench.load(m.made("dv_pal.avi"))
    bench.load("nowhere.avi")
    assert bench._background.wait(120) and bench.strip == [] and bench.findings == []


def test_an_error_in_the_background_is_a_result_and_one_in_its_reception_is_not_lost():
    got, row = [], Background()
    row.start([(lambda: 1 / 0, got.append), (lambda: 7, got.append)])
    assert row.wait(60) and isinstance(got[0], ZeroDivisionError) and got[1] == 7
    row.start([(lambda: 7, lambda _: {}["no"])])
    with pytest.raises(KeyError):
        for _ in range(1000):  # the thread may still be on its way out
            row.wait(0.05) and time.sleep(0.05)
