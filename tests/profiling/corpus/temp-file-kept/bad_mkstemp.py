import os
import tempfile


def preview(picture, show):
    handle, path = tempfile.mkstemp(".png")
    os.close(handle)
    picture.save(path)
    show(path)
