import subprocess

import soundfile


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, words)], check=True, timeout=600)


def blocks(tape, folder):
    ffmpeg("-i", tape, "-vn", folder / "sound.wav")
    yield from soundfile.blocks(folder / "sound.wav", blocksize=48000)
