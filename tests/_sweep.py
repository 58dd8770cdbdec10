"""A small made tape with its truth, in memory and in files, for tests of sweeps."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests import _media as m
from toolkit import tape
from toolkit.clip import Batch
from toolkit.media.write import Writer
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace, denoise

WIDTH, HEIGHT = 192, 96
PIPELINE = Pipeline([deinterlace.bwdif(), denoise.temporal()])


def cropped(batch: Batch, left: int = 240, top: int = 160, width: int = WIDTH, height: int = HEIGHT) -> Batch:
    """A part of the picture; `top` a multiple of 2 keeps the field order."""
    fmt = batch.format.replace(width=width, height=height)
    sx, sy = fmt.subsampling
    planes = [batch.planes[0][:, top : top + height, left : left + width]]
    for p in batch.planes[1:]:
        planes.append(p[:, top >> sy : (top + height) >> sy, left >> sx : (left + width) >> sx])
    return batch.replace(planes=tuple(p.copy() for p in planes), format=fmt)


@functools.cache
def made(frames: int = 16, seed: int = 5, **faults: float) -> tuple[list[Batch], list[Batch]]:
    """`(tape, truth)` as lists of Batches."""
    recorder = tape.Tape("ntsc", seed=seed, **faults)
    pieces = list(recorder.stream(tape.demo(frames=frames, seed=seed).batches(size=8)))
    return [cropped(r.tape) for r in pieces], [cropped(r.truth) for r in pieces]


def killed_after(rows: int) -> Callable[[dict], None]:
    """`on_result` for a sweep whose process kills itself (SIGKILL) in the middle of the trial after so many rows.

    rows : less than 0 for never.
    """
    from toolkit.sweep import trial

    burst, told = trial._burst, []

    def dies(*words):
        if 0 <= rows <= len(told):
            os.kill(os.getpid(), signal.SIGKILL)
        return burst(*words)

    trial._burst = dies
    return lambda row: told.append(row["key"]) or print(row["key"], flush=True)


@functools.cache
def files() -> tuple[Path, Path]:
    """The same as FFV1 files: `(tape, truth)`."""
    paths = m.folder() / "sweep_tape.mkv", m.folder() / "sweep_truth.mkv"
    for path, batches, fields in zip(paths, made(), (1, 2), strict=True):
        first = batches[0]
        rate = fields / (first.durations[0] * first.time_base) / fields
        with Writer(path, first.format, first.time_base, rate=rate, codec="ffv1", sound=()) as writer:
            for batch in batches:
                writer.write(batch)
    return paths
