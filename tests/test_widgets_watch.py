"""The watch as a widget: shows a real run while it works, ends it on request, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests._process import gone
from toolkit import scratch
from toolkit.profiling.alerts import Limits
from toolkit.profiling.course import Course
from toolkit.profiling.looks import Look
from toolkit.widgets import watch

#: Each stage lasts until a file of its name is there: how often one looks in a time depends on the machine.
WORKS = """
import json, pathlib, time
held = []
for stage, speed in (("read", 50.0), ("restore", 12.5)):
    while True:
        print(json.dumps({{"stage": stage, "per_second": speed}}), flush=True)
        held = [*held[-30:], bytearray(b"1") * 4_000_000]
        if pathlib.Path({folder!r}, stage).exists():
            break
        time.sleep(0.1)
raise SystemExit({code})
"""


def command(tmp_path, code=0):
    script = tmp_path / "works.py"
    script.write_text(WORKS.format(folder=str(tmp_path), code=code))
    return [sys.executable, "-S", str(script)]


def rows(view):
    return {row["name"]: row for row in view.seen["rows"]}


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def nothing_left():
    before = set(psutil.Process().children(recursive=True))
    yield
    for thread in (watching := [t for t in threading.enumerate() if t.name == "vhs-watch"]):
        thread.join(60)  # one that has said its last word is still on its way out
    assert not [t for t in watching if t.is_alive()]
    assert all(gone(p.pid) for p in set(psutil.Process().children(recursive=True)) - before)
    assert not list(scratch.root().glob(f"{os.getpid()}-*"))


def test_a_command_is_shown_while_it_works(tmp_path):
    drawn = []
    view = watch(command=command(tmp_path), every=0.05, limits=Limits(memory=40e6))
    view.observe(lambda change: drawn.append(time.monotonic()), "seen")
    until(lambda: view.seen["alerts"] and rows(view)["memory"]["most"] > 60 and len(view.course.times) > 5)
    (tmp_path / "read").touch()
    until(lambda: "frames/s, restore" in rows(view))
    (tmp_path / "restore").touch()
    found = view.wait(120)
    assert view.state == "ended" and "ended with exit code 0" in view.message["text"]
    assert found.looks > 5 and len(drawn) <= found.seconds + 2, "at most once a second, and the end"
    shown = rows(view)
    assert shown["memory"]["unit"] == "MiB" and shown["memory"]["most"] > 60 and shown["memory"]["alert"]
    assert shown["frames/s, read"]["most"] == 50 and shown["frames/s, restore"]["most"] == 12.5
    read, restore = (shown[f"frames/s, {s}"]["points"] for s in ("read", "restore"))
    assert not any(a is not None and b is not None for a, b in zip(read, restore, strict=True)), "each in its stage"
    assert {len(row["points"]) for row in shown.values()} == {len(view.seen["times"])}
    assert view.seen["alerts"][0].startswith("ALERT at") and "memory" in view.seen["alerts"][0]


def test_a_command_that_fails_is_said_with_its_last_words(tmp_path):
    for stage in ("read", "restore"):
        (tmp_path / stage).touch()
    view = watch(command=command(tmp_path, code=3))
    view.wait(60)
    assert view.state == "failed" and "exit code 3" in view.message["text"] and view.message["kind"] == "error"


def test_the_button_ends_the_command_and_all_it_started(tmp_path):
    view = watch(command="sh -c 'sleep 300 & sleep 300'")
    assert view.action == "end the command"
    until(lambda: rows(view).get("processes", {}).get("most", 0) >= 1)
    pid = int(view.name.split("(")[1].rstrip(")"))
    started = psutil.Process(pid).children()
    view._handle_custom_msg({"do": "stop"}, [])
    view.wait(60)
    assert all(gone(p) for p in (pid, *(s.pid for s in started)))
    assert "was stopped with the watching" in view.message["text"]


def test_a_process_is_left_alone_and_its_exit_code_to_its_owner(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as program:
        view = watch(program.pid)
        until(lambda: rows(view))
        view.stop()
        assert program.poll() is None and "is running still" in view.message["text"]
        program.kill()
    with subprocess.Popen(["sh", "-c", "read line; exit 7"], stdin=subprocess.PIPE) as program:
        view = watch(program)  # a Popen will do
        until(lambda: rows(view))
        time.sleep(0.2)  # it waits for its next look
        program.stdin.close()
        view.wait(60)
        assert program.wait(60) == 7, "the watcher must not take the exit code"


def test_what_cannot_be_watched_is_said():
    for wanted, said in (({}, "0 things"), ({"pid": 1, "command": "true"}, "2 things"), ({"command": "'"}, "cannot be"),
                         ({"pid": 2**22 + 1}, "there is no process"), ({"queue": "nowhere.db"}, "there is no queue"),
                         ({"command": "no-such-program-here"}, "could not be started")):  # fmt: skip
        view = watch(**wanted)
        view.wait(60)
        assert said in view.message["text"] and view.state == "failed", view.message


def test_looks_go_into_a_file_too(tmp_path):
    import pandas as pd

    words = ["sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done', str(tmp_path / "go")]
    view = watch(command=words, every=0.1, output=tmp_path / "looks.parquet")
    until(lambda: len(view.course.times) > 1)
    (tmp_path / "go").touch()
    found = view.wait(60)
    assert len(pd.read_parquet(tmp_path / "looks.parquet")) == found.looks


INTERRUPTED = """
import sys, threading, time, traceback
from toolkit.widgets import watch
def begun(command):
    view = watch(command=command)
    while not view.seen["rows"]:
        time.sleep(0.05)
    return view
