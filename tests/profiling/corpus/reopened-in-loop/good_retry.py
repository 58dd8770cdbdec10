import time

import cv2


def connect(address):
    for _ in range(5):
        capture = cv2.VideoCapture(address)
        if capture.isOpened():
            return capture
        capture.release()
        time.sleep(2)
    raise ConnectionError(address)
