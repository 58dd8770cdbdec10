import cv2


def run(path, start, count):
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, start)
    for _ in range(count):
        yield capture.read()[1]
    for number in [3, 70, 12]:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        yield capture.read()[1]
    capture.release()
