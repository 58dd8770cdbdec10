def tqdm(frames, mininterval):
    return frames[int(mininterval) :]


def run(frames, work):
    for frame in tqdm(frames, mininterval=0):
        work(frame)
