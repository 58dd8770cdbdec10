"""The leaks of the first report stay mended, looked at from outside; and the baselines, which have them, show them.

Every test breaks something in the middle and then looks at the file system, the process table or what is held.  Each
runs against ours and against its baseline: a test that finds nothing wrong with the baseline would prove nothing.
"""

from __future__ import annotations

import gc
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import tracemalloc

import psutil
import pytest

from benchmarks.baseline import programs, progress, status, thumbnails
from tests import _leaking as leaks
from tests import _media as m
from toolkit import process, scratch
from toolkit.jobs import Queue, Wish
from toolkit.progress import BarSink, Progress

LONG = 60  # seconds that no test waits


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder in the place of the system's temporary one."""
    m.made("huffyuv.avi")  # its own folder stands in the real one
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(folder / "scratch"))
    return folder


def left_after_an_error(way, tape, folder) -> list[str]:
    with pytest.raises(leaks.Broken):
        way(tape, leaks.breaking(after=1))
    gc.collect()  # the error's traceback held the generators
    return leaks.files_in(folder)


@pytest.mark.parametrize(("way", "leaks_files"), [(leaks.compare_ours, False), (leaks.compare_baseline, True)])
def test_comparison_temp_cleanup(way, leaks_files, temporary):
    tape, seen = m.made("huffyuv.avi"), []
    way(tape, seen.append)
    assert len(seen) == 8, "both look at as many frames"
    assert leaks.files_in(temporary) == []
    assert bool(left_after_an_error(way, tape, temporary)) is leaks_files


@pytest.mark.parametrize(("way", "leaks_files"), [(leaks.sound_ours, False), (leaks.sound_baseline, True)])
def test_audio_temp_cleanup(way, leaks_files, temporary):
    tape, seen = m.made("huffyuv.avi"), []
    way(tape, seen.append)
    assert seen and leaks.files_in(temporary) == []
    assert bool(left_after_an_error(way, tape, temporary)) is leaks_files


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("way", ["compare_ours", "compare_baseline", "sound_ours", "sound_baseline"])
def test_a_kill_leaves_nothing_once_the_toolkit_has_started_again(way, temporary):
    leaks.killed_in_the_middle(way, m.made("huffyuv.avi"), temporary)
    with scratch.folder():
        pass  # what every start does
    assert bool(leaks.files_in(temporary)) is way.endswith("baseline")


def held_after(cache, tapes, requests: int) -> int:
    """Bytes that `requests` different pictures of 1280 pixels leave allocated."""
    gone = tapes[0].parent / "gone.mp4"
    for tape in tapes:
        cache.get(tape, 0.0, 1280)  # decoders and their files are open from here on
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(requests):
            cache.get(tapes[n % len(tapes)], n * 1e-2, 1280)
            if n % 10 == 5:
                with pytest.raises(Exception, match="no file|No such file"):
                    cache.get(gone, 0.0, 1280)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_thumbnail_cache_limit(tmp_path):
    from toolkit.media.thumbnails import Thumbnails

    tape = tmp_path / "noise.mp4"
    noise = "nullsrc=s=1280x720:r=25,geq=random(1)*255:128:128"
    m.ffmpeg("-f", "lavfi", "-i", noise, "-t", 0.2, "-c:v", "libx264", "-preset", "ultrafast", "-crf", 20, tape)
    ours, baseline = (held_after(cache, [tape], 22) for cache in (Thumbnails(), thumbnails.Thumbnails()))
    most = 11 << 20  # 10 MB of pictures and what the dictionaries take
    assert ours < most < baseline, f"{ours >> 20} MiB held by ours, {baseline >> 20} MiB by the baseline"


@pytest.mark.skipif(os.name != "posix", reason="counts descriptors")
@pytest.mark.parametrize("ours", [True, False])
def test_process_handles(ours):
    """A program that is broken off leaves neither a process nor an open pipe."""
    talks = "import sys, time\nfor n in range(3): print(n, flush=True)\ntime.sleep(60)"
    gc.collect()  # what others left open is not to be counted as closed here
    command, before = [sys.executable, "-S", "-c", talks], psutil.Process().num_fds()
    others = set(psutil.Process().children(recursive=True))
    try:
        with pytest.raises((process.ProgramFailed, leaks.Broken)) as caught:
            if ours:
                process.run(command, timeout=1)
            else:
                programs.read_lines(command, leaks.breaking())
        open_files, left = psutil.Process().num_fds() - before, leaks.living_children(others)
        assert (open_files > 0, len(left) > 0) == ((False, False) if ours else (True, True))
    finally:
        for program in set(psutil.Process().children()) - others:
            program.kill()
            program.wait(10)
        del caught


