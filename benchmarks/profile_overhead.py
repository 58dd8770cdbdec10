"""What `profile watch` costs: its processor time divided by that of the restore that it watches.

    python benchmarks/profile_overhead.py [--quick]

Both as the system counted them for whole processes, the watcher's imports with it.  It looks once a second, as by
default, and writes Parquet.  Starting the watcher costs the same however long the run is, so a short one shows it most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from common import save

ROOT = Path(__file__).parent.parent
GOAL = 0.02
WATCH = """
import contextlib, io, json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from toolkit.cli import main
from toolkit.profiling import watch as watching
inner, spent = watching.watch, []
def watch(*words, **knobs):
    began = time.process_time()
    try:
        return inner(*words, **knobs)
    finally:
        spent.append(time.process_time() - began)
watching.watch = watch
with contextlib.redirect_stdout(io.StringIO()):
    code = main(["profile", "watch", "--command", sys.argv[2], "--output", sys.argv[3]])
cpu = [u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))]
print(json.dumps({"code": code, "watcher": cpu[0], "run": cpu[1], "looking": spent[0]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short tape, once; nothing is saved")
    asked = parser.parse_args()
    from toolkit.tape import demo, simulate

    frames, repeats = (150, 1) if asked.quick else (300, 2)
    rows = []
    with tempfile.TemporaryDirectory(prefix="vhs-overhead-") as top:
        tape, out = Path(top) / "tape.mkv", Path(top) / "out.mp4"
        simulate(demo(frames=frames), tape, frames=frames)
        command = f'"{sys.executable}" -m toolkit.cli restore "{tape}" "{out}" --overwrite --json'
        for _ in range(repeats):
            words = [sys.executable, "-c", WATCH, str(ROOT), command, str(Path(top) / "looks.parquet")]
            done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=ROOT, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            if found["code"]:
                raise SystemExit(done.stderr)
            rows.append({
                "run": round(found["run"], 2), "watcher": round(found["watcher"], 3),
                "share": found["watcher"] / found["run"], "share_of_looks": found["looking"] / found["run"],
            })  # fmt: skip
    share = statistics.median(r["share"] for r in rows)
    data = {"frames": frames, "rows": rows, "share": share, "goal": GOAL, "met": share < GOAL}
    print(json.dumps(data, indent=1))
    if not asked.quick:
        save("profile_overhead", data)


if __name__ == "__main__":
    main()
