import av


def lengths(paths):
    for path in paths:
        with av.open(path) as container:
            print(container.duration)
        name = str(path) + ".mkv"
        with av.open(name) as container:
            print(container.duration)
