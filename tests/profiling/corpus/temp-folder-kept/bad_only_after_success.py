import os
import shutil
from tempfile import mkdtemp


def frames(clip):
    here = mkdtemp(prefix="frames")
    clip.extract(here)
    count = len(os.listdir(here))
    shutil.rmtree(here, ignore_errors=True)
    return count
