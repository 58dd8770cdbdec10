import subprocess
import tempfile

import cv2


def sample(path, at):
    with tempfile.TemporaryDirectory() as folder:
        piece = f"{folder}/piece.mp4"
        command = ["ffmpeg", "-ss", str(at), "-i", path, "-t", "2", piece]
        subprocess.run(command, check=True, timeout=60)
        capture = cv2.VideoCapture(piece)
        ok, frame = capture.read()
        capture.release()
        return frame
