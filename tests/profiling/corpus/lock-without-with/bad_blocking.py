import threading

guard = threading.Lock()
done = 0


def count():
    global done
    guard.acquire(True)
    done += 1
    guard.release()
