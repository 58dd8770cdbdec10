"""Progress: throttled, but stage changes and the end always show."""

from __future__ import annotations

import io
import json

from toolkit.progress import BarSink, JsonSink, Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sixty_updates_a_second_are_drawn_once_a_second():
    clock, seen = Clock(), []
    progress = Progress(seen.append, clock=clock)
    progress.stage("restore", 600)
    for _ in range(600):
        clock.now += 1 / 60
        progress.step()
    progress.finish()
    middle = [s for s in seen if not s.finished][1:]
    assert 8 <= len(middle) <= 10
    assert seen[-1].finished and seen[-1].done == 600


def test_stage_changes_show_even_within_the_same_second():
    clock, seen = Clock(), []
    progress = Progress(seen.append, clock=clock)
    for name in ("read", "restore", "check"):
        progress.stage(name)
    assert [s.stage for s in seen] == ["read", "restore", "check"]


def test_a_stage_that_ends_shows_its_last_count():
    clock, seen = Clock(), []
    progress = Progress(seen.append, clock=clock)
    progress.stage("restore", 10)
    progress.step(10)  # too soon to be drawn
    progress.stage("check")
    assert [(s.stage, s.done) for s in seen] == [("restore", 0), ("restore", 10), ("check", 0)]


def test_time_left_follows_from_the_speed():
    clock, seen = Clock(), []
    progress = Progress(seen.append, clock=clock)
    progress.stage("restore", 100)
    clock.now = 2.0
    progress.step(50)
    assert seen[-1].per_second == 25 and seen[-1].left == 2


def test_json_lines_parse_and_the_bar_writes_its_stage():
    text = io.StringIO()
    progress = Progress(JsonSink(text))
    progress.stage("restore", 10)
    progress.step(10)
    progress.finish()
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert lines[0]["event"] == "progress" and lines[-1]["done"] == 10 and lines[-1]["finished"]
    text = io.StringIO()
    progress = Progress(BarSink(text))
    progress.stage("restore", 10)
    progress.step(10)
    progress.finish()
    assert "restore: 100%" in text.getvalue() and "10/10" in text.getvalue()


def test_what_an_earlier_run_did_counts_for_the_part_and_not_for_the_speed():
    now, shown = [0.0], []
    progress = Progress(shown.append, clock=lambda: now[0])
    progress.stage("restore", 100, done=60)
    now[0] = 10.0
    progress.step(20)
    assert (shown[-1].done, shown[-1].per_second, shown[-1].left) == (80, 2.0, 10.0)


def test_stages_with_weights_tell_how_far_the_whole_is():
    clock, seen = Clock(), []
    progress = Progress(seen.append, clock=clock, weights={"restore": 6, "join": 1, "check": 3})
    told = []
    for name, total in (("restore", 100), ("check", 10)):  # joining was left out
        progress.stage(name, total)
        told.append(seen[-1].whole)
        clock.now += 2
        progress.step(total // 2)
        told.append(seen[-1].whole)
    progress.finish()
    assert told == [0.0, 0.3, 0.7, 0.85] and seen[-1].whole == 1.0
    progress.stage("something else", 10)
    assert 0 <= seen[-1].whole <= 1
    plain = Progress(seen.append)
    plain.stage("restore", 10)
    assert seen[-1].whole is None
