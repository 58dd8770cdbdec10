import av


def means(path):
    found = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            found.append(float(frame.to_ndarray().mean()))
    return found


def names(lines):
    return [line.decode() for line in lines] + list("text".encode().decode())
