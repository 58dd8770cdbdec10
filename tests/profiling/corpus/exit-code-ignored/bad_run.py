from subprocess import run


def convert(path):
    run(["ffmpeg", "-i", path, "out.mp4"], capture_output=True, timeout=600)
