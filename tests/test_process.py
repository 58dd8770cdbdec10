"""Programs are ended and reaped whatever happens; scratch folders go, also those of processes that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests._process import ORDER, gone, run_many
from toolkit import process, scratch

PYTHON = sys.executable


@pytest.fixture
def no_child_left():
    """Programs that others started and keep (multiprocessing's resource tracker) are not counted."""
    before = set(psutil.Process().children(recursive=True))
    yield
    assert not set(psutil.Process().children(recursive=True)) - before


def test_output_and_input_pass_through():
    program = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d[::-1]); sys.stderr.write('hm')"
    done = process.run([PYTHON, "-c", program], timeout=20, input=b"abc" * 100_000)
    assert done.returncode == 0 and done.stdout == b"cba" * 100_000 and done.stderr == b"hm"


def test_a_failure_names_the_program_and_its_last_words():
    with pytest.raises(process.ProgramFailed, match="exit code 3: no good"):
        process.run([PYTHON, "-c", "import sys; print('no good', file=sys.stderr); sys.exit(3)"], timeout=20)
    with pytest.raises(process.ProgramFailed, match="could not be started"):
        process.run(["there-is-no-such-program"], timeout=5)


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_a_program_that_hangs_is_ended_with_its_grandchildren(tmp_path, no_child_left, monkeypatch):
    note = tmp_path / "pid"
    grandchild = (
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open('{note}.new', 'w').write(str(p.pid))\n"
        f"os.rename('{note}.new', '{note}')\n"
        "time.sleep(600)\n"
    )
    real = subprocess.Popen.communicate

    def communicate(program, *words, **more):  # its time begins when the grandchild is there
        while not note.exists():
            assert program.poll() is None
            time.sleep(0.02)
        return real(program, *words, **more)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    with pytest.raises(process.ProgramFailed, match=r"still running after 0\.5 s"):
        process.run([PYTHON, "-c", grandchild], timeout=0.5)
    assert gone(int(note.read_text()))


