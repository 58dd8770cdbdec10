import os
import subprocess


def start(command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=os.setsid)
