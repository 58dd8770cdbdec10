import tempfile


def extract(clip):
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        clip.sound(file.name)
        return file.read()
