from concurrent.futures import ThreadPoolExecutor


def convert(clips, work):
    pool = ThreadPoolExecutor()
    try:
        return list(pool.map(work, clips))
    finally:
        pool.shutdown()
