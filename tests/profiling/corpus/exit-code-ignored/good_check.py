import subprocess


def convert(path):
    subprocess.run(["ffmpeg", "-i", path, "out.mp4"], check=True, timeout=600)
    subprocess.run(["tput", "reset"], check=False, timeout=5)
