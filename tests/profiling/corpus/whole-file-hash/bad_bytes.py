import hashlib
from pathlib import Path


def key(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
