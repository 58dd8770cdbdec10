from cv2 import CAP_PROP_POS_FRAMES


def levels(capture, count):
    for number in range(count):
        capture.set(CAP_PROP_POS_FRAMES, number)
        yield capture.read()[1].mean()
