import time


def scan(folders, look):
    began = time.monotonic()
    said = False
    for folder in folders:
        look(folder)
        if time.monotonic() - began > 5 and not said:
            said = True
        if time.monotonic() - began > 20:
            print("this takes too long")
            break
