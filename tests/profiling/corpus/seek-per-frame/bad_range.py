import cv2


def levels(path):
    capture = cv2.VideoCapture(path)
    for number in range(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        ok, frame = capture.read()
        yield frame.mean()
    capture.release()
