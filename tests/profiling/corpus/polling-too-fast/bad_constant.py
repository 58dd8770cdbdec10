from time import sleep

STEP = 0.25


def wait(job):
    while not job.finished:
        sleep(STEP)
    return job.result
