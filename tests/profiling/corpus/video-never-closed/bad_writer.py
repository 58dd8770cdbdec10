import cv2


def write(path, frames):
    writer = cv2.VideoWriter(path, 0, 25.0, (720, 576))
    for frame in frames:
        writer.write(frame)
