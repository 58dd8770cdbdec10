import shutil
import tempfile


def frames(clip):
    folder = tempfile.mkdtemp()
    try:
        return clip.extract(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
