import tempfile
from pathlib import Path


def sound(clip, play):
    folder = Path(tempfile.mkdtemp())
    clip.extract(folder / "a.wav")
    play(folder / "a.wav")
