import tempfile


def mktemp(folder):
    return folder / "clip.tmp"


def extract(clip):
    with tempfile.TemporaryDirectory() as folder:
        clip.sound(mktemp(folder))
