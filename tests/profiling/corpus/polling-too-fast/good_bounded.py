import time


def wait_for_file(path):
    deadline = time.monotonic() + 5
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(3):
        time.sleep(0.1)
    tries = 0
    while not path.exists():
        tries += 1
        if tries > 10:
            raise FileNotFoundError(path)
        time.sleep(0.1)
