"""A real full disk, a folder that nobody may write to, an input that vanishes, a clock that is set back."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

import pytest

import toolkit
from tests import _media as m
from tests._segments import QUICK, digest
from toolkit.errors import ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.segments import Journal, parts_of
from toolkit.stages import stage

#: No states, which would be larger than the segments.
STEPS = Pipeline([stage("deinterlace.bwdif")(), stage("denoise.temporal")()])
HOW = {"pipeline": STEPS, "write": {**QUICK, "crf": 1}, "segment": 0.27, "field_order": "tff", "audio": "keep"}


@contextlib.contextmanager
def mounted(where, options):
    """A file system in memory at `where`; skips, with the reason, where that is not allowed."""
    where.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    if shutil.which("mount") is None:
        pytest.skip("there is no program mount")
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True, timeout=20)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "o.mp4"
    toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **HOW)
    return digest(out), out.stat().st_size


@pytest.mark.parametrize("resume", [False, True])
def test_a_full_disk(resume, wanted, tmp_path):
    """Half of the output fits."""
    sha, size = wanted
    with mounted(tmp_path / "disk", f"size={size // 2}") as disk:
        out = disk / "o.mp4"
        with pytest.raises(ToolkitError, match="free some space"):
            toolkit.restore(m.made("huffyuv.avi"), out, resume=resume, **HOW)
        assert not out.exists() and not list(disk.rglob("*.part")) and not list(disk.rglob("*.new"))
        if not resume:
            assert list(disk.iterdir()) == []
            return
        assert len(list(parts_of(out).glob("*.packets"))) >= 1
        subprocess.run(["mount", "-o", f"remount,size={6 * size}", str(disk)], check=True, timeout=20)
        run = toolkit.restore(m.made("huffyuv.avi"), out, resume=True, **HOW)
        assert any("frames were finished before" in n for n in run.notes)
        assert digest(out) == sha and list(disk.iterdir()) == [out]


@pytest.mark.parametrize("resume", [False, True])
def test_a_disk_that_is_full_before_the_run(resume, tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        with (disk / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        told = ()
        try:
            toolkit.restore(m.made("huffyuv.avi"), disk / "o.mp4", resume=resume, **HOW)
        except ToolkitError as error:  # not kept: its frames hold the container, and that the disk
            told = error.exit_code, str(error)
        assert told[:1] == (1,) and "free some space" in told[1] and "nothing" in told[1]
        assert [p.name for p in disk.iterdir()] == ["full"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_is_mounted_read_only(resume, tmp_path):
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        with pytest.raises(ToolkitError, match="may not be written to") as caught:
            toolkit.restore(m.made("huffyuv.avi"), disk / "o.mp4", resume=resume, **HOW)
        assert caught.value.exit_code == 2 and list(disk.iterdir()) == []


def test_a_tape_that_vanishes_in_the_middle(wanted, tmp_path, monkeypatch):
    """An unplugged drive: what is finished stays, and the run goes on when the tape is back."""
    tape, away, out = tmp_path / "tape.avi", tmp_path / "away", tmp_path / "out" / "o.mp4"
    shutil.copy2(m.made("huffyuv.avi"), tape)
    out.parent.mkdir()
    real = Journal.add

    def add(self, *words):
        real(self, *words)
        if tape.exists() and len(self.segments) == 2:
            tape.rename(away)
            os.truncate(away, away.stat().st_size // 2)

    monkeypatch.setattr(Journal, "add", add)
    with pytest.raises(ToolkitError, match="there is no file .*tape.avi"):
        toolkit.restore(tape, out, resume=True, **HOW)
    assert not out.exists() and len(list(parts_of(out).glob("*.packets"))) >= 2
    with pytest.raises(ToolkitError, match="there is no file .*tape.avi") as caught:
        toolkit.restore(tape, out, resume=True, **HOW)
    assert caught.value.exit_code == 2 and parts_of(out).is_dir()
    monkeypatch.undo()
    shutil.copy2(m.made("huffyuv.avi"), tape)
    toolkit.restore(tape, out, resume=True, **HOW)
    assert digest(out) == wanted[0] and list(out.parent.iterdir()) == [out]


def test_a_clock_that_is_set_back_in_the_middle(wanted, tmp_path, monkeypatch):
    """Times of day are told to people and decide nothing."""
    real, now = time.time, [0.0]

    def earlier():
        now[0] += 3600
        return real() - now[0]

    monkeypatch.setattr(time, "time", earlier)
    run = toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", resume=True, **HOW)
    assert digest(tmp_path / "o.mp4") == wanted[0] and run.elapsed > 0
