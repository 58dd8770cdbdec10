from IPython.display import clear_output


def follow(job, show):
    while job.running:
        clear_output(wait=False)
        show(job)
