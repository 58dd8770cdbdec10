from queue import SimpleQueue

import cv2


def decode(path):
    waiting = SimpleQueue()
    capture = cv2.VideoCapture(path)
    ok = True
    while ok:
        ok, frame = capture.read()
        waiting.put(frame)
    capture.release()
    return waiting
