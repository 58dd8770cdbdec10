import subprocess


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, words)], check=True, timeout=3600)


def split(tape, folder, filters):
    ffmpeg("-i", tape, "-vf", filters, folder / "small" / "%06d.png")
