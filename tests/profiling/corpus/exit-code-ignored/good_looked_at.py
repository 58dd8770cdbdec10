import subprocess


def convert(path):
    code = subprocess.call(["ffmpeg", "-i", path, "out.mp4"], timeout=600)
    done = subprocess.run(["ffprobe", path], timeout=60)
    subprocess.check_call(["true"], timeout=5)
    return code == 0 and done.returncode == 0
