"""A tape's segments on a Dask cluster of processes: the file of one machine, also when a worker is killed."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import toolkit
from tests import _media as m
from tests._segments import QUICK, STEPS, digest, interrupted
from toolkit.cli import main
from toolkit.clip import Clip
from toolkit.errors import OutputRefused, RequestError, ToolkitError, UnknownName, WorkError
from toolkit.pipeline import Pipeline
from toolkit.segments import Journal
from toolkit.stages import stage

distributed = pytest.importorskip("distributed", reason="needs the extra: pip install vhs-toolkit[cluster]")
#: Neighbours and a doubled rate, and no state.
PLAIN = Pipeline([stage("deinterlace.bwdif")(), stage("denoise.temporal")()])
HOW = {"pipeline": PLAIN, "write": QUICK, "segment": 0.27, "audio": "keep", "field_order": "tff"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers in processes of their own."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as found:  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The digest of the file that one machine makes."""
    out = tmp_path_factory.mktemp("alone") / "o.mp4"
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **HOW)
    return digest(out)


def test_the_file_is_that_of_one_machine(cluster, alone, tmp_path):
    out = tmp_path / "o.mp4"
    run = toolkit.restore(m.made("huffyuv.avi"), out, scheduler=cluster.scheduler_address, **HOW)
    assert digest(out) == alone and run.frames_in == 30 and all(c.ok for c in run.checks)
    assert list(tmp_path.iterdir()) == [out]
    assert run.seconds["deinterlace.bwdif"] > 0, "the workers did not make the segments"


def test_either_goes_on_with_what_the_other_began(cluster, alone, tmp_path):
    where = {"scheduler": cluster.scheduler_address}
    for out, first, second in ((tmp_path / "a.mp4", {}, where), (tmp_path / "b.mp4", where, {})):
        interrupted(2, m.made("huffyuv.avi"), out, **HOW, **first)
        run = toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **HOW, **second)
        assert any("frames were finished before" in n for n in run.notes)
        assert digest(out) == alone
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_killed_workers_segments_are_made_again(alone, tmp_path, monkeypatch):
    real, killed = Journal.add, []

    def add(self, *words):
        real(self, *words)
        if not killed:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
        ) as own,
        distributed.Client(own) as client,
    ):
        pids = list(client.run(os.getpid).values())
        monkeypatch.setattr(Journal, "add", add)
        (tmp_path / "out").mkdir()
        out = tmp_path / "out" / "o.mp4"
        toolkit.restore(m.made("huffyuv.avi"), out, scheduler=client, **HOW)
    assert killed and digest(out) == alone and list(out.parent.iterdir()) == [out]


def test_a_cluster_whose_workers_all_left_is_not_waited_for_for_ever(alone, tmp_path, monkeypatch):
    real, left = Journal.add, []

    def add(self, *words):
        real(self, *words)
        if not left:
            left.append(own.scale(0))

    out = tmp_path / "o.mp4"
    folder = tmp_path / "dask"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(folder)
    ) as own:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "add", add)
            patch.setattr("toolkit.cluster.ALONE", 1.0)
            with pytest.raises(WorkError, match="has had no workers for .* s; what is finished was kept in "):
                toolkit.restore(m.made("huffyuv.avi"), out, scheduler=own.scheduler_address, **HOW)
        assert left and not out.exists()
    run = toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **HOW)
    assert any("frames were finished before" in n for n in run.notes) and digest(out) == alone


def test_a_scheduler_that_goes_is_said_plainly(tmp_path, monkeypatch):
    real, where = Journal.add, tmp_path / "scheduler.json"

    def start(kind, *words):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--no-dashboard"]
        command += ["--scheduler-file", str(where)]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    scheduler, worker = start("scheduler", "--port", "0"), start("worker", "--nthreads", "1")

    def add(self, *words):
        real(self, *words)
        scheduler.kill()
        scheduler.wait(60)

    out = tmp_path / "out" / "o.mp4"
    out.parent.mkdir()
    try:
        with distributed.Client(scheduler_file=str(where), timeout=10) as client:
            client.wait_for_workers(1, timeout=60)
            monkeypatch.setattr(Journal, "add", add)
            with pytest.raises(WorkError, match="the scheduler .*gone.*what is finished was kept in .*same command"):
                toolkit.restore(m.repeated("huffyuv.avi", 4), out, scheduler=client, **HOW)
    finally:
        for program in (worker, scheduler):
            program.kill()
            program.wait(60)
    assert [p.name for p in out.parent.iterdir()] == ["o.mp4.parts"]


def test_recursive_steps_are_warmed_up_and_stay_within_two_levels(cluster, tmp_path):
    """Lossless, so what differs is the state alone."""
    tape = m.repeated("huffyuv.avi", 5)
    steps = Pipeline([stage("deinterlace.bwdif")(rate="frame"), stage("denoise.hqdn3d")(temporal=10.0)])
    how = {"pipeline": steps, "write": {"codec": "ffv1"}, "audio": "none", "segment": 1.0, "field_order": "tff"}
    how["frames"] = (0, 100)
    toolkit.restore(tape, tmp_path / "one.mkv", resume=True, **how)
    run = toolkit.restore(tape, tmp_path / "many.mkv", scheduler=cluster.scheduler_address, **how)
    assert any("warmed up" in n for n in run.notes)
    one, many = (next(iter(Clip.open(tmp_path / n).batches(size=128))) for n in ("one.mkv", "many.mkv"))
    assert len(one) == len(many) == 100
    for a, b in zip(one.planes, many.planes, strict=True):
        off = np.abs(a.astype(int) - b)
        assert not off[:30].any() and off.max() <= 2 and off.mean() < 0.01, (off.max(), off.mean())