def test_many_runs_leave_no_process_and_no_descriptor(no_child_left):
    before = psutil.Process().num_fds() if os.name == "posix" else 0
    for n in range(30):
        done = process.run([PYTHON, "-S", "-c", f"import sys; sys.exit({n % 3})"], timeout=20, check=False)
        assert done.returncode == n % 3
    if os.name == "posix":
        assert psutil.Process().num_fds() <= before


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_programs_that_fail_and_hang_by_the_hundred_leave_nothing():
    """benchmarks/process_thousands.py does it two thousand times."""
    count = 13 * len(ORDER)
    found = run_many(count)
    assert (found["failed"], found["hung"]) == (count // 6, count // 6)
    assert (found["orphans"], found["zombies"]) == (0, 0) and found["descriptors"] <= 0, found


def test_scratch_goes_after_success_and_after_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "s"))
    with scratch.folder() as here:
        (here / "deep").mkdir()
        (here / "deep" / "file").write_bytes(b"x" * 1000)
        assert here.is_dir()
    assert not here.exists()
    with pytest.raises(RuntimeError), scratch.folder() as here:
        (here / "file").touch()
        raise RuntimeError
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_scratch_of_a_killed_process_goes_with_the_next_start(monkeypatch, tmp_path):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path))
    program = (
        "from toolkit import scratch; import time\nwith scratch.folder() as f: print(f, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([PYTHON, "-c", program], stdout=subprocess.PIPE, text=True)
    left = Path(child.stdout.readline().strip())
    with scratch.folder() as mine:  # a living owner's folder is not touched
        assert left.is_dir()
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert left.is_dir()
    assert scratch.sweep() == [left]
    assert not left.exists() and not mine.exists()


def test_scratch_is_made_though_the_last_one_out_removes_the_root_meanwhile(monkeypatch, tmp_path):
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path / "s"))
    real, left = Path.mkdir, [1, 2]

    def mkdir(path, *words, **more):
        if path.parent == tmp_path / "s" and left and left.pop():
            path.parent.rmdir()
        real(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with scratch.folder() as here:
        assert here.is_dir() and not left


@pytest.mark.parametrize(("later", "alive"), [(-1, True), (600, True), (86400, False)])
def test_scratch_stays_when_the_clock_is_set_and_goes_when_another_has_the_number(later, alive, monkeypatch, tmp_path):
    """The system tells a start by the time of day, which moves with the clock that is set, be it by a second."""
    monkeypatch.setenv("VHS_TOOLKIT_SCRATCH", str(tmp_path))
    begun = psutil.Process().create_time()
    with scratch.folder() as mine:
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: begun + later)
        assert scratch.sweep() == ([] if alive else [mine]) and mine.is_dir() is alive


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_a_program_beside_this_one_is_ended_with_its_grandchildren_and_sees_its_parent_go(tmp_path, no_child_left):
    grandchild = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True)\n"
        "sys.stdin.read()\n"
        "print('the parent is gone', flush=True)\n"
    )
    log = tmp_path / "log"
    program = process.start([PYTHON, "-c", grandchild], output=log)
    while not log.read_text().strip():
        assert program.poll() is None
        time.sleep(0.02)
    process.end(program)
    assert gone(int(log.read_text())) and program.returncode is not None
    parent = (
        "import os, signal, sys, time\nfrom pathlib import Path\nfrom toolkit import process\n"
        f"process.start([sys.executable, '-c', {grandchild!r}], output=Path({str(log)!r}))\n"
        f"while not Path({str(log)!r}).read_text().strip(): time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([PYTHON, "-c", parent], timeout=60)
    end = time.monotonic() + 60
    while "the parent is gone" not in log.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    told = log.read_text().split(maxsplit=1)
    os.kill(int(told[0]), signal.SIGKILL)  # nobody was left to end it
    assert told[1:] == ["the parent is gone\n"]


@pytest.mark.skipif(os.name != "posix", reason="niceness is POSIX")
def test_a_program_that_makes_way_is_nicer_and_so_is_what_it_starts(tmp_path, no_child_left):
    inner = "import os, pathlib; pathlib.Path('inner').write_text(str(os.nice(0)))"
    outer = (
        "import os, pathlib, sys; from toolkit import process\n"
        f"process.start([sys.executable, '-c', {inner!r}], output=pathlib.Path('said')).wait(20)\n"
        "pathlib.Path('outer').write_text(str(os.nice(0)))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(process.__file__).parents[1])}
    words = ["sh", "-c", f'cd {tmp_path} && exec {PYTHON} -c "$0"', outer]
    for makes_way in (False, True):
        program = process.start(words, output=tmp_path / "log", env=env, makes_way=makes_way)
        assert program.wait(30) == 0, (tmp_path / "log").read_text()
        process.end(program)
        wanted = str(min(19, os.nice(0) + makes_way * process.NICE))
        assert (tmp_path / "outer").read_text() == wanted == (tmp_path / "inner").read_text()


@pytest.mark.skipif(os.name != "posix", reason="SIGSTOP is POSIX")
def test_nobody_waits_for_a_killed_program_to_get_its_turn_to_go(tmp_path, no_child_left):
    program = process.start(["sleep", "600"], output=tmp_path / "log")
    real, turns = program.wait, threading.Event()

    def wait(timeout=None):  # a machine so busy that the dead are not buried
        assert timeout is not None or threading.current_thread() is not threading.main_thread()
        if not turns.wait(timeout):
            raise subprocess.TimeoutExpired("sleep", timeout)
        return real()

    program.wait = wait
    os.kill(program.pid, signal.SIGSTOP)
    process.end(program, grace=0.05, patience=0.05)
    assert not turns.is_set() and gone(program.pid), "it was killed, and nobody waited"
    turns.set()
    assert gone(program.pid) and any(program.returncode is not None or time.sleep(0.02) for _ in range(3000))
