import av


def samples(path, count):
    index = 0
    while index < count:
        with av.open(path) as container:
            container.seek(index)
            print(next(container.decode(video=0)))
        index += 1
