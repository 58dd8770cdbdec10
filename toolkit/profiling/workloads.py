"""Small honest pieces of each module's work on a tape, run by `profile run` in a process of their own.

    python -m toolkit.profiling.workloads MODULE TAPE FOLDER FRAMES

Prints one JSON object: seconds and processor seconds of each part, and the process's own peak.
A fresh process is cold: what is first used in a part (imports, compiled kernels from the disk) counts there.
`compiled` says how many kernels were not on the disk yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Laps:
    """Books wall and processor seconds by part."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), processor_seconds()
        yield
        self.parts[name] = {"seconds": time.perf_counter() - wall, "cpu_seconds": processor_seconds() - cpu}


def processor_seconds() -> float:
    """Of this process and of its children that were waited for."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def compiled() -> int:
    """Kernels that were compiled here, in place of being loaded from the disk."""
    import gc

    if "numba" not in sys.modules:
        return 0
    from numba.core.dispatcher import Dispatcher

    held = (o for o in gc.get_objects() if isinstance(o, Dispatcher))
    return sum(sum(d.stats.cache_misses.values()) for d in held if d.stats.cache_path)


def media(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.clip import Clip
    from toolkit.media.probe import probe
    from toolkit.media.thumbnails import Thumbnails
    from toolkit.media.write import Writer

    clip = Clip.open(tape)
    with lap("probe"):
        probe(tape)
    with lap("decode"):
        for _ in clip.batches(8, (0, frames)):
            pass
    with lap("decode and encode FFV1"):
        name = folder / "copy.mkv"
        with Writer(name, clip.format, clip.time_base, rate=clip.rate, codec="ffv1") as writer:
            for batch in clip.batches(8, (0, frames)):
                writer.write(batch)
    with lap("thumbnails"), contextlib.closing(_Cleared(Thumbnails())) as small:
        for n in range(4):
            small.thumbnails.get(tape, n * (clip.duration or 0) / 5)


class _Cleared:
    def __init__(self, thumbnails: Any) -> None:
        self.thumbnails = thumbnails

    def close(self) -> None:
        self.thumbnails.clear()


def _steps(steps: list[Any], tape: Path, frames: int, lap: Laps) -> None:
    from toolkit.clip import Batch, Clip
    from toolkit.pipeline import to_device, to_host
    from toolkit.stages.upscale import choose_device

    clip = Clip.open(tape)
    if not clip.format.interlaced:
        clip_format = clip.format.replace(field_order="tff")
    else:
        clip_format = clip.format
    batch = Batch.join(list(clip.batches(8, (0, min(frames, 8))))).replace(format=clip_format)
    for step in steps:
        fmt = batch.format if step.stage.group == "deinterlace" else batch.format.replace(field_order="progressive")
        step.stage.prepare(fmt, step.knobs, "cpu")
        with lap(step.name):
            step(batch.replace(format=fmt))
        if choose_device("auto") == "cuda":
            there = to_device(batch.replace(format=fmt))
            step(there, "cuda")  # compiles
            with lap(f"{step.name} on the GPU"):
                to_host(step(there, "cuda"))


def kernels(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.stages import deinterlace, denoise, repair

    steps = [deinterlace.bwdif(), repair.heal_dropouts(), denoise.hqdn3d(), denoise.temporal(), denoise.nlmeans()]
    _steps(steps, tape, frames, lap)


def upscale(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.stages import upscale as stages
    from toolkit.upscale import models_list

    _steps([stages.lanczos(scale=2)], tape, frames, lap)
    if any(m["found"] and m["name"] == "realesr-animevideov3" for m in models_list()):
        import numpy as np

        from toolkit.clip import Batch, Clip
        from toolkit.stages import stage

        first = next(iter(Clip.open(tape).batches(1)))
        fmt = first.format.replace(width=96, height=64, field_order="progressive")
        planes = tuple(
            np.ascontiguousarray(p[:, :h, :w]) for p, (h, w) in zip(first.planes, fmt.plane_shapes, strict=True)
        )
        small = Batch(planes, first.pts, first.durations, first.time_base, fmt)
        step = stage("upscale.realesr-animevideov3")()
        step.stage.prepare(fmt, step.knobs, "cpu")
        with lap(step.name):
            step(small)


def audio(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.audio import clean
    from toolkit.clip import Clip

    clip = Clip.open(tape)
    if clip.sound:
        for mode in ("light", "moderate"):
            with lap(f"clean {mode}"):
                for _ in clean(clip, mode=mode, track=0):
                    pass


def compare(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.compare import compare as judge
    from toolkit.compare import sample

    with lap("sample"):
        found = sample(tape, bursts=2, length=4)
    own = list(found.batches())
    with lap("compare"):
        judge(own, own, align="times")


def jobs(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.jobs import Queue, Wish, status, work

    queue = Queue(folder / "queue.db")
    with lap("add 50"):
        queue.add(Wish(tape, folder / f"{n}.mp4") for n in range(50))
    with lap("status 50 times"):
        for _ in range(50):
            str(status(queue))
    queue.cancel(*(job.id for job in queue.jobs(["pending"])))
    queue.add([Wish(tape, folder / "one.mp4", preset="vhs-fast", settings={"frames": (0, frames)})])
    with lap("run a job"):
        work(queue)
    queue.close()


def widgets(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.widgets import panel, wipe

    with lap("panel"):
        shown = panel("vhs-fast", tape)
    with lap("panel redraw"):
        shown.draw()
    with lap("wipe"):
        wipe(tape, tape)


def restore(tape: Path, folder: Path, frames: int, lap: Laps) -> None:
    from toolkit.runner import restore as run

    with lap("whole run"):
        done = run(tape, folder / "restored.mp4", preset="vhs-fast", frames=(0, frames))
    for name, seconds in done.seconds.items():  # booked by the runner; read and write run beside the others
        lap.parts[f"stage {name}"] = {"seconds": seconds}


MODULES: dict[str, Callable[[Path, Path, int, Laps], None]] = {
    f.__name__: f for f in (media, kernels, upscale, audio, compare, jobs, widgets, restore)
}


def main(words: list[str]) -> int:
    module, tape, folder, frames = words
    here = Path(folder)
    (here / "temp").mkdir()
    # So that what this module leaves behind can be told from everybody else's.
    os.environ["TMPDIR"] = str(here / "temp")
    os.environ["VHS_TOOLKIT_SCRATCH"] = str(here / "temp" / "scratch")
    import psutil

    from toolkit.errors import ToolkitError
    from toolkit.pipeline import peak_memory

    lap, wall, cpu = Laps(), time.perf_counter(), processor_seconds()
    try:
        MODULES[module](Path(tape), here, int(frames), lap)
    except ToolkitError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    whole = {"seconds": time.perf_counter() - wall, "cpu_seconds": processor_seconds() - cpu}
    found = {"parts": lap.parts, "whole": whole, "peak": peak_memory(), "resident": psutil.Process().memory_info().rss}
    found["compiled"] = compiled()
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
