import tqdm


def run(count, work):
    bar = tqdm.trange(
        count,
        mininterval=0,
    )
    for index in bar:
        work(index)
