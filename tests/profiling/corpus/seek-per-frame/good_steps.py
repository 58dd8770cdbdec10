import cv2


def samples(path, count, step):
    capture = cv2.VideoCapture(path)
    for number in range(0, count, step):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        yield capture.read()[1]
    capture.release()
