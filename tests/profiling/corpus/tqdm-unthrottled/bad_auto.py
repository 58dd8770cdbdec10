from tqdm.auto import tqdm


def run(frames, work):
    for frame in tqdm(frames, desc="frames", mininterval=0.0, miniters=1):
        work(frame)
