import concurrent.futures


def convert(clips, work):
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for clip in clips:
            pool.submit(work, clip)
