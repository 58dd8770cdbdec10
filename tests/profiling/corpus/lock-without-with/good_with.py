import threading

guard = threading.Lock()
done = 0


def count():
    global done
    with guard:
        done += 1