def test_a_warmed_up_run_and_one_machines_are_not_mixed(cluster, tmp_path):
    how = {**HOW, "pipeline": STEPS}
    interrupted(1, m.made("huffyuv.avi"), tmp_path / "o.mp4", scheduler=cluster.scheduler_address, **how)
    with pytest.raises(OutputRefused, match="warm-up frames: 48 then, null now"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", resume=True, **how)


@pytest.mark.parametrize(("frames", "claim"), [((0, 24), None), ((0, None), 60), ((0, None), 9)])
def test_the_end_of_the_tape_is_found(frames, claim, cluster, tmp_path, monkeypatch):
    """With a last segment that is full, and where the file claims more or fewer frames than it has."""
    how = {**HOW, "frames": frames}
    toolkit.restore(m.made("huffyuv.avi"), tmp_path / "one.mp4", resume=True, **how)
    if claim:
        monkeypatch.setattr("toolkit.runner.count_frames", lambda clip, frames: claim)
    run = toolkit.restore(m.made("huffyuv.avi"), tmp_path / "many.mp4", scheduler=cluster.scheduler_address, **how)
    assert digest(tmp_path / "many.mp4") == digest(tmp_path / "one.mp4")
    assert run.frames_in == (frames[1] or 30)


def test_a_worker_that_reads_other_pictures_is_told_to_read_from_the_beginning(cluster, alone, tmp_path, monkeypatch):
    from toolkit.cluster import ClusterRunner

    real, calls = ClusterRunner._take_in, []

    def take_in(self):
        for made in self._waiting.values():
            if made.seek and made.number == 2:
                made.head = "of another frame"
                calls.append(made)
        return real(self)

    monkeypatch.setattr(ClusterRunner, "_take_in", take_in)
    out = tmp_path / "o.mp4"
    run = toolkit.restore(m.made("huffyuv.avi"), out, scheduler=cluster.scheduler_address, **HOW)
    assert calls and any("seeking in the tape is not exact" in n for n in run.notes)
    assert digest(out) == alone and list(tmp_path.iterdir()) == [out]


def test_what_a_worker_does_not_see_is_said_plainly(cluster, tmp_path, capsys):
    tape = tmp_path / "tape.avi"
    shutil.copy(m.made("huffyuv.avi"), tape)
    out = tmp_path / "o.mp4"
    where = {"scheduler": cluster.scheduler_address}
    with distributed.Client(cluster) as client:
        for hide, message in (
            (lambda: _hide("is_file", tape), "does not see the tape .*tape.avi; expected the tape and the output's"),
            (lambda: _hide("is_dir", out.with_name("o.mp4.parts")), "does not see the output's folder"),
        ):
            client.run(hide)
            with pytest.raises(RequestError, match=f"the worker tcp://.* {message}"):
                toolkit.restore(tape, out, **where, **HOW)
            client.run(_show)
            assert list(tmp_path.iterdir()) == [tape]
    assert main(["restore", str(tape), str(out), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, local_directory=str(tmp_path / "d")) as empty:
        with pytest.raises(RequestError, match="has no workers"):
            toolkit.restore(tape, out, scheduler=empty.scheduler_address, **HOW)


def _hide(name: str, hidden: Path) -> None:
    """As if a path were not there on this machine."""
    real = getattr(Path, name)
    Path._shown = (name, real)
    setattr(Path, name, lambda self: self != hidden and real(self))


def _show() -> None:
    setattr(Path, *Path._shown)


def test_a_queue_spreads_its_tapes(cluster, alone, tmp_path, capsys):
    from toolkit.jobs import Queue, Wish

    out = tmp_path / "o.mp4"
    queue = Queue(tmp_path / "q.db")
    settings = {"write": QUICK, "segment": 0.27, "audio": "keep", "field_order": "tff"}
    number = queue.add([Wish(m.made("huffyuv.avi"), out, "vhs", pipeline=PLAIN, settings=settings)])[0]
    assert main(["queue", "run", "--scheduler", cluster.scheduler_address, "--queue", str(queue.path)]) == 0
    job = queue.job(number)
    assert job.state == "done", job.reason
    assert digest(out) == alone and job.report["seconds"]["deinterlace.bwdif"] > 0


def test_errors_cross_to_another_process_as_they_are():
    for error in (
        WorkError("it broke", expected="not to", files="kept", hint="again"),
        UnknownName("preset", "vsh", ["vhs", "dv"]),
        ToolkitError("given"),
    ):
        found = pickle.loads(pickle.dumps(error))
        assert type(found) is type(error) and str(found) == str(error) and vars(found) == vars(error)
        assert found.exit_code == error.exit_code
