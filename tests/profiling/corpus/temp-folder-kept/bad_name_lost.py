import os
import tempfile


def sound(clip):
    wav = os.path.join(tempfile.mkdtemp(), "a.wav")
    clip.extract(wav)
    os.remove(wav)
