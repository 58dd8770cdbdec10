import subprocess


def start(command, **more):
    return subprocess.Popen(command, preexec_fn=None, **more)
