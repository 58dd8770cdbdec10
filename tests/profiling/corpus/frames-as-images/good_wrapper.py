import subprocess


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", *map(str, words)], check=True, timeout=3600)


def join(folder, out):
    ffmpeg("-framerate", 25, "-i", folder / "%06d.png", "-c:v", "ffv1", out)


def still(tape, seconds, folder):
    ffmpeg("-ss", seconds, "-i", tape, "-frames:v", "1", folder / "%03d.png")