def change_and_fail(queue) -> None:
    with queue.change() as jobs:
        for number in (1, 2):
            if isinstance(jobs, dict):
                jobs[number]["state"] = "running"
            else:
                jobs.execute("UPDATE jobs SET state = 'running' WHERE id = ?", (number,))
        raise leaks.Broken


@pytest.fixture(params=["ours", "baseline"])
def queue(request, tmp_path):
    if request.param == "baseline":
        return status.LockedQueue(tmp_path / "queue.json", 4)
    made = Queue(tmp_path / "queue.db")
    made.add(Wish(m.made("huffyuv.avi"), tmp_path / f"{n}.mp4") for n in range(4))
    return made


def test_a_change_that_fails_half_way_changes_nothing(queue):
    with pytest.raises(leaks.Broken):
        change_and_fail(queue)
    assert (queue.counts()["pending"] == 4) is isinstance(queue, Queue)


def test_status_lock(queue):
    """A reader gets its answer while a writer is in the middle of a change; with one lock it waits for the writer."""
    inside, go_on, told = threading.Event(), threading.Event(), []

    def write() -> None:
        with queue.change() as jobs:
            if not isinstance(jobs, dict):
                jobs.execute("UPDATE jobs SET priority = 1 WHERE id = 1")
            inside.set()
            go_on.wait(LONG)

    def read() -> None:
        told.append(queue.counts()["pending"])

    writer, reader = threading.Thread(target=write), threading.Thread(target=read)
    writer.start()
    assert inside.wait(LONG)
    reader.start()
    reader.join(LONG if isinstance(queue, Queue) else 0.5)
    answered = bool(told)
    go_on.set()
    writer.join(LONG)
    reader.join(LONG)
    assert told == [4] and answered is isinstance(queue, Queue)


def test_two_rlocks_let_nobody_write_any_more():
    """Two readers overlap and the one that came first leaves first: the other cannot release its lock."""
    lock, first_is_in, second_is_in, first_is_out = status.TwoRLocks(), *(threading.Event() for _ in range(3))
    failed = []

    def first() -> None:
        lock.enter_read()
        first_is_in.set()
        second_is_in.wait(LONG)
        lock.leave_read()
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(LONG)
        lock.enter_read()
        second_is_in.set()
        first_is_out.wait(LONG)
        try:
            lock.leave_read()
        except RuntimeError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert failed == ["cannot release un-acquired lock"]
    assert not lock.enter_write(timeout=0.1), "no reader is left, and still nobody may write"


def test_progress_throttling():
    """Ten seconds at sixty frames a second, broken off in the middle: what reaches the terminal."""
    now = [0.0]
    ours, theirs = io.StringIO(), io.StringIO()
    shown = Progress(BarSink(ours), clock=lambda: now[0])
    shown.stage("restore", 1200)
    bar = progress.Bar(1200, theirs)
    with pytest.raises(leaks.Broken):
        try:
            for _ in range(600):
                now[0] += 1 / 60
                shown.step()
                bar.step()
            raise leaks.Broken
        finally:
            shown.close()
    draws = [text.getvalue().count("\r") for text in (ours, theirs)]
    assert draws[0] <= 14 and draws[1] >= 600, draws
    last = int(re.findall(r"(\d+)/1200", ours.getvalue())[-1])
    assert last >= 540, "the last second is shown"
    assert ours.getvalue().endswith("\n"), "the line is ended, so that the error stands below it"


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("comparison", {"temp-folder-kept", "run-without-timeout"}),
        ("sound", {"temp-folder-kept", "run-without-timeout"}),
        ("preview", {"run-without-timeout"}),
        ("progress", {"tqdm-unthrottled"}),
    ],
)
def test_lint_finds_the_faults_of_the_baselines(name, rules):
    assert rules <= leaks.lint_rules(leaks.ROOT / "benchmarks" / "baseline" / f"{name}.py")


def test_the_baseline_of_a_whole_tape_runs_both_ways(tmp_path):
    tape, pictures = tmp_path / "short.avi", {}
    m.ffmpeg("-i", m.made("huffyuv.avi"), "-c", "copy", "-frames:v", 6, tape)
    for way in ("disk", "memory"):
        out = tmp_path / f"{way}.mp4"
        command = [sys.executable, str(leaks.ROOT / "benchmarks" / "baseline" / "tape.py"), way, str(tape), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        pictures[way] = len(m.told_times(out))
    assert pictures == {"disk": 12, "memory": 12}
