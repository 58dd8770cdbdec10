import shlex
import subprocess


def convert(path):
    command = f"ffmpeg -i {shlex.quote(str(path))} - | md5sum"
    return subprocess.check_output(command, shell=True, timeout=600)
