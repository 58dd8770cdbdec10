"""Runs `toolkit.restore` in processes that are killed (SIGKILL) at a chosen moment, counted in events of that process.

Started as a program it imports all once, then forks for every line on its standard input, so that a run costs no start:
{"call": {...}, "kill": [kind, number] or null, "room": bytes or null} is answered by
{"exit": ..., "events": {kind: count}, "notes": [...], "error": ...}.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: What a run does, and where a kill may hit: a packet of a segment half written, before and after a segment's or the
#: journal's bytes reach the disk and take their name, between packets while all is joined, while the rest is removed.
KINDS = ("packet", "sync", "name", "join", "remove")


class Killer:
    """Forks restores.  Use it as a context manager."""

    def __enter__(self) -> Killer:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._program = subprocess.Popen([sys.executable, "-m", "tests._kill"], cwd=ROOT, env=env, **pipes)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stdin.close()
        self._program.wait(30)
        self._program.stdout.close()

    def run(
        self, call: dict[str, Any], kill: tuple[str, int] | None = None, room: int | None = None
    ) -> dict[str, Any]:
        """room : bytes that a file may grow to; beyond, writing fails as on a full disk."""
        self._program.stdin.write(json.dumps({"call": call, "kill": kill, "room": room}) + "\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())


def moment(rng: random.Random, events: dict[str, int]) -> tuple[str, int]:
    """A random moment: a kind of event first, so that rare ones are hit as often."""
    kind = rng.choice([k for k in KINDS if events.get(k)])
    return kind, rng.randrange(events[kind])


def _count_events(kill: tuple[str, int] | None, seen: Counter) -> None:
    """Wraps what a run calls, so that each call is an event and the chosen one the last."""
    import shutil

    from toolkit import resumable, segments
    from toolkit.media.packets import PacketFile

    def event(kind: str) -> None:
        if kill == (kind, seen[kind]):
            os.kill(os.getpid(), signal.SIGKILL)
        seen[kind] += 1

    def around(function: Any, kind: str) -> Any:
        def wrapped(*args: Any, **more: Any) -> Any:
            event(kind)
            result = function(*args, **more)
            event(kind)
            return result

        return wrapped

    def put(self: PacketFile, data: bytes) -> None:
        if kill == ("packet", seen["packet"]):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
        event("packet")
        real_put(self, data)

    def joined(*args: Any) -> Any:
        for picture in real_joined(*args):
            event("join")
            yield picture

    def rmtree(path: Any, *args: Any, **more: Any) -> None:
        if ".parts" in str(path) and Path(path).exists():
            for file in sorted(Path(path).iterdir(), key=lambda f: f.name, reverse=True):
                event("remove")
                file.unlink()
            event("remove")
        real_rmtree(path, *args, **more)

    real_put, real_joined, real_rmtree = PacketFile._put, resumable.joined, shutil.rmtree
    PacketFile._put, resumable.joined, segments.shutil.rmtree = put, joined, rmtree
    os.fsync, os.replace = around(os.fsync, "sync"), around(os.replace, "name")


def _child(job: dict[str, Any], answer: int) -> None:
    import resource

    import toolkit
    from toolkit.pipeline import Pipeline

    if job["room"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], job["room"]))
    seen: Counter = Counter()
    told: dict[str, Any] = {}
    _count_events(tuple(job["kill"]) if job["kill"] else None, seen)
    call = dict(job["call"])
    call["pipeline"] = Pipeline.from_dict(call["pipeline"])
    with contextlib.redirect_stdout(sys.stderr):
        try:
            run = toolkit.restore(**call, resume=True)
            told = {"notes": run.notes, "ok": all(c.ok for c in run.checks)}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
    os.write(answer, json.dumps({**told, "events": seen}).encode())


def _serve() -> None:
    import numba  # noqa: F401

    from kernels.declare import all_kernels
    from toolkit import resumable  # noqa: F401

    all_kernels()
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                _child(json.loads(line), writer)
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status), **(json.loads(said) if said else {})}), flush=True)


if __name__ == "__main__":
    _serve()
