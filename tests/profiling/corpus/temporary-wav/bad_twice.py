import subprocess

FFMPEG = "/usr/bin/ffmpeg"


def clean(tape, folder, filters):
    raw, cleaned = folder / "audio.wav", folder / "clean.flac"
    subprocess.run([FFMPEG, "-i", str(tape), "-vn", str(raw)], check=True, timeout=600)
    subprocess.run([FFMPEG, "-i", str(raw), "-af", filters, str(cleaned)], check=True, timeout=600)
    return cleaned
