import hashlib


def key(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
