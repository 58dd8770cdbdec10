import subprocess
import tempfile
import wave


def rate(path):
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        name = file.name + ".wav"
        subprocess.check_call(["ffmpeg", "-i", path, name], timeout=600)
        with wave.open(name) as sound:
            return sound.getframerate()
