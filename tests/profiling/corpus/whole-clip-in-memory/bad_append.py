import cv2


def frames(path):
    capture = cv2.VideoCapture(path)
    found = []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        found.append(frame)
    capture.release()
    return found
