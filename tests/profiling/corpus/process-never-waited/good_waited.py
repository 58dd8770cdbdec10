import subprocess


def play(path):
    player = subprocess.Popen(["ffplay", path])
    return player.wait(timeout=60)


def show(path):
    with subprocess.Popen(["ffplay", path]):
        print("playing")
