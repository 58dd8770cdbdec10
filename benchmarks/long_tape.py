"""Restores a tape of hours and watches from outside: does memory stay flat, and open files, and temporary disk?

    python benchmarks/long_tape.py                              # 720x480, as many minutes as take about eight
    python benchmarks/long_tape.py --hours 6 --size 160x120     # 540,000 frames
    python benchmarks/long_tape.py --quick                      # a try: nothing is saved

The tape is a clip of 96 frames repeated packet by packet (MPEG-2, 25 frames a second, PCM sound).  It is restored by
the command line, `--preset vhs-fast --resume`, and looked at twice a second: resident memory of all its processes, open
files, and the bytes in `OUT.parts` and in the folder for temporary files.  The output itself, while it grows under the
name OUT.part, does not count as temporary.  What grows with each frame shows at any size of frame, so a small one lets
six hours pass in minutes; what grows with the bytes of a frame would not show there.

Slope: median of the slopes of all pairs of readings (Theil and Sen) over the frames, after a tenth of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import psutil
from common import save

from tests._long import FRAMES, repeated, short_clip
from toolkit.profiling.sizes import bytes_under
from toolkit.profiling.slope import fit

ROOT = Path(__file__).parent.parent
EVERY = 0.5  # seconds between two looks
GOAL = 1024  # bytes for a thousand frames
STEPS = 200  # readings that the line goes through


class Watch:
    """Looks at a process from a thread of its own; `rows` are (stage, frames done, memory, files, temporary bytes)."""

    def __init__(self, program: subprocess.Popen, folders: list[Path]) -> None:
        self.rows: list[tuple[str, int, int, int, int]] = []
        self.stage, self.done, self.largest = "start", 0, 0
        self._program, self._folders = program, folders
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        top = psutil.Process(self._program.pid)
        while self._program.poll() is None:
            try:
                all_of_them = [top, *top.children(recursive=True)]
                memory = sum(p.memory_info().rss for p in all_of_them)
                files = sum(p.num_fds() for p in all_of_them)
            except psutil.Error:
                break
            temporary = sum(bytes_under(f) for f in self._folders if f.exists())
            self.rows.append((self.stage, self.done, memory, files, temporary))
            time.sleep(EVERY)

    def join(self) -> None:
        self._thread.join()


def restored(tape: Path, out: Path) -> tuple[list[tuple[str, int, int, int, int]], dict[str, Any], int]:
    """The readings, the run's own report, and the bytes of the largest segment."""
    scratch, parts = out.parent / "scratch", out.with_name(out.name + ".parts")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "VHS_TOOLKIT_SCRATCH": str(scratch), "TMPDIR": str(out.parent / "t")}
    (out.parent / "t").mkdir()
    words = f"restore {tape} {out} --preset vhs-fast --field-order tff --resume --json".split()
    with tempfile.TemporaryFile("w+") as errors:
        program = subprocess.Popen(
            [sys.executable, "-m", "toolkit.cli", *words], env=env, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        watch, report, largest = Watch(program, [parts, scratch, out.parent / "t"]), {}, 0
        for line in program.stdout:
            told = json.loads(line)
            if told["event"] == "done":
                report = told
                continue
            if told["stage"] == "join" and watch.stage != "join":
                largest = max(p.stat().st_size for p in parts.glob("*.packets"))
            watch.stage, watch.done = told["stage"], told["done"]
        watch.join()
        errors.seek(0)
        if program.wait():
            raise RuntimeError(errors.read()[-1500:])
    return watch.rows, report, largest


def line_through(rows: list[tuple[int, int]]) -> dict[str, float]:
    """Slope for 1,000 frames, with its interval, through (frames, value) at evenly spaced frames after a tenth."""
    last = rows[-1][0]
    rows = [row for row in rows if row[0] >= last / 10]
    step = max(1.0, (last - rows[0][0]) / STEPS)
    picked, due = [], rows[0][0]
    for frames, value in rows:
        while frames >= due:
            picked.append(value)
            due += step
    found = fit("resident", picked)
    return {name: 1000 * getattr(found, name) / step for name in ("slope", "low", "high")}


def measure(seconds: float, size: str, ending: str, folder: Path) -> dict[str, Any]:
    times = max(4, round(seconds * 25 / FRAMES))
    began = time.perf_counter()
    tape = repeated(short_clip(folder / "short.mkv", size), folder / "tape.mkv", times)
    made = time.perf_counter() - began
    (folder / "out").mkdir()
    out = folder / "out" / f"o{ending}"
    began = time.perf_counter()
    rows, report, largest = restored(tape, out)
    wall = time.perf_counter() - began
    making = [r for r in rows if r[0] == "restore" and r[1]]
    level = sorted(r[2] for r in making)[len(making) // 2]
    after = {
        stage: round((max((r[2] for r in rows if r[0] == stage), default=level) - level) / 2**20, 1)
        for stage in ("join", "check")
    }
    warm = [r[3] for r in making if r[1] >= making[-1][1] / 10]
    temporary, bound = max(r[4] for r in rows), out.stat().st_size + largest
    memory = line_through([(r[1], r[2]) for r in making])
    left = sorted(p.name for p in out.parent.iterdir() if p.name not in (out.name, "t"))
    return {
        "frames": times * FRAMES, "hours": round(times * FRAMES / 25 / 3600, 2), "size": size, "container": ending[1:],
        "made_s": round(made, 1), "wall_s": round(wall, 1), "fps": round(report["fps"], 1),
        "resident_mib": round(level / 2**20, 1), "peak_mib": round(max(r[2] for r in rows) / 2**20, 1),
        "slope_bytes_per_1000_frames": {k: round(v, 1) for k, v in memory.items()},
        "stages_add_mib": after,
        "files": {"first": warm[0], "last": warm[-1], "most": max(warm)},
        "files_slope_per_1000_frames": line_through([(r[1], r[3]) for r in making])["slope"],
        "temporary_bytes": temporary, "bound_bytes": bound, "left": left,
        "looks": len(rows), "notes": report["notes"], "checks_ok": all(c["ok"] for c in report["checks"]),
        "goal": f"slope below {GOAL} bytes for 1,000 frames; temporary disk below the output and one segment",
        "met": memory["slope"] < GOAL and temporary < bound and not left,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float)
    parser.add_argument("--minutes", type=float, help="of tape; 25 by default, which take about 8 at 720x480")
    parser.add_argument("--size", default="720x480")
    parser.add_argument("--ending", default=".mp4", choices=(".mp4", ".mkv", ".mov"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    seconds = 3600 * asked.hours if asked.hours else 60 * (asked.minutes or 25)
    size = asked.size
    if asked.quick:
        seconds, size = 60 * (asked.minutes or 8), "160x120"
    with tempfile.TemporaryDirectory(prefix="vhs-long-") as top:
        found = measure(seconds, size, asked.ending, Path(top))
    print(json.dumps(found, indent=1))
    if not asked.quick:
        save(f"long_tape_{size}", found)


if __name__ == "__main__":
    main()
