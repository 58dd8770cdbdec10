import skvideo.io


def frames(path):
    return skvideo.io.vread(path)
