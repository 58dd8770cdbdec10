from tqdm import tqdm


def run(frames, work):
    for frame in tqdm(frames, desc="frames", mininterval=0.5):
        work(frame)
