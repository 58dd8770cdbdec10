"""Pairs of ours and the baseline that do the same work, and what they leave in the file system and process table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent


class Broken(RuntimeError):
    """What goes wrong in the middle."""


def breaking(after: int = 2) -> Callable[[object], None]:
    """A consumer that fails on its `after`-th call."""
    calls = []

    def consume(_: object) -> None:
        calls.append(1)
        if len(calls) == after:
            raise Broken

    return consume


def compare_ours(tape: Path, judge: Callable[[object], object]) -> None:
    from toolkit.compare import sample

    for burst in sample(tape, [0.3, 0.7], length=4).bursts:
        for frame in range(len(burst.own)):
            judge(burst.own.planes[0][frame])


def compare_baseline(tape: Path, judge: Callable[[object], object]) -> None:
    from benchmarks.baseline.comparison import look_at

    look_at(tape, [0.3, 0.7], judge, frames=4, seconds=0.4)


def sound_ours(tape: Path, consume: Callable[[object], object]) -> None:
    from toolkit.audio import clean
    from toolkit.clip import Clip

    for block in clean(Clip.open(tape), mode="moderate"):
        consume(block.samples)


def sound_baseline(tape: Path, consume: Callable[[object], object]) -> None:
    from benchmarks.baseline.sound import clean

    clean(tape, consume)


def killed_in_the_middle(way: str, tape: Path, folder: Path) -> None:
    """Runs one of the functions above in a process that kills itself (SIGKILL) when its consumer is first called."""
    program = (
        "import os, signal, sys; from pathlib import Path; from tests import _leaking\n"
        f"getattr(_leaking, {way!r})(Path(sys.argv[1]), lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    env["VHS_TOOLKIT_SCRATCH"] = str(folder / "scratch")
    done = subprocess.run([sys.executable, "-c", program, str(tape)], env=env, timeout=120)
    assert done.returncode == -9, "it was not killed in the middle"


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def living_children(others: set[psutil.Process]) -> list[int]:
    """Ids of the programs started by this process, beside `others`, that still live after a moment's grace."""
    end = time.monotonic() + 2
    while (left := set(psutil.Process().children(recursive=True)) - others) and time.monotonic() < end:
        time.sleep(0.05)
    return [p.pid for p in left]


def lint_rules(path: Path) -> set[str]:
    """Names of the rules by which `profile lint` finds something in a file."""
    command = [sys.executable, "-m", "toolkit.cli", "profile", "lint", str(path), "--format", "json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    return {finding["rule"] for finding in json.loads(done.stdout)["findings"]}
