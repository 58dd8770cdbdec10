"""Comparison by cutting clips: ten seconds around each moment are cut with FFmpeg, and read back for a few frames.

Faults: hundreds of megabytes are written to look at a dozen frames, and an error on the way leaves them there.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
#: How clips are encoded: without loss, or merely copied (which only tapes without inter-coded frames allow).
CODECS = {"ffv1": ["-c:v", "ffv1", "-level", "3", "-slices", "4"], "copy": ["-c:v", "copy"]}


def look_at(
    tape: Path, times: list[float], judge: Callable[[np.ndarray], object], frames: int = 12, seconds: float = 10,
    codec: str = "ffv1",
) -> int:  # fmt: skip
    """Calls `judge` with `frames` luma planes around each of `times`; returns the bytes that were written."""
    folder = Path(tempfile.mkdtemp(prefix="compare-"))
    clips, written = [], 0
    for n, time in enumerate(times):
        clip = folder / f"clip{n}.mkv"
        where = ["-ss", f"{max(0, time - seconds / 2):.3f}", "-t", str(seconds), "-i", str(tape)]
        subprocess.run([FFMPEG, "-v", "error", "-y", *where, *CODECS[codec], "-an", str(clip)], check=True)
        written += clip.stat().st_size
        clips.append(clip)
    for clip in clips:
        container = av.open(str(clip))
        planes = [_luma(frame) for frame in container.decode(video=0)]
        container.close()
        middle = len(planes) // 2
        for plane in planes[max(0, middle - frames // 2) :][:frames]:
            judge(plane)
    shutil.rmtree(folder)
    return written


def _luma(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width].copy()
