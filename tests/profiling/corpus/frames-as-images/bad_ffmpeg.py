import os
import subprocess


def split(path, folder):
    command = ["ffmpeg", "-i", path, os.path.join(folder, "%08d.jpg")]
    subprocess.run(command, check=True, timeout=3600)
