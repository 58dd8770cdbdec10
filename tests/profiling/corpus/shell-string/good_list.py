import os
import subprocess


def convert(path):
    subprocess.run(["ffmpeg", "-i", path, "out.mp4"], check=True, timeout=600)
    os.system("clear")
