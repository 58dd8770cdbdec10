import av


def split(path):
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(f"frames/{index}.png")
