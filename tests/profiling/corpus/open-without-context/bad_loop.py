import gzip


def count(path):
    lines = 0
    for _ in open(path):
        lines += 1
    packed = gzip.open(path)
    lines += len(packed.read())
    return lines
