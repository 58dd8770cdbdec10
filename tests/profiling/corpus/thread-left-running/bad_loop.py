from threading import Thread


def convert(clips, work):
    for clip in clips:
        Thread(target=work, args=(clip,)).start()
