import atexit
import shutil
import tempfile
from contextlib import ExitStack


def fresh_folder():
    folder = tempfile.mkdtemp()
    return folder


class Work:
    def __init__(self):
        self.stack = ExitStack()
        folder = tempfile.mkdtemp()
        self.stack.callback(shutil.rmtree, folder)


CACHE = tempfile.mkdtemp()
atexit.register(shutil.rmtree, CACHE)
