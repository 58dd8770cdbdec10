"""kill -9 at any moment, then the same call again: the file is that of a run nobody disturbed, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests import _kill
from tests import _media as m
from tests._segments import QUICK, STEPS, digest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork are POSIX")


@pytest.fixture(scope="module")
def killer():
    with _kill.Killer() as killer:
        yield killer


def call(folder, name="o.mp4"):
    return {
        "source": str(m.made("huffyuv.avi")),
        "output": str(folder / name),
        "pipeline": STEPS.to_dict(),
        "write": QUICK,
        "segment": 0.27,  # 8 frames
        "frames": (0, 28),
        "field_order": "tff",
        "audio": "keep",
    }


@pytest.fixture(scope="module")
def undisturbed(killer, tmp_path_factory):
    """`(digest of the whole file, events of the run)`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    killer.run(call(folder, "first.mp4"))  # Numba names what it compiles and puts on disk, which would count as events
    told = killer.run(call(folder))
    assert told["exit"] == 0 and told["ok"], told
    assert set(told["events"]) == set(_kill.KINDS), "some moments are not counted, so no kill hits them"
    return digest(folder / "o.mp4"), told["events"]


@pytest.mark.parametrize("seed", range(8))
def test_killed_and_gone_on_with(seed, killer, undisturbed, tmp_path):
    wanted, events = undisturbed
    rng = random.Random(seed)
    kill = _kill.moment(rng, events)
    told = killer.run(call(tmp_path), kill)
    assert told["exit"] == -9, f"not killed at {kill}: {told}"
    again = rng.random() < 0.5  # the second run is killed as well, if it gets as far as that
    if again:
        killer.run(call(tmp_path), _kill.moment(rng, events))
    told = killer.run(call(tmp_path))
    # Killed after the file was whole and checked, there is nothing to go on with: the file is there.
    finished = "exists already" in told.get("error", "")
    assert told["exit"] == 0 and (told.get("ok") or finished), (kill, again, told)
    assert digest(tmp_path / "o.mp4") == wanted, (kill, again)
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"], (kill, again)


@pytest.mark.parametrize("where", ["segment", "join"])
def test_a_full_disk_keeps_what_is_finished(where, killer, undisturbed, tmp_path):
    wanted, _ = undisturbed
    told = killer.run(call(tmp_path), ("join", 5))
    largest = max(p.stat().st_size for p in (tmp_path / "o.mp4.parts").glob("*.packets"))
    assert told["exit"] == -9
    if where == "segment":
        (tmp_path / "o.mp4.parts" / "000001.packets").unlink()
    told = killer.run(call(tmp_path), room=largest // 4 if where == "segment" else largest)
    assert "OutputFailed" in told["error"] and "free some space" in told["error"], told
    left = sorted(p.name for p in tmp_path.rglob("*.packets*"))
    assert left == [f"00000{n}.packets" for n in range(4) if where == "join" or n != 1]
    assert not (tmp_path / "o.mp4.part").exists() or where == "segment"
    told = killer.run(call(tmp_path))
    assert told["ok"] and digest(tmp_path / "o.mp4") == wanted
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


def test_ctrl_c_on_the_command_line_keeps_what_is_finished(tmp_path):
    words = f"restore {m.repeated('huffyuv.avi', 4)} o.mp4 --preset vhs-fast --field-order tff --audio none"
    slowly = "--resume --segment 0.3 --encoder-preset veryslow --threads 1"
    command = [sys.executable, "-m", "toolkit.cli", *words.split(), *slowly.split()]
    env = {**os.environ, "PYTHONPATH": str(_kill.ROOT)}
    program = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("*/000000.packets")):
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130 and "what is finished was kept: the same command goes on" in err, err
    assert not list(tmp_path.glob("o.mp4.parts/*.new")) and not (tmp_path / "o.mp4").exists()
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "went on with a run that was interrupted" in done.stdout, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]
