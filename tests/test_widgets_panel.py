"""The panel: its picture is the whole run's, its words do what they say, and nothing makes it fall silent or die."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit
from tests import _clock
from tests import _media as m
from toolkit.clip import Batch, Clip
from toolkit.errors import RequestError
from toolkit.pipeline import Pipeline
from toolkit.presets import load, preset
from toolkit.settings import changed, parse_step, spoken
from toolkit.stages import Context, all_stages, deinterlace, denoise, upscale
from toolkit.widgets import panel
from toolkit.widgets.debounce import Debounced
from toolkit.widgets.moment import Moment

STEPS = Pipeline([deinterlace.bwdif(), denoise.temporal(gate=20.0, radius=2), upscale.lanczos(scale=2.0)])


@pytest.fixture
def clip():
    found = Clip.open(m.made("huffyuv.avi"))
    return replace(found, format=found.format.replace(field_order="tff"))


def whole(clip: Clip, steps: Pipeline) -> Batch:
    """The frames as a run makes them."""
    batches = (b.replace(format=clip.format) for b in clip.batches(8))
    return Batch.join(list(steps.stream(batches, clip.format, Context())))


@pytest.mark.parametrize("index", [0, 1, 7, 29])
@pytest.mark.parametrize("rate", ["field", "frame"])
def test_the_frame_that_is_shown_is_the_run_s(clip, index, rate):
    steps = Pipeline([deinterlace.bwdif(rate=rate), *STEPS[1:]])
    every = 2 if rate == "field" else 1
    run = whole(clip, steps)
    tape, shown = Moment(clip).frame(steps, index)
    for got, want in zip(shown.planes, run.planes, strict=True):
        assert np.array_equal(got[0], want[index * every])
    assert shown.times[0] == pytest.approx(run.times[index * every])
    first = next(clip.batches(1, frames=(index, index + 1)))
    assert all(np.array_equal(a, b) for a, b in zip(tape.planes, first.planes, strict=True))


@pytest.mark.parametrize("group", ["deinterlace", "repair", "denoise"])
def test_some_frames_of_a_stage_are_those_of_the_whole(clip, group):
    fmt = clip.format if group != "denoise" else clip.format.replace(field_order="progressive")
    batch = next(clip.batches(7)).replace(format=fmt)
    context = Context()
    for name, stage in all_stages().items():
        if stage.group != group:
            continue
        chosen = {"rate": "field", "cadence": "2:2"}  # 3:2 gives four frames for five: no frame has one result
        knobs = stage(**{n: v for n, v in chosen.items() if n in stage.parameters}).knobs
        rate = stage.rate(fmt, knobs)
        every = Batch.join(list(stage.apply(iter([batch]), fmt, knobs, context)))
        for window in ((0, 1), (4, 6)):
            some = stage.only(batch, window, fmt, knobs, context)
            want = every[window[0] * rate : window[1] * rate]
            assert some.format == want.format and np.array_equal(some.times, want.times), name
            assert all(np.array_equal(a, b) for a, b in zip(some.planes, want.planes, strict=True)), (name, window)


def test_a_step_with_a_memory_is_warmed_up(clip):
    steps = Pipeline([deinterlace.bwdif(), denoise.hqdn3d()])
    run = whole(clip, steps)
    _, shown = Moment(clip).frame(steps, 25)
    for got, want in zip(shown.planes, run.planes, strict=True):
        assert np.abs(got[0].astype(int) - want[50]).max() <= 1


def test_a_part_of_the_picture_is_that_part_of_the_run(clip):
    steps = Pipeline([deinterlace.bwdif(), denoise.temporal(gate=20.0, radius=2)])
    run = whole(clip, steps)
    _, shown = Moment(clip).frame(steps, 5, (0.25, 0.5, 0.25, 0.25))
    height, width = shown.planes[0].shape[1:]
    top, left = (round(f * n / 4) * 4 for f, n in ((0.5, clip.format.height), (0.25, clip.format.width)))
    assert np.array_equal(shown.planes[0][0], run.planes[0][10, top : top + height, left : left + width])
    assert abs(width - clip.format.width / 4) <= 4 and abs(height - clip.format.height / 4) <= 4


def test_only_what_the_steps_look_at_is_decoded_and_nothing_twice(clip):
    moment = Moment(clip)
    moment.frame(STEPS, 10)
    once = moment.decoded
    assert once <= 2 * 3 + 1, "bwdif looks one frame each way, two fields more reach one frame further, at most"
    for gate in (10.0, 30.0, 50.0):
        moment.frame(Pipeline([STEPS[0], denoise.temporal(gate=gate, radius=2), STEPS[2]]), 10)
    assert moment.decoded == once
    for index in (11, 12, 11, 10):
        moment.frame(STEPS, index)
    assert moment.decoded == once + 2, "a step of the slider needs one frame more, and none on the way back"


def test_a_knob_changes_the_picture_and_the_words(clip):
    p = panel(STEPS, clip, field_order="tff")
    first, words = p.picture.value, p.command
    p.rows[1].controls["gate"].field.value = 35.0
    assert p.picture.value != first and p.command != words and "gate=35" in p.command
    p.rows[1].controls["gate"].field.value = 10.000000000000002  # as a slider adds up its steps
    assert "gate=10" in p.command and "10.00" not in p.command
    p.rows[1].controls["gate"].reset.click()
    assert p.pipeline[1].knobs["gate"] == all_stages()["denoise.temporal"].parameters["gate"].default
    p.rows[2].on.value = False
    assert [s.name for s in p.pipeline] == ["deinterlace.bwdif", "denoise.temporal"]
    space = {"toolkit": toolkit, "deinterlace": deinterlace, "denoise": denoise, "upscale": upscale}
    exec(p.call.partition("\ntoolkit.restore")[0], space)
    assert space["steps"] == p.pipeline


def test_steps_change_places(clip):
    p = panel(Pipeline([deinterlace.bwdif(), denoise.hqdn3d(), denoise.temporal()]), clip, field_order="tff")
    p.move(p.rows[2], -1)
    assert [s.name for s in p.pipeline] == ["deinterlace.bwdif", "denoise.temporal", "denoise.hqdn3d"]
    assert p.command.startswith("#") and "preset" in p.command, "two of a group have no words"
    p.move(p.rows[0], -1)
    assert p.pipeline[0].name == "deinterlace.bwdif"


def test_a_preset_is_saved_once_and_reads_back(clip, tmp_path):
    p = panel("vhs", clip, field_order="tff")
    assert p.pipeline == preset("vhs").pipeline
    p.preset.name.value = str(tmp_path / "mine")
    p.preset.button.click()
    mine = load(tmp_path / "mine.yaml")
    assert mine.pipeline == p.pipeline and "saved" in p.message.value
    assert (mine.audio, mine.write) == (preset("vhs").audio, preset("vhs").write) and mine.audio != "keep"
    before = (tmp_path / "mine.yaml").read_bytes()
    p.rows[0].on.value = False
    p.preset.button.click()
    assert "is there already" in p.message.value and (tmp_path / "mine.yaml").read_bytes() == before
    with pytest.raises(RequestError, match=r"ends in \.yaml"):
        p.save(tmp_path / "mine.txt")


def test_what_cannot_be_done_is_said_and_the_panel_lives_on(clip, tmp_path):
    copy = tmp_path / "tape.avi"
    copy.write_bytes(m.made("huffyuv.avi").read_bytes())
    p = panel(STEPS, copy, field_order="tff")
    p.rows[0].on.value = False
    assert "interlaced" in p.message.value and "Traceback" not in p.message.value
    p.rows[0].on.value = True
    assert "ms" in p.message.value
    copy.rename(tmp_path / "gone.avi")
    p.time.value = 0.1
    assert "tape.avi" in p.message.value
    (tmp_path / "gone.avi").rename(copy)
    drawn = p.drawn
    p.time.value = 0.2
    assert p.drawn == drawn + 1


def test_a_clip_of_one_frame_and_views(tmp_path):
    one = tmp_path / "one.avi"
    m.ffmpeg("-i", m.made("huffyuv.avi"), "-frames:v", 1, "-c", "copy", one)
    p = panel("vhs", one, field_order="tff")
    assert p.picture.value[:2] == b"\xff\xd8", p.message.value
    seen = {p.picture.value}
    for view in ("before", "both"):
        p.view.value = view
        seen.add(p.picture.value)
    p.zoom.value = 4
    seen.add(p.picture.value)
    assert len(seen) == 4


def test_only_the_last_of_many_changes_is_drawn_and_it_is_drawn():
    async def session(clock):
        state, seen = {"value": 0}, []
        later = Debounced(lambda: seen.append(state["value"]), wait=0.05)
        for i in range(20):
            state["value"] = i
            later()
            await asyncio.sleep(0.04)
        assert seen == []
        await asyncio.sleep(0.02)
        assert seen == [19]
        state["value"] = 99
        later()
        later.flush()
        await asyncio.sleep(0.1)
        assert seen == [19, 99]
        later()
        later.cancel()
        await asyncio.sleep(0.1)
        assert seen == [19, 99]

    _clock.run(session)


def test_quick_work_follows_every_change_and_slow_work_waits(monkeypatch):
    async def session(clock):
        monkeypatch.setattr("toolkit.widgets.debounce.time", SimpleNamespace(perf_counter=clock.time))
        seen, slow = [], 0.0

        def work():
            seen.append(state["value"])
            clock.now += slow

        state = {"value": 0}
        later = Debounced(work, wait=0.2, quick=0.1)
        later()
        await asyncio.sleep(0.15)
        assert seen == [], "how long it takes is not known yet"
        await asyncio.sleep(0.1)
        assert seen == [0]
        for state["value"] in (1, 2, 3):
            later()
            await asyncio.sleep(0.02)
        assert seen == [0, 1, 2, 3], "work that was quick is done between two changes"
        slow = 0.15
        for state["value"] in (4, 5, 6, 7):
            later()
            await asyncio.sleep(0.02)
        assert seen == [0, 1, 2, 3, 4]
        await asyncio.sleep(0.4)
        assert seen == [0, 1, 2, 3, 4, 7], "the last value is never lost"

    _clock.run(session)


def test_the_stop_button_ends_a_picture_that_takes_long(clip, monkeypatch):
    """As in a kernel between two cells: an event loop, and Ctrl-C ignored."""
    p = panel(Pipeline([deinterlace.bwdif()]), clip, field_order="tff")
    first, begun = p.picture.value, threading.Event()

    def slow(*_):
        begun.set()
        for _ in range(600):
            time.sleep(0.05)

    def press():
        assert begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    async def session():
        with monkeypatch.context() as patch:
            patch.setattr(p._moment, "frame", slow)
            p.time.value = 0.2
            async with asyncio.timeout(60):
                while "stopped" not in p.message.value:
                    await asyncio.sleep(0.02)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    hand = threading.Thread(target=press)
    try:
        hand.start()
        asyncio.run(session())
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        hand.join()
        signal.signal(signal.SIGINT, before)
    assert "stopped" in p.message.value and p.picture.value == first
    p.time.value = 0.4
    assert "stopped" not in p.message.value and p.picture.value != first


@given(st.data())
def test_words_for_the_command_line_give_the_pipeline_back(data):
    steps = []
    for group, names in (
        ("deinterlace", ("bwdif", "yadif")),
        ("denoise", ("temporal", "nlmeans")),
        ("upscale", ("lanczos",)),
    ):
        name = data.draw(st.sampled_from((None, *names)))
        if name:
            stage = all_stages()[f"{group}.{name}"]
            knobs = {}
            for n, p in stage.parameters.items():
                if p.choices:
                    knobs[n] = data.draw(st.sampled_from(p.choices))
                elif p.kind is int:
                    knobs[n] = data.draw(st.integers(int(p.knob.low), int(p.knob.high)))
                elif p.kind is float:
                    knobs[n] = data.draw(st.floats(p.knob.low, p.knob.high))
            steps.append(stage(**knobs))
    words = spoken(Pipeline(steps))
    given_ = {w.removeprefix("--"): v for w, v in zip(words[::2], words[1::2], strict=True)}
    assert shlex.split(shlex.join(words)) == words
    for group, text in given_.items():
        step = parse_step(group, text)
        assert step == next((s for s in steps if s.stage.group == group), None)
    assert changed(preset("dvd").pipeline, **given_) == Pipeline(steps)
