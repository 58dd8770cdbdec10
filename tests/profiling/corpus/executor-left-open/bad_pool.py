import multiprocessing


def convert(clips, work):
    workers = multiprocessing.Pool(4)
    return workers.map(work, clips)
