"""The queue: nothing is lost, nothing runs twice, and every wrong request is answered plainly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests import _media as m
from tests._segments import QUICK, digest, interrupted
from toolkit.cli import main
from toolkit.errors import InputMissing, OutputRefused, QueueFailed, RequestError, ToolkitWarning
from toolkit.jobs import Queue, Wish, database, run, status
from toolkit.jobs.claims import Claims
from toolkit.jobs.queue import STATES
from toolkit.jobs.worker import OBEY, parse_until
from toolkit.segments import _lines, parts_of

FAST = {"write": QUICK, "frames": [0, 16], "segment": 0.27, "field_order": "tff", "audio": "none"}
FAST_CALL = {**FAST, "frames": (0, 16)}  # the same for `toolkit.restore`
#: Seconds of work behind the first segment, so that it can be caught in the middle.
SLOW = {**FAST, "frames": [0, 120], "write": {"preset": "veryslow", "threads": 1}}


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "q.db")


@pytest.fixture
def tapes(tmp_path):
    folder = tmp_path / "tapes"
    folder.mkdir()
    for n in range(4):
        (folder / f"{n}.avi").symlink_to(m.made("huffyuv.avi"))
    return folder


def wishes(tapes, count=3, settings=FAST, **more) -> list[Wish]:
    out = tapes.parent / "out"
    out.mkdir(exist_ok=True)
    return [Wish(tapes / f"{n}.avi", out / f"{n}.mp4", "vhs-fast", settings=settings, **more) for n in range(count)]


def slow_wishes(folder, count=1) -> list[Wish]:
    tape = m.repeated("huffyuv.avi", 4)
    return [Wish(tape, folder / f"slow {n}.mp4", "vhs-fast", settings=SLOW) for n in range(count)]


posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def worker(queue, *words, background: bool = False) -> subprocess.Popen:
    """A worker; in the background as a shell's `&` starts it, with Ctrl-C ignored."""
    command = [sys.executable, "-m", "toolkit.cli", "queue", "run", "--queue", str(queue.path), *words]
    if background:
        command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, **pipes)


def until(condition, within=60.0):
    """The first true value of `condition()`."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing within {within} s")


def job_processes(queue) -> list[psutil.Process]:
    found = []
    for p in psutil.process_iter():
        try:
            words = p.cmdline()
        except psutil.Error:
            continue
        if "toolkit.jobs.run" in words and str(queue.path) in words and p.status() != psutil.STATUS_ZOMBIE:
            found.append(p)
    return found


def segments_of(job) -> int:
    """Those that the journal names; a kill right after a segment's file took its name costs that segment."""
    return sum("segment" in line for line in _lines(parts_of(job.output) / "journal.jsonl"))


# -- the whole way -----------------------------------------------------------------------------------------------


