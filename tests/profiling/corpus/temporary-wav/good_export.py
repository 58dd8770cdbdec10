import subprocess

import soundfile


def export(path, target="sound.wav"):
    subprocess.run(["ffmpeg", "-i", path, target], check=True, timeout=600)


def read(path):
    return soundfile.read(path)
