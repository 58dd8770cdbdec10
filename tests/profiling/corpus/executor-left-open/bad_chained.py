from concurrent import futures


def convert(clips, work):
    return list(futures.ThreadPoolExecutor(4).map(work, clips))
