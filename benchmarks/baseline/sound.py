"""Sound cleaned by way of WAV files in a temporary folder, with the chain built anew for every clip.

Faults: the folder is removed only when all went well; building is repeated.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def filter_text(high: float = 100, low: float = 14500, gain: float = 2) -> str:
    """The chain as FFmpeg's text."""
    tones = f"highpass=f={high:g},lowpass=f={low:g},equalizer=f=3000:t=q:w=1:g={gain:g}"
    return f"{tones},afftdn=nr=12,loudnorm=I=-14:TP=-1.5"


def clean(tape: Path, consume: Callable[[np.ndarray], object]) -> None:
    """Hands the cleaned track to `consume`, block by block, float32 `(n, channels)`."""
    folder = Path(tempfile.mkdtemp(prefix="audio-"))
    raw, cleaned = folder / "audio.wav", folder / "clean.wav"
    subprocess.run([FFMPEG, "-v", "error", "-y", "-i", str(tape), "-vn", "-c:a", "pcm_s16le", str(raw)], check=True)
    subprocess.run(
        [FFMPEG, "-v", "error", "-y", "-i", str(raw), "-af", filter_text(), "-ar", "48000", str(cleaned)], check=True
    )
    for block in soundfile.blocks(str(cleaned), blocksize=48000, dtype="float32", always_2d=True):
        consume(block)
    shutil.rmtree(folder)


def clean_rebuilding(samples: np.ndarray, rate: int, mode: str) -> np.ndarray:
    """Our own chain, built anew for this clip as for every other."""
    from toolkit.audio import chain, clean_samples

    chain._kept.clear()
    return clean_samples(samples, rate, mode)[0]
