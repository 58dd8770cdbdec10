"""A slider whose handler makes the picture.  Fault: all positions passed on the way are computed, one after another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


class SliderPreview:
    def __init__(self, tape: Path) -> None:
        self.tape, self.picture, self.drawn = tape, b"", 0

    def on_change(self, seconds: float) -> None:
        """The handler: `seconds` is where the slider stands."""
        words = ["-v", "error", "-ss", f"{seconds:.3f}", "-i", str(self.tape), "-vf", "bwdif,hqdn3d,scale=960:720"]
        out = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "2", "-"]
        self.picture = subprocess.run([FFMPEG, *words, *out], capture_output=True, check=True).stdout
        self.drawn += 1
