"""A whole tape: deinterlaced, denoised, twice the size, its sound cleaned.  As a program it prints seconds by stage.

    python benchmarks/baseline/tape.py disk|memory TAPE OUT

`disk` goes by way of PNG files, as FFmpeg scripts do; `memory` keeps the decoded clip in a list, as notebooks do.
Faults: temporary files of many times the tape's size, or memory that grows with it; everything one after the other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FILTERS = "bwdif=mode=send_field:parity=tff:deint=all,hqdn3d"
SOUND = "highpass=f=100,lowpass=f=14500,equalizer=f=3000:t=q:w=1:g=2,afftdn=nr=12,loudnorm=I=-14:TP=-1.5"
ENCODER = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p", "-threads", "2"]
RATE, SIZE = "60000/1001", (720, 480)


def ffmpeg(*words: str | Path) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, words)], check=True)


def enlarged(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4)


def clean_sound(tape: Path, folder: Path) -> Path:
    ffmpeg("-i", tape, "-vn", "-c:a", "pcm_s16le", folder / "audio.wav")
    ffmpeg("-i", folder / "audio.wav", "-af", SOUND, "-ar", "48000", folder / "clean.wav")
    return folder / "clean.wav"


def by_disk(tape: Path, out: Path) -> dict[str, float]:
    clock = Clock()
    folder = Path(tempfile.mkdtemp(prefix="frames-"))
    (folder / "small").mkdir()
    (folder / "large").mkdir()
    ffmpeg("-i", tape, "-vf", FILTERS, "-compression_level", "1", folder / "small" / "%06d.png")
    clock.lap("extract")
    for name in sorted((folder / "small").iterdir()):
        cv2.imwrite(str(folder / "large" / name.name), enlarged(cv2.imread(str(name))))
    clock.lap("upscale")
    sound = clean_sound(tape, folder)
    clock.lap("sound")
    ffmpeg("-framerate", RATE, "-i", folder / "large" / "%06d.png", "-i", sound, *ENCODER, out)
    clock.lap("encode")
    shutil.rmtree(folder)
    return clock.laps


def in_memory(tape: Path, out: Path) -> dict[str, float]:
    clock = Clock()
    words = [FFMPEG, "-v", "error", "-i", str(tape), "-vf", FILTERS, "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    program, size = subprocess.Popen(words, stdout=subprocess.PIPE), SIZE[0] * SIZE[1] * 3
    frames = []
    while len(data := program.stdout.read(size)) == size:
        frames.append(np.frombuffer(data, np.uint8).reshape(SIZE[1], SIZE[0], 3))
    program.wait()
    clock.lap("extract")
    folder = Path(tempfile.mkdtemp(prefix="audio-"))
    sound = clean_sound(tape, folder)
    clock.lap("sound")
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{2 * SIZE[0]}x{2 * SIZE[1]}", "-framerate", RATE, "-i", "-"]
    encoder = subprocess.Popen(
        [FFMPEG, "-v", "error", "-y", *raw, "-i", str(sound), *ENCODER, str(out)], stdin=subprocess.PIPE
    )
    for frame in frames:
        encoder.stdin.write(enlarged(frame).tobytes())
    encoder.stdin.close()
    encoder.wait()
    clock.lap("upscale and encode")
    shutil.rmtree(folder)
    return clock.laps


class Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._began = round(now - self._began, 3), now


if __name__ == "__main__":
    way, tape, out = sys.argv[1:]
    print(json.dumps({"disk": by_disk, "memory": in_memory}[way](Path(tape), Path(out))))
