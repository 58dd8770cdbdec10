import subprocess
from pathlib import Path

import librosa


def sound(path, folder):
    target = Path(folder) / "sound.wav"
    subprocess.run(["ffmpeg", "-y", "-i", path, "-ac", "1", str(target)], check=True, timeout=600)
    return librosa.load(target, sr=None)
