from hashlib import md5


def key(path):
    with open(path, "rb") as file:
        data = file.read()
    return md5(data).hexdigest()