def test_two_workers_do_every_job_once_and_the_outputs_are_those_of_restore(queue, tapes):
    import toolkit
    from toolkit.presets import preset

    numbers = queue.add(wishes(tapes, 3))
    both = [worker(queue, "--workers", "1") for _ in range(2)]
    said = [p.communicate(timeout=300)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    jobs = [queue.job(n) for n in numbers]
    assert [(j.state, j.tries, j.reason) for j in jobs] == [("done", 1, "")] * 3, said
    begun = [line.split(":")[0] for text in said for line in text.splitlines() if "->" in line]
    assert sorted(begun) == ["job 1", "job 2", "job 3"]
    direct = tapes.parent / "direct.mp4"
    toolkit.restore(m.made("huffyuv.avi"), direct, preset=preset("vhs-fast"), resume=True, **FAST_CALL)
    assert {digest(j.output) for j in jobs} == {digest(direct)}
    assert sorted(p.name for p in (tapes.parent / "out").iterdir()) == ["0.mp4", "1.mp4", "2.mp4"]
    assert jobs[0].report["frames_out"] == 16 and all(c["ok"] for c in jobs[0].report["checks"])
    assert not job_processes(queue) and not list((queue.files / "locks").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("victim", ["worker", "job", "both"])
def test_a_killed_worker_or_job_goes_on_where_it_stopped(victim, queue, tmp_path):
    number = queue.add(slow_wishes(tmp_path))[0]
    first = worker(queue)
    try:
        until(lambda: segments_of(queue.job(number)) >= 1)
        claim = queue.job(number).claim
        if victim == "both":
            first.send_signal(signal.SIGSTOP)  # else it may see the job go before it goes itself
        for program in job_processes(queue) if victim != "worker" else []:
            program.kill()
        if victim != "job":
            first.kill()
            first.wait()
            # The job's process notices by itself that its worker is gone.
            until(lambda: not job_processes(queue))
            with Claims(queue).job_lock(claim).acquire(timeout=60):
                pass  # one that is on its way out has no command line any more, and holds its lock still
            assert queue.job(number).state == "running" and queue.job(number).claim == claim
        else:
            first.wait(300)
    finally:
        first.kill()
        first.communicate()
    if victim != "job":
        said = worker(queue).communicate(timeout=300)[0]
        assert "its worker was gone" in said
    job = queue.job(number)
    assert job.state == "done"
    assert job.tries == (2 if victim == "job" else 1), "only what the job itself did counts as a try"
    assert any("frames were finished before" in n for n in job.report["notes"])
    assert [p.name for p in tmp_path.glob("slow*")] == ["slow 0.mp4"]


@pytest.mark.parametrize("background", [False, pytest.param(True, marks=posix)])
def test_pause_resume_and_cancel_while_running(queue, tmp_path, background):
    first, second = queue.add(slow_wishes(tmp_path, 2))
    program = worker(queue, background=background)
    try:
        until(lambda: segments_of(queue.job(first)) >= 1)
        queue.pause(first)
        until(lambda: queue.job(first).state == "paused", OBEY)
        kept = segments_of(queue.job(first))
        until(lambda: segments_of(queue.job(second)) >= 1)
        queue.cancel(second)
        until(lambda: queue.job(second).state == "cancelled", OBEY)
        program.wait(60)
    finally:
        program.kill()
        said = program.communicate()[0]
    assert kept >= 1 and segments_of(queue.job(first)) == kept, said
    assert not parts_of(queue.job(second).output).exists() and not queue.job(second).output.exists()
    queue.resume(first)
    assert worker(queue).wait(300) == 0
    job = queue.job(first)
    assert job.state == "done" and job.tries == 1
    assert any("frames were finished before" in n for n in job.report["notes"])


@posix
def test_a_wish_that_python_dropped_is_told_again(queue, tapes, monkeypatch):
    """As an interrupt is that falls into the end of some object's life."""
    number = queue.add(wishes(tapes, 1))[0]
    job, told = Claims(queue).claim("worker"), []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append(True))  # nothing is raised: it was dropped
    monkeypatch.setattr(run, "BEAT", 0.02)
    try:
        with Claims(queue).worker_lock("worker"), run.Heart(queue, job):
            queue.pause(number)
            until(lambda: len(told) >= 2)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("replaced", [False, True])
def test_cancelling_a_job_whose_output_was_not_checked_yet_leaves_nothing(queue, tapes, replaced):
    import toolkit
    from toolkit.presets import preset

    wish = wishes(tapes, 1)[0]

    def stop(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toolkit.restore(wish.source, wish.output, preset=preset("vhs-fast"), resume=True, done=stop, **FAST_CALL)
    assert wish.output.exists() and parts_of(wish.output).exists()
    if replaced:
        wish.output.unlink()
        wish.output.write_bytes(b"another's file of the same name")
    number = queue.add([replace(wish, settings={**FAST, "overwrite": True})])[0]
    claims = Claims(queue)
    claims.give_up(claims.claim("a worker that was stopped"), "its worker was stopped", free=True)
    queue.cancel(number)
    assert queue.job(number).state == "cancelled" and not parts_of(wish.output).exists()
    assert wish.output.exists() == replaced, "only the run's own file may be removed"


def test_segments_of_another_run_are_nobody_elses_to_remove(queue, tapes):
    """A run by hand under a name that the queue knows: of a job that is done, and of one that never began."""
    done, waiting = wishes(tapes, 2)
    first = queue.add([done])[0]
    claims = Claims(queue)
    claims.end(claims.claim("worker"), "done")
    second = queue.add([waiting])[0]
    for wish in (done, waiting):
        interrupted(1, wish.source, wish.output, preset="vhs-fast", **FAST_CALL)
        assert parts_of(wish.output).is_dir()
    queue.pause(second)
    assert worker(queue).wait(60) == 0
    assert queue.job(first).state == "done" and parts_of(done.output).is_dir()
    queue.cancel(second)
    assert parts_of(waiting.output).is_dir()


def test_jobs_that_are_taken_off_the_list_leave_no_log(queue, tapes):
    broken = tapes / "broken.avi"
    broken.write_bytes(b"this is no video" * 1000)
    out = tapes.parent / "out.mp4"
    number = queue.add([Wish(broken, out, tries=1, settings=FAST)])[0]
    assert worker(queue).wait(120) == 0
    assert queue.job(number).state == "failed" and queue.log(number).exists()
    assert queue.clear(["failed"]) == 1
    assert not list(queue.logs.iterdir())


@posix
def test_a_worker_that_is_asked_to_stop_puts_its_job_back(queue, tmp_path):
    number = queue.add(slow_wishes(tmp_path))[0]
    program = worker(queue)
    until(lambda: segments_of(queue.job(number)) >= 1)
    program.terminate()
    said = program.communicate(timeout=60)[0]
    job = queue.job(number)
    assert (job.state, job.tries, job.reason) == ("pending", 0, "its worker was stopped"), said
    assert not job_processes(queue) and segments_of(job) >= 1


def test_failures_say_why_and_are_tried_as_often_as_allowed(queue, tapes):
    broken = tapes / "broken.avi"
    broken.write_bytes(b"this is no video" * 1000)
    vanished = tapes / "vanished.avi"
    vanished.symlink_to(m.made("huffyuv.avi"))
    out = tapes.parent / "out"
    out.mkdir()
    numbers = queue.add(
        [
            Wish(broken, out / "b.mp4", tries=2, settings=FAST),
            Wish(vanished, out / "v.mp4", settings=FAST),
            Wish(tapes / "0.avi", out / "t.mp4", settings={**FAST, "sound_track": "ita"}),
        ]
    )
    vanished.unlink()
    said = worker(queue).communicate(timeout=300)[0]
    bad, gone, wrong = (queue.job(n) for n in numbers)
    assert bad.state == "failed" and bad.tries == 2 and "not a video" in bad.reason, said
    assert gone.state == "failed" and gone.tries == 1 and "there is no file" in gone.reason
    assert wrong.state == "failed" and wrong.tries == 1 and "no sound track in the language" in wrong.reason
    assert "3 failed (job 1, 2, 3)" in said or "failed" in said
    assert not list(out.iterdir())
    queue.retry(gone.id)
    assert queue.job(gone.id).state == "pending" and queue.job(gone.id).tries == 0


def test_a_job_waits_for_those_it_needs_and_a_preset_may_be_deleted_later(queue, tapes, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("when: Now.\nsteps: [{deinterlace.bob: {}}]\nwrite: {codec: ffv1}\n")
    first = queue.add(wishes(tapes, 1))[0]
    between = queue.job(first).output
    final = between.with_name("final.mkv")
    second = queue.add([Wish(between, final, str(own), after=(first,), priority=5)])[0]
    own.unlink()
    assert status(queue).waits == {second: [first]} and "after job 1" in str(status(queue))
    assert worker(queue, "--workers", "2").wait(300) == 0
    one, two = queue.job(first), queue.job(second)
    assert (one.state, two.state) == ("done", "done") and two.started >= one.ended
    assert "ffv1" in m.told_streams(final)[0]


# -- the list ----------------------------------------------------------------------------------------------------


def test_order_priorities_and_moving(queue, tapes):
    a, b, c = queue.add(wishes(tapes, 3))
    d = queue.add([Wish(tapes / "3.avi", tapes / "d.mp4", priority=7)])[0]
    assert [j.id for j in queue.jobs()] == [d, a, b, c]
    queue.move(c, 1)
    assert [j.id for j in queue.jobs()] == [c, d, a, b]
    queue.move(d, 99)
    assert [j.id for j in queue.jobs()] == [c, a, b, d]
    queue.move(b, 2)
    assert [j.id for j in queue.jobs()] == [c, b, a, d]
    assert [Claims(queue).claim("w").id for _ in range(4)] == [c, b, a, d] and Claims(queue).claim("w") is None


def test_bad_requests_change_nothing(queue, tapes, tmp_path):
    first = queue.add(wishes(tapes, 1))[0]
    tape, out = tapes / "1.avi", tmp_path / "out"
    (out / "there.mp4").write_bytes(b"precious")
    good = Wish(tape, out / "good.mp4")
    bad = {
        "two of the jobs would write": [good, Wish(tapes / "2.avi", out / "good.mp4")],
        "job 1 writes .* already": [good, Wish(tape, out / "0.mp4")],
        "is the input itself": [good, Wish(tape, tape)],
        "there is no file": [good, Wish(tapes / "none.avi", out / "n.mp4")],
        "exists already": [good, Wish(tape, out / "there.mp4")],
        "is the input of a job that is added with it": [
            Wish(tape, out / "x.mp4", settings={"overwrite": True}), Wish(out / "there.mp4", out / "y.mp4"),
            Wish(tape, out / "there.mp4", settings={"overwrite": True}),
        ],
        "there is no preset named 'vsh'": [good, Wish(tape, out / "n.mp4", preset="vsh")],
        "the priority is -1; expected a whole number from 0": [good, Wish(tape, out / "n.mp4", priority=-1)],
        "there is no job 77": [good, Wish(tape, out / "n.mp4", after=(77,))],
        "tried 0 times": [good, Wish(tape, out / "n.mp4", tries=0)],
        "a job has no setting 'colour'": [good, Wish(tape, out / "n.mp4", settings={"colour": 1})],
        "does not exist": [good, Wish(tape, tmp_path / "no" / "n.mp4")],
    }  # fmt: skip
    for message, some in bad.items():
        with pytest.raises(RequestError, match=message):
            queue.add(some)
    for call in (queue.cancel, queue.pause, queue.resume, queue.retry):
        with pytest.raises(RequestError, match="there is no job 99"):
            call(99)
    for call, message in ((queue.resume, "job 1 is pending; expected a paused"), (queue.retry, "expected a failed or")):
        with pytest.raises(RequestError, match=message):
            call(first)
    with pytest.raises(RequestError, match="the place is 0"):
        queue.move(first, 0)
    with pytest.raises(RequestError, match="cancel them first"):
        queue.clear(["running"])
    assert [j.id for j in queue.jobs()] == [first] and queue.job(first).state == "pending"
    assert (out / "there.mp4").read_bytes() == b"precious"


def test_a_cancelled_job_makes_room_for_another_and_comes_back_only_if_it_may(queue, tapes):
    wish = wishes(tapes, 1)[0]
    first = queue.add([wish])[0]
    queue.cancel(first)
    assert queue.job(first).state == "cancelled" and queue.job(first).ended
    second = queue.add([wish])[0]
    with pytest.raises(OutputRefused, match="another job writes"):
        queue.retry(first)
    queue.cancel(second)
    queue.retry(first)
    assert queue.job(first).state == "pending"
    assert queue.clear() == 1 and [j.id for j in queue.jobs()] == [first]


def test_a_claim_that_was_taken_over_changes_nothing(queue, tapes):
    number = queue.add(wishes(tapes, 1))[0]
    claims = Claims(queue)
    late = claims.claim("worker that hung")
    assert claims.claim("another") is None
    assert claims.reap() == [number]
    now = claims.claim("another")
    assert claims.beat(late, None) == "lost" and not claims.end(late, "done")
    assert queue.job(number).claim == now.claim and queue.job(number).state == "running"


def test_a_living_worker_or_job_is_never_robbed(queue, tapes, monkeypatch):
    queue.add(wishes(tapes, 1))
    claims = Claims(queue)
    with claims.worker_lock("w").acquire():
        job = claims.claim("w")
        monkeypatch.setattr(time, "time", lambda: 0.0)  # nor when someone sets the clock back
        assert Claims(queue).reap() == []
    with claims.job_lock(job.claim).acquire():
        assert Claims(queue).reap() == []
    assert Claims(queue).reap() == [job.id]


# -- the file ----------------------------------------------------------------------------------------------------


def test_readers_never_wait_for_a_writer_and_counts_add_up(queue, tapes):
    queue.add(wishes(tapes, 3))
    holder = sqlite3.connect(queue.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("UPDATE jobs SET state = 'done' WHERE id = 1")
    began = time.monotonic()
    assert queue.counts()["pending"] == 3 and len(queue.jobs()) == 3
    assert time.monotonic() - began < database.PATIENCE / 2, "reading waited for the writer"
    holder.execute("COMMIT")
    holder.close()
    assert queue.counts() == {**dict.fromkeys(STATES, 0), "pending": 2, "done": 1}
    stop, wrong = threading.Event(), []

    def write(number):
        while not stop.is_set():
            with queue.change() as db:
                for state in ("running", "paused", "failed"):
                    db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, number))
            written[number] += 1
            stop.wait(0.005)  # SQLite has no queue of writers: the other one must find a moment

    def read():
        for _ in range(300):
            counts = queue.counts()
            if sum(counts.values()) != 3:
                wrong.append(counts)

    written = {2: 0, 3: 0}
    writers = [threading.Thread(target=write, args=(n,)) for n in written]
    readers = [threading.Thread(target=read) for _ in range(8)]
    for t in (*writers, *readers):
        t.start()
    for t in readers:
        t.join()
    until(lambda: all(written.values()))  # overlapping readers do not shut the writers out
    stop.set()
    for t in writers:
        t.join()
    assert not wrong


class TwoLocks:
    """The reader-writer lock made of two re-entrant locks, as it stands in many places: the first reader takes the
    writers' lock, and the last one, whoever that is, lets it go."""

    def __init__(self):
        self.counting, self.writing, self.readers = threading.RLock(), threading.RLock(), 0

    def begin(self):
        with self.counting:
            self.readers += 1
            if self.readers == 1:
                self.writing.acquire()

    def end(self):
        with self.counting:
            self.readers -= 1
            if self.readers == 0:
                self.writing.release()


def test_two_reentrant_locks_fail_where_the_queue_does_not(queue, tapes):
    """Two readers overlap, and the first to come is the first to go; then somebody wants to write."""
    numbers = queue.add(wishes(tapes, 1))
    here, there = threading.Event(), threading.Event()
    lock, outcome = TwoLocks(), {}

    def first(begin, end):
        begin()
        here.set()
        assert there.wait(20)
        end()

    def overlap(begin, end, name):
        here.clear()
        there.clear()
        other = threading.Thread(target=first, args=(begin, end))
        other.start()
        assert here.wait(20)
        begin()
        there.set()
        other.join()
        try:
            end()
        except RuntimeError as error:
            outcome[name] = str(error)

    overlap(lock.begin, lock.end, "locks")
    assert outcome["locks"] == "cannot release un-acquired lock"
    assert not lock.writing.acquire(timeout=0.2), "and no writer comes in any more"

    def begin():
        queue._db().execute("BEGIN")
        assert sum(queue.counts().values()) == 1

    overlap(begin, lambda: queue._db().execute("COMMIT"), "queue")
    assert "queue" not in outcome
    queue.cancel(*numbers)
    assert queue.job(numbers[0]).state == "cancelled"


@pytest.mark.parametrize("how", ["header", "page", "text"])
def test_a_damaged_file_is_replaced_by_its_copy(how, tmp_path, tapes):
    path = tmp_path / "q.db"
    queue = Queue(path)
    queue.add([*wishes(tapes, 3), *(Wish(tapes / "3.avi", tmp_path / f"{n}.mp4") for n in range(200))])
    queue.close()
    data = bytearray(path.read_bytes())
    if how == "header":
        data[:100] = b"x" * 100
    elif how == "page":
        data[4096:] = bytes(len(data) - 4096)
    else:
        data = b"not a database at all\n" * 500
    path.write_bytes(data)
    with pytest.warns(ToolkitWarning, match=r"was damaged.*last intact copy was taken.*q\.db\.damaged-1"):
        queue = Queue(path)
    assert queue.counts()["pending"] == 203 and len(queue.jobs()) == 203
    assert (tmp_path / "q.db.damaged-1").read_bytes() == data


def test_another_programs_database_is_no_queue(tmp_path):
    """Neither renamed nor written to: a name may be mistyped."""
    path = tmp_path / "history.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE pages (name TEXT)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(QueueFailed, match="is not a queue .it holds the data of another program.*not touched"):
        Queue(path)
    assert [p.name for p in tmp_path.iterdir()] == ["history.db"] and path.read_bytes() == before


def test_ten_thousand_jobs(queue, tapes, tmp_path):
    """Amounts, not times: each of these is a handful of statements however many jobs there are."""
    numbers = queue.add(Wish(tapes / "0.avi", tmp_path / f"{n}.mp4") for n in range(10_000))
    assert len(numbers) == 10_000 and queue.counts()["pending"] == 10_000
    seen = []
    queue._db().set_trace_callback(seen.append)
    assert len(status(queue, limit=20).jobs) == 20
    assert len(seen) <= 5


def test_a_locked_file_says_so(queue, tapes, monkeypatch, capsys):
    monkeypatch.setattr("toolkit.jobs.database.PATIENCE", 0.2)
    slow = Queue(queue.path)
    holder = sqlite3.connect(queue.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert main(["queue", "cancel", "1", "--queue", str(queue.path)]) in (1, 2)
    with pytest.raises(Exception, match="held by another program for more than"):
        slow.add(wishes(tapes, 1))
    holder.execute("ROLLBACK")
    holder.close()
    slow.add(wishes(tapes, 1))


# -- the command line --------------------------------------------------------------------------------------------


def test_the_commands(tmp_path, tapes, capsys):
    where = ["--queue", str(tmp_path / "q.db")]
    (tmp_path / "out").mkdir()
    chosen = ["--preset", "master", "--repair", "heal_dropouts+levels:gamma=1.1"]
    assert main(["queue", "add", str(tapes), "--to", str(tmp_path / "out"), *chosen, *where]) == 0
    steps = [s["stage"] for s in Queue(tmp_path / "q.db").job(1).settings["pipeline"]["steps"]]
    assert steps[-2:] == ["repair.heal_dropouts", "repair.levels"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["queue", "add", str(tapes / "[01].avi"), "--priority", "3", "--json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [Path(r["output"]).name for r in rows] == ["0.restored.mp4", "1.restored.mp4"]
    for words in (["move", "2", "1"], ["pause", "3"], ["cancel", "4", "5"], ["resume", "3"], ["retry", "5"]):
        assert main(["queue", *words, *where]) == 0
    assert main(["queue", "status", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["pending"] == 5 and told["counts"]["cancelled"] == 1
    assert [j["id"] for j in told["jobs"]] == [2, 5, 6, 1, 3, 4]
    assert datetime.fromisoformat(told["jobs"][-1]["ended"]).tzinfo
    assert main(["queue", "clear", *where]) == 0
    assert main(["queue", "status", *where]) == 0
    assert "5 pending" in capsys.readouterr().out
    for words, told in (
        (["cancel", "99"], "there is no job 99"),
        (["add", str(tmp_path / "none.avi")], "there is no file"),
        (["add", str(tmp_path / "out")], "there is no video in"),
        (["run", "--until", "25:00"], "until is '25:00'"),
        (["run", "--workers", "0"], "expected 1 or more"),
        (["add", str(tapes / "0.avi"), "--priority", "-1", "--to", str(tmp_path)], "the priority is -1"),
    ):
        assert main(["queue", *words, *where]) == 2
        assert told in capsys.readouterr().err


def test_run_until_a_time_that_has_come_and_the_command_at_the_end(queue, tapes, tmp_path, monkeypatch):
    now = datetime(2026, 1, 1, 12, 0)
    assert parse_until("07:00", now) == datetime(2026, 1, 2, 7, 0).timestamp()
    assert parse_until("23:59", now) == datetime(2026, 1, 1, 23, 59).timestamp()
    from toolkit.jobs import work

    number = queue.add(wishes(tapes, 1))[0]
    assert work(queue, until=time.time() - 1).left == 1
    assert queue.job(number).state == "pending" and queue.job(number).tries == 0
    queue.cancel(number)
    note = tmp_path / "note.json"
    program = tmp_path / "then.py"
    program.write_text(f"import sys; open({str(note)!r}, 'w').write(sys.stdin.read())\n")
    assert main(["queue", "run", "--then", f"{sys.executable} {program}", "--queue", str(queue.path)]) == 0
    assert json.loads(note.read_text())["left"] == 0


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_watching_the_status_follows_until_nothing_waits(words, queue, tapes):
    """Through a pipe: every look comes at once and no screen is cleared."""
    first, second = queue.add(wishes(tapes, 2))
    command = [sys.executable, "-m", "toolkit.cli", "queue", "status", "--watch", "--queue", str(queue.path)]
    program = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    late = threading.Timer(60, program.kill)  # rather than to wait for a line that never comes
    late.start()
    try:
        before, after = ('"pending": 2', '"pending": 1') if words else ("2 pending", "1 cancelled, 1 pending")
        assert before in program.stdout.readline()
        queue.cancel(first)
        assert any(after in line for line in program.stdout)
        queue.cancel(second)
        rest = program.stdout.read()
        assert program.wait(60) == 0 and "\033" not in rest
    finally:
        late.cancel()
        program.kill()
        program.communicate()


@pytest.mark.parametrize("signal_", [pytest.param("SIGINT", marks=posix), pytest.param("SIGTERM", marks=posix)])
def test_watching_the_status_ends_without_a_word(queue, tapes, signal_):
    queue.add(wishes(tapes, 1))
    command = [sys.executable, "-m", "toolkit.cli", "queue", "status", "--watch", "--queue", str(queue.path)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    late = threading.Timer(60, program.kill)
    late.start()
    try:
        assert program.stdout.readline().strip() == "1 pending"
        program.send_signal(getattr(signal, signal_))
        assert program.wait(60) == 0 and program.stderr.read() == ""
    finally:
        late.cancel()
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no-such-program --now", "there is no program 'no-such-program' that may be run"),
        ("echo 'never closed", "cannot be read (no closing quotation)"),
        ("  ", "an empty command was to be run"),
        ("{tapes}/0.avi", "0.avi' that may be run"),
    ],
)
def test_the_command_for_the_end_is_looked_at_before_the_work(queue, tapes, capsys, command, told):
    number = queue.add(wishes(tapes, 1))[0]
    words = ["queue", "run", "--then", command.format(tapes=tapes), "--queue", str(queue.path)]
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert queue.job(number).state == "pending" and queue.job(number).tries == 0


def test_a_command_for_the_end_that_fails_says_so_after_the_summary(queue, tapes, capsys):
    assert main(["queue", "run", "--then", "sh -c 'exit 3'", "--queue", str(queue.path)]) == 1
    told = capsys.readouterr()
    assert "0 done" in told.out and "'sh' failed with exit code 3" in told.err
    assert "nothing was written" not in told.err, "the queue's jobs may have written much"


def test_a_watched_folder_takes_a_file_when_it_is_completely_written(queue, tmp_path, capsys):
    from toolkit.jobs.watch import WatchedFolder

    come, out, now = tmp_path / "in", tmp_path / "out", [0.0]
    come.mkdir()
    out.mkdir()
    folder = WatchedFolder(come, lambda p: Wish(p, out / f"{p.stem}.mp4"), settled=30, clock=lambda: now[0])

    def look(seconds):
        now[0] += seconds
        return folder.look(queue)

    data, tape = m.made("huffyuv.avi").read_bytes(), come / "tape.avi"
    (come / "notes.txt").write_text("no video")
    (come / "empty.avi").touch()
    for part in range(4):  # it grows, with pauses shorter than is asked for
        with tape.open("ab") as file:
            file.write(data[part * len(data) // 4 : (part + 1) * len(data) // 4])
        os.utime(tape, (1, 1 + part))
        assert look(1) == [] and look(25) == []
    assert queue.jobs() == []
    assert ["was put into the folder" in line for line in look(10)] == [True]
    assert [j.source for j in queue.jobs()] == [tape] and look(100) == []
    again = WatchedFolder(come, lambda p: Wish(p, out / f"{p.stem}.mp4"), settled=0, clock=lambda: now[0])
    assert again.look(queue) == again.look(queue) == [] and len(queue.jobs()) == 1  # nor after a new start
    os.utime(tape, (time.time() + 60,) * 2)  # another recording of the same name, while the job still waits
    assert look(1) == [] and "writes" in look(31)[0] and look(100) == []
    come.rename(tmp_path / "away")  # a network drive that is gone for a while
    assert [len(look(1)), len(look(1))] == [1, 0]
    (tmp_path / "away").rename(come)
    assert "can be read again" in look(1)[0] and look(1) == []
    assert main(["queue", "run", "--watch-folder", str(come), "--queue", str(queue.path)]) == 2
    assert "another folder for its results" in capsys.readouterr().err


def test_a_refused_request_makes_no_queue_and_a_good_one_does(tapes, tmp_path, monkeypatch, capsys):
    own = tmp_path / "state" / "queue.db"
    monkeypatch.setenv("VHS_TOOLKIT_QUEUE", str(own))
    words = ["queue", "add", str(tapes / "0.avi"), "--to", str(tmp_path)]
    assert main([*words[:3], str(tapes / "none.avi"), *words[3:]]) == 2
    assert "there is no file" in capsys.readouterr().err and not own.parent.exists()
    assert main(words) == 0 and own.exists()
    assert "0.avi" in capsys.readouterr().out


def test_missing_sources_name_the_way_out(queue, tmp_path):
    with pytest.raises(InputMissing, match="--after"):
        queue.add([Wish(tmp_path / "later.mp4", tmp_path / "o.mp4")])
