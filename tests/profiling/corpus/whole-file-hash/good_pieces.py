import hashlib


def key(path, name):
    made = hashlib.sha256(name.encode())
    with open(path, "rb") as file:
        while piece := file.read(1 << 18):
            made.update(piece)
        head = hashlib.sha256(file.read(4096))
    return made.hexdigest(), head.hexdigest()
