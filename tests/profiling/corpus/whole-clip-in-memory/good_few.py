import av


def first(path, count):
    found = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            found.append(frame)
            if len(found) == count:
                break
    return found


def batches(path):
    batch = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            batch.append(frame)
            if len(batch) == 16:
                yield batch
                batch = []
    yield batch
