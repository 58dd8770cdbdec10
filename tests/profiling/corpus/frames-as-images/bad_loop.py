import cv2


def split(path, folder):
    capture = cv2.VideoCapture(path)
    index = 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        cv2.imwrite(f"{folder}/frame_{index:06d}.png", frame)
        index += 1
    capture.release()
