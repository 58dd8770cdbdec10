from concurrent.futures import ThreadPoolExecutor


def convert(clips, work):
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(work, clip) for clip in clips]
        pool.submit(work, clips).add_done_callback(print)
        return [future.result() for future in futures]
