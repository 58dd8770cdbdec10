"""Comparisons in a row, a third of them failing on purpose, and what they leave behind."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests import _sweep
from toolkit import scratch, tape
from toolkit.clip import Batch
from toolkit.compare import compare, contact_sheet, sample, viewer_scores
from toolkit.errors import ToolkitError
from toolkit.media.write import Writer
from toolkit.progress import Progress, Snapshot


class Interrupted(Exception):
    """Stands for Ctrl-C in the middle."""


@dataclass(frozen=True)
class Look:
    """What there was after one comparison: resident KiB, open files, children, and files in temporary folders."""

    failed: bool
    resident: float
    open: int
    children: int
    left: tuple[str, ...]


def material(folder: Path) -> dict[str, Any]:
    """Files and frames to compare, small ones."""
    for batches, name, count in zip(_sweep.made(), ("tape.mkv", "truth.mkv"), (4, 8), strict=True):
        batch = batches[0][:count]
        rate = 1 / (batch.durations[0] * batch.time_base)
        with Writer(folder / name, batch.format, batch.time_base, rate=rate, codec="ffv1", sound=()) as writer:
            writer.write(batch)
    whole = (folder / "tape.mkv").read_bytes()
    (folder / "rubbish.mkv").write_bytes(bytes(range(256)) * 40)
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 12])
    (folder / "empty.mkv").write_bytes(b"")
    frames = Batch.join(list(tape.demo(frames=3, size=(96, 72)).batches()))
    return {"folder": folder, "frames": frames, "tiny": Batch.join(list(tape.demo(frames=2, size=(8, 8)).batches()))}


def works(of: dict[str, Any]) -> list[Callable[[], Any]]:
    """Comparisons that succeed."""
    folder, frames = of["folder"], of["frames"]
    truth, result = folder / "truth.mkv", folder / "tape.mkv"
    return [
        lambda: compare(truth, result),
        lambda: compare(truth, result, align="times", metrics=("psnr",)),
        lambda: compare(frames, frames),
        lambda: sample(result, bursts=2, length=2).beside(truth),
        lambda: contact_sheet({"tape": result, "truth": truth}, times=[0.05], height=96),
        lambda: compare(result, result, interlaced="woven", metrics=("psnr", "ssim")),
    ]


def fails(of: dict[str, Any]) -> list[Callable[[], Any]]:
    """Comparisons that fail, each in another place: before a file is open, while it is, in the middle, in a program."""
    folder, frames = of["folder"], of["frames"]
    truth, result = folder / "truth.mkv", folder / "tape.mkv"
    late = frames.replace(pts=frames.pts + 7, time_base=frames.time_base * 3 / 4)

    def interrupted(snapshot: Snapshot) -> None:
        if snapshot.done:
            raise Interrupted

    return [
        lambda: compare(truth, folder / "none.mkv"),
        lambda: compare(truth, folder / "rubbish.mkv"),
        lambda: compare(result, folder / "cut.mkv", metrics=("psnrr",)),
        lambda: compare(truth, folder / "empty.mkv"),
        lambda: compare(truth, result, crop=(90, 0, 90, 0)),
        lambda: compare(frames[:2], late, align="times"),
        lambda: compare(truth, result, progress=Progress(interrupted, update=0, draw=0)),
        lambda: sample(result, times=[99.0]),
        lambda: sample(result, bursts=1, length=2).beside(frames[:1]),
    ]


def programs(of: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A comparison by FFmpeg's program that succeeds, and one in which the program itself fails."""
    frames, tiny = of["frames"], of["tiny"]
    return lambda: viewer_scores(frames, frames, ("xpsnr",)), lambda: viewer_scores(tiny, tiny, ("vmaf",))


def run(count: int, folder: Path, every: int = 20) -> Iterator[Look]:
    """`count` comparisons, every third failing, every so many-th by a program; what there is after each.

    Temporary files go to a folder of this run meanwhile, so that each one left is seen.
    """
    of = material(folder)
    (temporary := folder / "temporary").mkdir()
    before = {k: os.environ.get(k) for k in ("TMPDIR", "VHS_TOOLKIT_SCRATCH")}
    os.environ["TMPDIR"], os.environ["VHS_TOOLKIT_SCRATCH"] = str(temporary), str(temporary / "scratch")
    tempfile.tempdir = None
    good, bad, (shown, broken) = works(of), fails(of), programs(of)
    me = psutil.Process()
    others = set(me.children(recursive=True))
    gc.collect()
    gc.freeze()  # what the modules hold need not be looked through each time
    try:
        assert scratch.root().parent == temporary
        for n in range(count):
            failing, turn = n % 3 == 2, n // 3
            work = (broken if failing else shown) if turn % every == every - 1 else None
            work = work or (bad[turn % len(bad)] if failing else good[n % len(good)])
            failed = False
            try:
                work()
            except (ToolkitError, Interrupted):
                failed = True
            assert failed == failing, (n, work)
            del work
            gc.collect()
            left = tuple(sorted(str(p.relative_to(temporary)) for p in temporary.rglob("*")))
            children = set(me.children(recursive=True)) - others
            yield Look(failed, me.memory_info().rss / 1024, me.num_fds(), len(children), left)
    finally:
        gc.unfreeze()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        tempfile.tempdir = None


def slope(looks: list[Look]) -> float:
    """KiB of resident memory that a comparison adds: the straight line with the least squares."""
    return float(np.polyfit(np.arange(len(looks)), [look.resident for look in looks], 1)[0])
