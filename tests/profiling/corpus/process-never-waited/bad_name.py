import subprocess


def play(path):
    player = subprocess.Popen(["ffplay", path])
    print("playing", player.pid)
