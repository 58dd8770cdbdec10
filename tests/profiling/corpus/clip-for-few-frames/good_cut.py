import subprocess

import av


def cut(path, output):
    subprocess.run(["ffmpeg", "-ss", "10", "-t", "60", "-i", path, output], check=True, timeout=600)
    return output


def length(path):
    with av.open(path) as container:
        return container.duration
