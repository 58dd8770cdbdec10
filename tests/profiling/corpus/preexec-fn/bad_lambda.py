import os
from subprocess import Popen


def start(command):
    return Popen(
        command,
        preexec_fn=lambda: os.nice(10),
    )
