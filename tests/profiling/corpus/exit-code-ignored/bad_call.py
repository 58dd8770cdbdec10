import subprocess


def convert(paths):
    for path in paths:
        subprocess.call(["ffmpeg", "-i", path, "out.mp4"], timeout=600)
