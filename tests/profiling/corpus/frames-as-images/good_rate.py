import subprocess

from PIL import Image


def contact_sheet(path):
    command = ["ffmpeg", "-i", path, "-vf", "fps=1/60", "sheet/%04d.png"]
    subprocess.run(command, check=True, timeout=600)


def thumbnails(pictures):
    for name, picture in pictures.items():
        Image.fromarray(picture).save(f"{name}.png")
