import subprocess
import threading

import ipywidgets as widgets

button = widgets.Button(description="Convert")


def convert():
    subprocess.run(["ffmpeg", "-i", "a.avi", "b.mp4"], check=True, timeout=600)


def begin(_):
    threading.Thread(target=convert, daemon=True).start()


button.on_click(begin)
