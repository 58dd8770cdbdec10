import subprocess
import threading

one_lock = threading.RLock()


def probe(path, known):
    with one_lock:
        known[path] = subprocess.run(["ffprobe", path], capture_output=True, check=True, timeout=60)
