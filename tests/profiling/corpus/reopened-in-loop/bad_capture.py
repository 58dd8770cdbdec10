import cv2


def samples(path, times):
    found = []
    for time in times:
        capture = cv2.VideoCapture(path)
        capture.set(cv2.CAP_PROP_POS_MSEC, time)
        found.append(capture.read()[1].mean())
        capture.release()
    return found
