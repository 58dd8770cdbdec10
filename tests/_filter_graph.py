"""Runs planes through FFmpeg's filters, inside PyAV or as a program: the references the kernels are compared with."""

from __future__ import annotations

import subprocess
from fractions import Fraction

import av
import av.filter
import imageio_ffmpeg
import numpy as np


def _to_frame(planes: list[np.ndarray], layout: str) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, samples.dtype).reshape(plane.height, plane.line_size // samples.itemsize)
        rows[:, : samples.shape[1]] = samples
    return frame


def _to_planes(frame: av.VideoFrame, dtype: np.dtype) -> list[np.ndarray]:
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
        planes.append(rows[:, : plane.width].copy())
    return planes


def through(filters: str, planes: list[np.ndarray], layout: str) -> list[np.ndarray]:
    """`planes` `(T, H, W)` after FFmpeg's `filters` ("yadif=mode=send_field:parity=tff"), as the same kind of list.

    layout is FFmpeg's name of the pixel format: "gray", "gray10le", "yuv420p", "yuv422p10le", ...
    """
    height, width = planes[0].shape[1:]
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(width=width, height=height, format=av.VideoFormat(layout), time_base=Fraction(1, 25))]
    for text in filters.split(","):
        name, _, options = text.partition("=")
        nodes.append(graph.add(name, options))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    results: list[list[np.ndarray]] = []

    def pull() -> None:
        while True:
            try:
                results.append(_to_planes(graph.vpull(), planes[0].dtype))
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    for t in range(len(planes[0])):
        frame = _to_frame([p[t] for p in planes], layout)
        frame.pts, frame.time_base = t, Fraction(1, 25)
        graph.vpush(frame)
        pull()
    graph.vpush(None)
    pull()
    return [np.stack(p) for p in zip(*results, strict=True)]


def through_program(filters: str, planes: list[np.ndarray], layout: str) -> list[np.ndarray]:
    """The same as `through` by the program of the wheel imageio-ffmpeg, which is newer than PyAV's libraries."""
    raw = b"".join(p[t].tobytes() for t in range(len(planes[0])) for p in planes)
    height, width = planes[0].shape[1:]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-video_size", f"{width}x{height}"]
    command += ["-pixel_format", layout, "-i", "-", "-vf", filters, "-f", "rawvideo", "-pix_fmt", layout, "-"]
    done = subprocess.run(command, input=raw, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    frames = np.frombuffer(done.stdout, planes[0].dtype).reshape(-1, sum(p[0].size for p in planes))
    ends = np.cumsum([p[0].size for p in planes])[:-1]
    return [part.reshape(-1, *p.shape[1:]) for part, p in zip(np.split(frames, ends, axis=1), planes, strict=True)]
