"""Kills a run at random moments and goes on with it: how often is the file byte for byte that of an undisturbed run?

    python benchmarks/kill_resume.py [--kills 50] [--seed 0]

Half of the kills are made by the process itself at a counted event (a packet half written, before and after a sync or a
rename, between packets while the segments are joined, while the rest is removed); the other half come from outside
after a random time, to the command line in its own process.  Both are SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

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
    words = "--preset vhs --upscale none --encoder-preset ultrafast --threads 2 --resume --segment 0.3 --json".split()
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng, where, rows = random.Random(asked.seed), Counter(), []
    with tempfile.TemporaryDirectory() as top, _kill.Killer() as killer:
        first, second = Path(top) / "first", Path(top) / "second"
        first.mkdir()
        second.mkdir()
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
    counts = {name: sum(row[name] for row in rows) for name in ("killed", "same", "clean")}
    found = {"runs": len(rows), **counts, "seed": asked.seed, "where": dict(where), "rows": rows}
    print(json.dumps({k: v for k, v in found.items() if k != "rows"}, indent=1))
    save("kill_resume", found)


if __name__ == "__main__":
    main()
