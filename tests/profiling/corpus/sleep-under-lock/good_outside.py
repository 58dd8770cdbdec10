import subprocess
import threading
import time

lock = threading.Lock()


def probe(path, known):
    found = subprocess.run(["ffprobe", path], capture_output=True, check=True, timeout=60)
    with lock:
        known[path] = found
    time.sleep(2)
