import subprocess


def convert(path):
    command = "ffmpeg -i {} out.mp4".format(path)
    subprocess.run(command, shell=True, check=True, timeout=600)