kept, view = begun("sleep 301"), begun("sleep 300")
def told():  # once the wait below has begun
    files = []
    while files[:1] != [threading.__file__] or not any(f.endswith("watching.py") for f in files):
        frame = sys._current_frames()[threading.main_thread().ident]
        files = [f.f_code.co_filename for f, _ in traceback.walk_stack(frame)]
        time.sleep(0.05)
    print(kept.name, view.name, sep="\\n", flush=True)
teller = threading.Thread(target=told)
try:
    teller.start()
    view.wait()
except KeyboardInterrupt:
    print("interrupted", view.state, flush=True)
# and now the kernel ends, with `kept` watching still
"""


def test_an_interrupt_and_the_end_of_the_kernel_leave_nothing(tmp_path):
    env = {**os.environ, "VHS_TOOLKIT_SCRATCH": str(tmp_path / "scratch")}
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True, env=env) as program:
        try:
            started = [int(program.stdout.readline().split("(")[1].rstrip(")\n")) for _ in range(2)]
            program.send_signal(signal.SIGINT)
            assert program.stdout.readline() == "interrupted ended\n"
            assert gone(started[1])
            assert program.wait(60) == 0
        finally:
            program.kill()  # else a broken watch would hold the tests
    assert gone(started[0]) and not list(tmp_path.glob("scratch/*"))


def test_a_picture_stays_in_the_notebook(tmp_path, monkeypatch):
    from IPython import display as ipython

    told = []

    class Handle:
        def update(self, data, **_):
            told.append(data)

    def display(data, display_id=None, **_):
        told.append(data)
        return Handle() if display_id else None

    monkeypatch.setattr(ipython, "display", display)
    view = watch(command=command(tmp_path), every=0.1)
    view._ipython_display_()
    until(lambda: len(view.course.times) > 3)
    view.stop()
    view.wait()
    first, widget, last = told
    assert "application/vnd.jupyter.widget-view+json" in widget
    picture = Image.open(io.BytesIO(base64.b64decode(last["image/png"])))
    assert picture.width > 500 and first["image/png"] != last["image/png"]
    assert not view._keep_still(), "once it has ended nothing is drawn any more"
    assert len(told) == 3


def look(seconds, value, stage=None):
    return Look(0, seconds, 1, 0, value, 0.1, 0.2, None, None, 1, 1, None, None, None, stage, value if stage else None)


@given(
    st.lists(st.tuples(st.floats(0, 1e12), st.sampled_from([None, "read", "write"])), min_size=1, max_size=400),
    st.integers(2, 9),
)
def test_a_course_stays_small_and_keeps_its_peaks(told, points):
    course = Course(points)
    for n, (value, stage) in enumerate(told):
        course.add(look(float(n), value, stage))
    assert len(course.times) <= points and course.times[-1] == len(told) - 1
    assert course.times == sorted(set(course.times))
    for name, curve in course.values.items():
        assert len(curve) == len(course.times)
        assert max(v for v in curve if v is not None) == course.most[name]
    assert course.most["memory"] == max(v for v, _ in told) / 2**20
    last = told[-1]
    for stage in ("read", "write"):
        if f"frames/s, {stage}" in course.values:
            assert (course.now[f"frames/s, {stage}"] is not None) == (last[1] == stage)
