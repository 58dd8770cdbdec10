import threading


def convert(clips, work):
    threads = [threading.Thread(target=work, args=(clip,)) for clip in clips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def once(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
