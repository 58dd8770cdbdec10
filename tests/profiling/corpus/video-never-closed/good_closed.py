import av
import cv2


def length(path):
    with av.open(path) as container:
        return container.duration


def first(path):
    capture = cv2.VideoCapture(path)
    try:
        return capture.read()[1]
    finally:
        capture.release()
