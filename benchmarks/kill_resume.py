"""Kills a run at random moments and goes on with it: how often is the file byte for byte that of an undisturbed run?

    python benchmarks/kill_resume.py [--kills 50] [--seed 0] [--queue]

Half of the kills are made by the process itself at a counted event (a packet half written, before and after a sync or a
rename, between packets while the segments are joined, while the rest is removed); the other half come from outside
after a random time, to the command line in its own process.  Both are SIGKILL.  With `--queue` the tape is a job, and
its worker, its own process or both are killed after a random time; then the queue is run again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import psutil
from common import save

from tests import _kill
from tests import _media as m
from tests._segments import QUICK, STEPS, digest


def call(folder: Path) -> dict[str, Any]:
    return {
        "source": str(m.made("huffyuv.avi")),
        "output": str(folder / "o.mp4"),
        "pipeline": STEPS.to_dict(),
        "write": QUICK,
        "segment": 0.3,
    }


def command(folder: Path) -> list[str]:
    words = "--preset vhs --upscale none --encoder-preset slow --threads 1 --resume --segment 0.3 --json".split()
    return [sys.executable, "-m", "toolkit.cli", "restore", str(m.made("huffyuv.avi")), str(folder / "o.mp4"), *words]


def by_command(folder: Path, after: float | None) -> tuple[int, float]:
    """Exit code and seconds of the command, killed `after` seconds."""
    began = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(_kill.ROOT)}
    program = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, text=True)
    try:
        _, err = program.communicate(timeout=after if after is not None else 300)
    except subprocess.TimeoutExpired:
        program.kill()
        _, err = program.communicate()
    if program.returncode == 2 and "exists already" in err:
        return 0, time.monotonic() - began  # it was whole and checked when the kill came
    return program.returncode, time.monotonic() - began


def by_queue(folder: Path, victim: str, after: float | None) -> tuple[bool, float]:
    """Whether there was something left to kill, and the seconds the worker ran."""
    from toolkit.jobs import Queue, Wish

    queue = Queue(folder.parent / f"{folder.name}.db")
    if not queue.jobs():
        settings = {"write": QUICK, "segment": 0.3}
        queue.add([Wish(m.made("huffyuv.avi"), folder / "o.mp4", "vhs", pipeline=STEPS, settings=settings)])
    began = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(_kill.ROOT)}
    words = [sys.executable, "-m", "toolkit.cli", "queue", "run", "--queue", str(queue.path)]
    program = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    hit = False
    if after is not None:
        time.sleep(after)
        own = [c for c in psutil.Process(program.pid).children() if "toolkit.jobs.run" in c.cmdline()]
        hit = program.poll() is None and (victim == "worker" or bool(own))
        for one in own if victim != "worker" else []:
            one.kill()
        if victim != "job":
            program.kill()
    program.wait(300)
    return hit, time.monotonic() - began


def queue_kills(count: int, rng: random.Random, top: Path) -> list[dict[str, Any]]:
    from toolkit.jobs import Queue

    rows: list[dict[str, Any]] = []
    first = top / "first"
    first.mkdir()
    _, whole = by_queue(first, "", None)
    wanted = digest(first / "o.mp4")
    while len(rows) < count:
        n = len(rows)
        folder, victim = top / str(n), ("worker", "job", "both")[n % 3]
        folder.mkdir()
        after = round(rng.uniform(0.3, 1.0) * whole, 2)
        hit, seconds = by_queue(folder, victim, after)
        if not hit:  # it came too late and is no kill
            whole = min(whole, seconds)
            shutil.rmtree(folder)
            for path in top.glob(f"{n}.db*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        by_queue(folder, "", None)
        job = Queue(top / f"{n}.db").job(1)
        same = job.state == "done" and digest(folder / "o.mp4") == wanted
        clean = [p.name for p in folder.iterdir()] == ["o.mp4"]
        rows.append({"moment": [victim, after], "killed": True, "same": same, "clean": clean, "tries": job.tries})
        print(n, json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--queue", action="store_true")
    asked = parser.parse_args()
    if asked.queue:
        with tempfile.TemporaryDirectory() as top:
            rows = queue_kills(asked.kills, random.Random(asked.seed), Path(top))
        where = Counter(row["moment"][0] for row in rows)
        report("kill_queue", rows, asked.seed, where)
        return
    rng, where, rows = random.Random(asked.seed), Counter(), []
    with tempfile.TemporaryDirectory() as top, _kill.Killer() as killer:
        first, second = Path(top) / "first", Path(top) / "second"
        first.mkdir()
        second.mkdir()
        killer.run(call(first))  # fills the cache of compiled kernels, whose files are no events of a run
        (first / "o.mp4").unlink()
        events = killer.run(call(first))["events"]
        code, whole_time = by_command(second, None)
        assert code == 0, "the undisturbed command failed"
        wanted = {"event": digest(first / "o.mp4"), "time": digest(second / "o.mp4")}
        for n in range(asked.kills):
            folder = Path(top) / str(n)
            folder.mkdir()
            way = "event" if n % 2 else "time"
            if way == "event":
                moment = _kill.moment(rng, events)
                killed = killer.run(call(folder), moment)["exit"] == -9
                told = killer.run(call(folder))
                ended = told["exit"] == 0 and (told.get("ok", False) or "exists already" in told.get("error", ""))
            else:
                for _ in range(5):  # one that came too late is no kill
                    moment = ("time", round(rng.uniform(0.5, 1.0) * whole_time, 2))
                    code, seconds = by_command(folder, moment[1])
                    if killed := code == -9:
                        break
                    whole_time = min(whole_time, seconds)
                    (folder / "o.mp4").unlink()
                parts = list(folder.glob("*.parts/*.packets"))
                where[f"{len(parts)} segments finished"] += killed
                ended = by_command(folder, None)[0] == 0
            same = ended and digest(folder / "o.mp4") == wanted[way]
            clean = [p.name for p in folder.iterdir()] == ["o.mp4"]
            where[moment[0]] += killed
            rows.append({"moment": list(moment), "killed": killed, "same": same, "clean": clean})
            print(n, json.dumps(rows[-1]), flush=True)
    report("kill_resume", rows, asked.seed, where)


def report(name: str, rows: list[dict[str, Any]], seed: int, where: Counter) -> None:
    counts = {key: sum(row[key] for row in rows) for key in ("killed", "same", "clean")}
    found = {"runs": len(rows), **counts, "seed": seed, "where": dict(where), "rows": rows}
    print(json.dumps({k: v for k, v in found.items() if k != "rows"}, indent=1))
    save(name, found)


if __name__ == "__main__":
    main()
