"""Filters of this project and of others behind one call, for benchmarks: frames and a setting in, frames out.

Each side has `run(batch, setting)`, which gives the result and the seconds it took, and `nothing(batch)`, the seconds
of the same way with no filter in it (start, pipe, copies), to be taken off.  Ours are called in this process; FFmpeg is
the program of the wheel imageio-ffmpeg, PyAV has its libraries in this process, and VapourSynth runs in a Python of its
own (`vs_child.py`), each with two threads.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from common import ffmpeg_program

from toolkit import process
from toolkit.clip import Batch
from toolkit.media.pixels import pix_fmt

PATIENCE = 300.0  # seconds for one call of a rival


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
    return on_clock(planes, batch)


def on_clock(planes: tuple[np.ndarray, ...], batch: Batch) -> Batch:
    fmt, count = batch.format.replace(field_order="progressive"), len(planes[0])
    if count == len(batch):
        return batch.replace(planes=planes, format=fmt)
    if count != 2 * len(batch):
        raise RuntimeError(f"{count} frames came back for {len(batch)}")
    pts = np.stack([2 * batch.pts, 2 * batch.pts + batch.durations], axis=1).ravel()
    return Batch(planes, pts, np.repeat(batch.durations, 2), batch.time_base / 2, fmt)


class Ours:
    """A setting is a step."""

    def run(self, batch: Batch, setting: Any) -> tuple[Batch, float]:
        setting(batch[:2])  # compiled before it is timed
        began = time.perf_counter()
        return setting(batch), time.perf_counter() - began

    def nothing(self, batch: Batch) -> float:
        return 0.0


class FFmpeg:
    """A setting is a chain of filters, as text."""

    def run(self, batch: Batch, setting: str) -> tuple[Batch, float]:
        fmt, layout = batch.format, pix_fmt(batch.format)
        words = [ffmpeg_program(), "-v", "error", "-filter_threads", "2", "-f", "rawvideo", "-pixel_format", layout]
        words += ["-video_size", f"{fmt.width}x{fmt.height}", "-framerate", "30000/1001", "-i", "pipe:0"]
        words += ["-vf", setting, "-fps_mode", "passthrough", "-pix_fmt", layout, "-f", "rawvideo", "-"]
        data, began = raw(batch), time.perf_counter()
        done = process.run(words, timeout=PATIENCE, input=data)
        seconds = time.perf_counter() - began
        return unpacked(done.stdout, batch), seconds

    def nothing(self, batch: Batch) -> float:
        return self.run(batch, "null")[1]


class PyAV:
    """A setting is a chain of filters, as text."""

    def run(self, batch: Batch, setting: str) -> tuple[Batch, float]:
        import av.filter

        fmt = batch.format
        began = time.perf_counter()
        graph = av.filter.Graph()
        graph.threads = 2
        form = av.VideoFormat(pix_fmt(fmt), fmt.width, fmt.height)
        nodes = [graph.add_buffer(width=fmt.width, height=fmt.height, format=form, time_base=Fraction(1, 30))]
        nodes += [graph.add(name, words) for name, _, words in (part.partition("=") for part in setting.split(","))]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        frames: list[list[np.ndarray]] = []
        for t in range(len(batch) + 1):
            graph.vpush(self._frame(batch, t) if t < len(batch) else None)
            self._pull(graph, frames)
        planes = tuple(np.stack(p) for p in zip(*frames, strict=True))
        return on_clock(planes, batch), time.perf_counter() - began

    def nothing(self, batch: Batch) -> float:
        return self.run(batch, "null")[1]

    def _frame(self, batch: Batch, t: int) -> Any:
        import av

        frame = av.VideoFrame(batch.format.width, batch.format.height, pix_fmt(batch.format))
        for plane, samples in zip(frame.planes, batch.planes, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            rows[:, : samples.shape[2]] = samples[t]
        frame.pts, frame.time_base = t, Fraction(1, 30)
        return frame

    def _pull(self, graph: Any, frames: list[list[np.ndarray]]) -> None:
        import av

        while True:
            try:
                found = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            rows = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in found.planes]
            frames.append([r.copy() for r in rows])


def pyav_version() -> str:
    """Of the filters in PyAV's wheel."""
    import av

    return f"libavfilter {'.'.join(map(str, av.library_versions['libavfilter']))} in av {av.__version__}"


class VapourSynth:
    """A setting is `(method, knobs)` of `vs_child.py`, whose process lives until `close` or a failure."""

    def __init__(self, python: str) -> None:
        self._python, self._child, self.versions = python, None, {}

    def run(self, batch: Batch, setting: tuple[str, dict[str, Any]]) -> tuple[Batch, float]:
        fmt, data = batch.format, raw(batch)
        wish = {
            "method": setting[0], "knobs": setting[1], "width": fmt.width, "height": fmt.height,
            "rate": [30000, 1001], "subsampling": fmt.subsampling, "interlaced": fmt.interlaced, "bytes": len(data),
        }  # fmt: skip
        child = self._begun()
        late = threading.Timer(PATIENCE, child.kill)
        late.start()
        try:
            child.stdin.write(json.dumps(wish).encode() + b"\n" + data)
            child.stdin.flush()
            told = json.loads(child.stdout.readline() or "{}")
            frames = child.stdout.read(told.get("bytes", 0))
        except BrokenPipeError:
            told = {}
        finally:
            late.cancel()
        if not told:
            self.close()
            told = {"error": "its process died or was too slow"}
        if "error" in told:
            raise RuntimeError(f"VapourSynth's {setting[0]}: {told['error']}")
        return unpacked(frames, batch), told["seconds"]

    def nothing(self, batch: Batch) -> float:
        return self.run(batch, ("nothing", {}))[1]

    def _begun(self) -> subprocess.Popen:
        if self._child is None:
            words = [self._python, str(Path(__file__).with_name("vs_child.py"))]
            self._child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.versions = json.loads(self._child.stdout.readline() or "{}")
        return self._child

    def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with contextlib.suppress(OSError):  # what was not sent yet
                child.stdin.close()
            child.stdout.close()
            child.wait()
