"""Every item of the first performance report: ours beside a plain baseline, on the same tape in the same run.

    python benchmarks/bench_baselines.py [--quick] [--only tape|leaks|status|sampling|progress|lag|...]

Writes results/baselines.json; `render.py` makes benchmarks/REPORT.md of it.  The baselines are in benchmarks/baseline/:
what a competent programmer in a hurry writes.  Both sides run in turn; the median of the repeats counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import baselines_items as items
from bench_restore import SHORT, real_clip
from common import RESULTS, ffmpeg_program, median, run, save
from watched import watched

import toolkit

HERE = Path(__file__).parent
OURS = (
    "import json, sys, toolkit\n"
    "from toolkit.stages import deinterlace, denoise, upscale\n"
    "steps = toolkit.Pipeline([deinterlace.bwdif(), denoise.hqdn3d(), upscale.lanczos(scale=2)])\n"
    "run = toolkit.restore(sys.argv[1], sys.argv[2], pipeline=steps, field_order='tff', audio='moderate',\n"
    "    write={'codec': 'h264', 'preset': 'ultrafast', 'crf': 18, 'threads': 2}, overwrite=True)\n"
    "print(json.dumps(run.seconds))\n"
)


def make_tape(folder: Path, frames: int) -> Path:
    """A tape as capture devices write it (HuffYUV 4:2:2 in AVI), of a real clip, repeated to the length wanted."""
    made = folder / "made.mkv"
    if not made.exists():
        toolkit.simulate(real_clip(), made, frames=SHORT, seed=1, motion="retime")
    tape = folder / f"tape{frames}.avi"
    loops = ["-stream_loop", str(-(-frames // SHORT) - 1), "-i", str(made), "-frames:v", str(frames), "-shortest"]
    run([ffmpeg_program(), "-v", "error", "-y", *loops, "-c:v", "huffyuv", "-c:a", "pcm_s16le", str(tape)])
    return tape


def commands(tape: Path, out: Path) -> dict[str, list[str]]:
    plain = [sys.executable, str(HERE / "baseline" / "tape.py")]
    return {
        "ours": [sys.executable, "-c", OURS, str(tape), str(out)],
        "disk": [*plain, "disk", str(tape), str(out)],
        "memory": [*plain, "memory", str(tape), str(out)],
    }


def measure_tape(folder: Path, tape: Path, frames: int, repeats: int) -> dict[str, Any]:
    """The whole tape: peak memory, temporary disk, seconds by stage; by ours and both baselines.

    And once a tape three times as long, by ours and the one that keeps the clip in memory.
    """
    out, found = folder / "out.mp4", {}
    run(commands(tape, out)["ours"])  # compiled kernels are on disk from here on, as on a user's second tape
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(repeats):
        for side, command in commands(tape, out).items():
            runs.setdefault(side, []).append(watched(command))
    for side, rows in runs.items():
        stages = [json.loads(r["said"].strip().splitlines()[-1]) for r in rows]
        found[side] = {
            "seconds": round(median([r["seconds"] for r in rows]), 2),
            "seconds_of_each": [round(r["seconds"], 2) for r in rows],
            "peak_bytes": int(median([r["peak"] for r in rows])),
            "temporary_bytes": int(median([r["temporary"] for r in rows])),
            "left_after_success": max(r["left"] for r in rows),
            "stages": {k: round(median([s[k] for s in stages]), 2) for k in stages[0]},
        }
    longer = {"frames": 3 * frames}
    more = commands(make_tape(folder, 3 * frames), out)
    for side in ("ours", "memory"):
        run_ = watched(more[side])
        longer[side] = {"peak_bytes": run_["peak"], "seconds": round(run_["seconds"], 2)}
    seconds = round(frames * 1001 / 30000, 2)
    return {"frames": frames, "tape_seconds": seconds, "sides": found, "longer": longer}


def measure_leaks(folder: Path, tape: Path) -> dict[str, Any]:
    """Temporary bytes left after an error in the middle and after a kill (once the toolkit has started again)."""
    rows = {}
    for name, (ours, baseline) in items.LEAKY.items():
        row = {}
        for side, way in (("ours", ours), ("baseline", baseline)):
            row[side] = {}
            for end in ("success", "error", "kill"):
                program = [sys.executable, str(HERE / "baselines_items.py"), way, str(tape), end]
                row[side][end] = watched(program, kill_at=None if end != "kill" else float("inf"))["left"]
        rows[name] = row
    out = folder / "killed.mp4"
    rows["a whole tape, killed"] = {
        "ours": {"kill": watched(commands(tape, out)["ours"], kill_at=0)["left"]},
        "baseline": {"kill": watched(commands(tape, out)["disk"], kill_at=1 << 20)["left"]},
    }
    return rows


PARTS = {
    "tape": lambda a: measure_tape(a["folder"], a["tape"], a["frames"], a["repeats"]),
    "leaks": lambda a: measure_leaks(a["folder"], a["tape"]),
    "sampling": lambda a: items.sampling(a["minute"], a["repeats"]),
    "status": lambda a: items.status(a["folder"], a["jobs"], a["seconds"]),
    "progress": lambda a: items.progress(a["steps"], a["repeats"]),
    "polling": lambda a: items.polling(a["folder"], a["jobs"], a["seconds"]),
    "thumbnails": lambda a: items.thumbnails(a["tape"], a["pictures"]),
    "filters": lambda a: items.filters(a["repeats"]),
    "lag": lambda a: items.lag(a["tape"]),
    "one_at_a_time": lambda a: items.one_at_a_time(a["tape"], a["net_frames"]),
}


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The goals as they were set, the figures, and whether they are met."""
    rows: list[dict[str, Any]] = []

    def goal(what: str, figure: float, limit: float, sign: str, unit: str = "") -> None:
        met = figure <= limit if sign == "<=" else figure >= limit
        rows.append({"goal": f"{what} {sign} {limit:g}{unit}", "figure": round(figure, 3), "unit": unit, "met": met})

    if t := found.get("tape"):
        s = t["sides"]
        for side, told in (("disk", "frames on disk"), ("memory", "clip in memory")):
            goal(
                f"peak memory, of the baseline with {told},",
                s["ours"]["peak_bytes"] / s[side]["peak_bytes"],
                0.43,
                "<=",
            )
            goal(f"time, of the baseline with {told},", s["ours"]["seconds"] / s[side]["seconds"], 0.67, "<=")
        long = t["longer"]
        told = f"peak memory, of the baseline with {long['frames']} frames in memory,"
        goal(told, long["ours"]["peak_bytes"] / long["memory"]["peak_bytes"], 0.43, "<=")
    if rows_ := found.get("leaks"):
        left = sum(v for row in rows_.values() for v in row["ours"].values())
        goal("temporary bytes left after success, error and kill", left, 0, "<=")
    if s := found.get("status"):
        goal("status reads, times one lock's,", s["times"], 50, ">=")
    if s := found.get("sampling"):
        for codec in ("ffv1", "copy"):
            goal(f"sampling, times faster than clips cut ({codec}),", s[codec]["times"], 10, ">=")
            if told := s[codec].get("times_told"):
                goal(f"sampling, field order told, times faster than clips cut ({codec}),", told, 10, ">=")
        goal("bytes written by sampling", s["ours"]["bytes"], 0, "<=")
    if p := found.get("progress"):
        goal("cost of progress, of drawing every frame,", p["share"], 0.2, "<=")
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small and once, to see that it works; saves nothing")
    options.add_argument("--only", choices=PARTS, action="append", help="measure this part, keep the others")
    asked = options.parse_args()
    quick, path = asked.quick, RESULTS / "baselines.json"
    found = json.loads(path.read_text())["measured"] if asked.only and not quick and path.exists() else {}
    found.pop("goals", None)
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        folder = Path(here)
        size = {"frames": 16, "repeats": 1, "jobs": 500, "seconds": 0.5, "steps": 500, "pictures": 20, "net_frames": 2}
        if not quick:
            size = {"frames": 192, "repeats": 2, "jobs": 10_000, "seconds": 4.0, "steps": 5000, "pictures": 400,
                    "net_frames": 6}  # fmt: skip
        given = {"folder": folder, "tape": make_tape(folder, size["frames"]), **size}
        given["minute"] = make_tape(folder, 48 if quick else 1800)
        for name in asked.only or PARTS:
            found[name] = PARTS[name](given)
            print(name, json.dumps(found[name]), flush=True)
    found["goals"] = goals(found)
    for row in found["goals"]:
        print("met   " if row["met"] else "MISSED", row["goal"], row["figure"])
    if not quick:
        print(save("baselines", found))


if __name__ == "__main__":
    main()
