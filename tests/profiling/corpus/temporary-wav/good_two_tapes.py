import subprocess


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, words)], check=True, timeout=600)


def export(tape, other, folder):
    ffmpeg("-i", tape, "-vn", folder / "one.wav")
    ffmpeg("-i", other, "-vn", folder / "two.wav")
