import av


def sample(path, at):
    with av.open(path) as container:
        container.seek(at)
        return next(container.decode(video=0))
