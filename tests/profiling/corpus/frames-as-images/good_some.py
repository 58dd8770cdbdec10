import av


def stills(path, wanted):
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                frame.to_image().save(f"stills/{index}.png")
