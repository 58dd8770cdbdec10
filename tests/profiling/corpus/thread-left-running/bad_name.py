import threading


def play(path, work):
    player = threading.Thread(target=work, args=(path,), name="player")
    player.start()
    print("playing", path)
