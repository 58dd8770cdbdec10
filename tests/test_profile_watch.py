"""Watching: real processes are looked at from outside, and what they do wrong is named with its cause."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests._process import gone
from tests._watched import Enough, when_seen
from toolkit.cli import main
from toolkit.jobs import Queue, database
from toolkit.profiling.alerts import Alerts, Limits
from toolkit.profiling.looks import Look, One

GB = 1e9


def shell(text: str) -> str:
    return f'sh -c "{text}"'


def python(tmp_path: Path, text: str) -> str:
    script = tmp_path / "watched.py"
    script.write_text(text)
    return f"{sys.executable} -S {script}"


def watch(capsys, *words, code=0):
    """What `profile watch --json` says, by event."""
    assert main(["profile", "watch", *words, "--json", "--every", "0.1"]) == code
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [t["event"] for t in told].count("end") == 1 and told[-1]["event"] == "end"
    return [t for t in told if t["event"] == "look"], [t for t in told if t["event"] == "alert"], told[-1]


@pytest.fixture
def enough(tmp_path_factory):
    return Enough(tmp_path_factory.mktemp("enough") / "seen")


def test_a_child_left_running_is_named_and_ended(capsys, enough, monkeypatch):
    def both_sleep(looks, alerts, tree):
        return [one.name for one in tree.ones.values()].count("sleep") == 2

    when_seen(monkeypatch, both_sleep, enough.say)
    _, alerts, end = watch(capsys, "--command", shell(f"sleep 610 & {enough.shell}"))
    assert [a["kind"] for a in alerts] == ["left running"]
    assert alerts[0]["seen"].startswith("sleep (")
    assert gone(int(alerts[0]["seen"].split("(")[1].rstrip(")")))
    assert end["code"] == 0


def test_a_process_that_ends_while_it_is_watched_ends_it_plainly(capsys, monkeypatch):
    program = subprocess.Popen(["sleep", "600"])
    try:
        when_seen(monkeypatch, lambda looks, *_: len(looks) == 3, program.kill)
        assert main(["profile", "watch", str(program.pid), "--every", "0.1"]) == 0
        assert f"sleep ({program.pid}) ended after" in capsys.readouterr().out
        program.wait(10)
        assert main(["profile", "watch", str(program.pid)]) == 2  # it is gone
        assert "there is no process" in capsys.readouterr().err
    finally:
        program.kill()
        program.wait(10)


def test_watching_stops_in_time_and_leaves_the_process_alone(capsys):
    with subprocess.Popen(["sleep", "60"]) as program:
        try:
            _, _, end = watch(capsys, str(program.pid), "--duration", "0.5")
            assert "is running still" in end["ended"] and program.poll() is None
        finally:
            program.kill()


def test_memory_of_a_child_is_counted_and_the_child_is_named(tmp_path, capsys, enough, monkeypatch):
    when_seen(monkeypatch, lambda looks, *_: sum(look.memory > 80e6 for look in looks) == 4, enough.say)
    big = f"held = bytearray(b'1') * 80_000_000\n{enough.python}"
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {big!r}], timeout=300)"
    looks, alerts, end = watch(capsys, "--command", python(tmp_path, text), "--memory", "60MB")
    assert [a["kind"] for a in alerts] == ["memory"]  # once, however long it lasts
    assert "0.06 GB" in alerts[0]["seen"] and alerts[0]["cause"].startswith("a child, ")
    assert 80e6 < end["peak_memory"] < 140e6 and max(look["processes"] for look in looks) == 2


def test_zombies_and_open_files_are_named(tmp_path, capsys, enough, monkeypatch):
    when_seen(monkeypatch, lambda looks, alerts, _: len(alerts) >= 2, enough.say)
    text = f"import os; held = [open('/dev/null') for _ in range(150)]\nif os.fork() == 0: os._exit(0)\n{enough.python}"
    command = ("--command", python(tmp_path, text), "--open-files", "100", "--zombies-for", "0.3")
    _, alerts, _ = watch(capsys, *command)
    assert {a["kind"] for a in alerts} == {"zombies", "open files"}
    causes = {a["kind"]: a["cause"] for a in alerts}
    assert "holds 15" in causes["open files"] and "neither wait" in causes["zombies"]


def test_processor_time_of_children_that_have_ended_counts(tmp_path, capsys, enough, monkeypatch):
    begin, spun = Enough(tmp_path / "begin"), tmp_path / "spun"

    def looked(looks, alerts, tree):
        begin.say()  # what was spent before the first look is not counted
        after.append(spun.exists())
        return sum(after) == 2  # the second of them began when all was spent

    after = []
    when_seen(monkeypatch, looked, enough.say)
    spin = "import time\nwhile time.process_time() < 0.15: pass"
    text = f"import subprocess, sys\nfor _ in range(6): subprocess.run([sys.executable, '-S', '-c', {spin!r}])\n"
    text = f"{begin.python}{text}open({str(spun)!r}, 'w').close()\n{enough.python}"
    looks, _, _ = watch(capsys, "--command", python(tmp_path, text))
    times = [look["seconds"] for look in looks]
    spent = sum(b["cpu"] * (t - s) for b, s, t in zip(looks[1:], times, times[1:], strict=False))
    assert 0.6 < spent * os.cpu_count() < 2  # of 0.9 s and the starts; no child lives for two looks


def test_temporary_files_that_grow_are_told_with_stage_and_speed(capsys, enough, monkeypatch, tmp_path):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "scratch"))

    def grown(looks, alerts, tree):
        return alerts and looks[-1].temp_bytes >= 10e6 and sum(look.stage is not None for look in looks) >= 4

    when_seen(monkeypatch, grown, enough.say)
    line = '{\\"stage\\": \\"restore\\", \\"per_second\\": 12.5}'  # as a shell word in quotes
    grow = "i=$((i + 1)); head -c 2000000 /dev/zero > $TMPDIR/$i; sleep 0.1"
    text = f"echo '{line}'; i=0; until [ -e {enough.path} ]; do {grow}; done"
    wanted = ("--command", shell(text), "--temp-per-hour", "1GB", "--temp-over", "0.3")
    looks, alerts, end = watch(capsys, *wanted)
    assert [a["kind"] for a in alerts] == ["temporary"] and end["peak_temp"] >= 10e6
    told = [(k["stage"], k["frames_per_second"]) for k in looks]
    first = next(n for n, (stage, _) in enumerate(told) if stage)  # a busy machine may look before the shell speaks
    assert len(told) > first + 2 and set(told[first:]) == {("restore", 12.5)}
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_looks_go_into_a_file(tmp_path, capsys, ending, enough, monkeypatch):
    import pandas as pd

    when_seen(monkeypatch, lambda looks, *_: len(looks) == 3, enough.say)
    out = tmp_path / f"looks{ending}"
    looks, _, end = watch(capsys, "--command", shell(enough.shell), "--output", str(out))
    table = pd.read_parquet(out) if ending == ".parquet" else pd.read_json(out, lines=True)
    assert len(table) == len(looks) == end["looks"] > 1
    assert list(table["memory"]) == [look["memory"] for look in looks]
    assert list(tmp_path.iterdir()) == [out]


def test_a_command_that_fails_is_told_with_its_last_words(capsys):
    assert main(["profile", "watch", "--command", shell("sleep 0.3; echo no tape; exit 3")]) == 1
    assert "exit code 3: no tape" in capsys.readouterr().err


@pytest.mark.parametrize("words, said", [
    ((), "0 things"), (("1", "--command", "true"), "2 things"), (("--command", "'"), "cannot be read"),
    (("--command", "no-such-program-here"), "could not be started"), (("--queue", "none/queue.db"), "no queue"),
    (("--command", "sleep 9", "--every", "0"), "0 or less"),
    (("--command", "sleep 9", "--output", "a.csv"), ".parquet"),
])  # fmt: skip
def test_bad_requests_are_one_sentence(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "watch", *words]) in (1, 2)
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_running_job_is_watched_through_its_queue(tmp_path, capsys):
    path, claim = tmp_path / "queue.db", "claim-of-a-test"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", claim]) as program:
        try:
            queue = Queue(path)
            told = json.dumps({"stage": "restore", "per_second": 7.5})
            with queue.change() as db:
                db.execute(
                    "INSERT INTO jobs (state, place, source, output, settings, added, started, claim, progress) "
                    "VALUES ('running', 1, 'a', 'b', '{}', 100, 104, ?, ?)", (claim, told),
                )  # fmt: skip
            looks, _, _ = watch(capsys, "--queue", str(path), "--duration", "0.4")
            assert main(["profile", "watch", "--job", "1", "--queue", str(path), "--duration", "0.2"]) == 0
            head, line = capsys.readouterr().out.splitlines()[:2]
            assert "queued s  lock ms  stage" in head and line.split()[-3] == "4.0" and line.split()[-1] == "restore"
            queue.close()
        finally:
            program.kill()
    assert {(k["stage"], k["frames_per_second"], k["queue_latency"]) for k in looks} == {("restore", 7.5, 4.0)}
    assert all(0 <= look["lock_wait"] < 30 for look in looks)


def test_a_queue_that_others_hold_does_not_hold_up_the_watching(tmp_path):
    queue = Queue(tmp_path / "queue.db")
    other = sqlite3.connect(queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert 0.2 <= queue.lock_wait(0.2) <= time.monotonic() - began
    other.execute("ROLLBACK")
    other.close()
    assert queue.lock_wait(0.2) >= 0
    patience = queue._db().execute("PRAGMA busy_timeout").fetchone()[0]
    assert patience == 1000 * database.PATIENCE, "changes are as patient as before"
    queue.close()


class Fake:
    """A tree with one process, for limits that only hours or a GPU would pass."""

    root = psutil.Process()

    def __init__(self):
        self.ones = {self.root: One("work", 10, 5, 1, False)}

    def uses_gpu(self):
        return True


def look(seconds, **more):
    numbers = dict(memory=1e6, cpu=0.5, machine_cpu=0.5, read_rate=0.0, write_rate=0.0, open_files=5.0, threads=9.0)
    return Look(at=0, seconds=seconds, processes=1, zombies=0, temp_bytes=0.0, **{**numbers, **more})


def told(looks, **limits):
    alerts = Alerts(Limits(**limits))
    return [(a.kind, a.at, a.cause) for k in looks for a in alerts.look(k, Fake())]


def test_the_processor_must_be_busy_for_long_and_in_one_piece():
    busy = dict(machine_cpu=0.97, cpu=0.9)
    found = told([look(t, **busy) for t in range(0, 700, 10)])
    assert [(k, at) for k, at, _ in found] == [("cpu", 300)] and "9 threads" in found[0][2]
    assert not told([look(t, **(busy if t % 200 else {})) for t in range(0, 700, 10)])
    assert "other programs" in told([look(t, machine_cpu=0.97, cpu=0.1) for t in range(0, 400, 10)])[0][2]


def test_an_idle_gpu_is_told_with_what_holds_it_up():
    assert not told([look(t, gpu=0.7) for t in range(60)]) and not told([look(t, gpu=None) for t in range(60)])
    assert "decoding" in told([look(t, gpu=0.5, machine_cpu=0.9) for t in range(60)])[0][2]
    assert "temporary files" in told([look(t, gpu=0.5, write_rate=2e8) for t in range(60)])[0][2]
    assert "batches" in told([look(t, gpu=0.5) for t in range(60)])[0][2]


def test_an_alert_comes_again_only_after_things_were_well():
    high, low = dict(memory=5 * GB), dict(memory=3 * GB)
    found = told([look(t, **(low if t in (5, 6) else high)) for t in range(10)])
    assert [at for _, at, _ in found] == [0, 7]


def test_memory_that_grows_is_called_kept():
    found = told([look(t, memory=t * 0.1 * GB) for t in range(60)])
    assert len(found) == 1 and "something is kept" in found[0][2]
