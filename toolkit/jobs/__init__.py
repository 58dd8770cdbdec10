"""A queue of restores that survives: jobs in an SQLite file, each run in a process of its own.

    from toolkit import jobs
    queue = jobs.Queue()                          # or Queue("tapes.db")
    queue.add([jobs.Wish("tape.avi", "tape.mp4", preset="vhs")])
    jobs.work(queue)                              # or: vhs-toolkit queue run
    print(jobs.status(queue))

Why SQLite and no task-queue library: those (Celery, RQ, Dramatiq) want a server that someone must install and keep
running, and count a job as done when its function returns.  Here one file beside the user's own must survive the
machine, two programs may open it at once, and a job that was killed goes on in the middle of a tape.
"""

from toolkit.jobs.queue import Job, Queue
from toolkit.jobs.status import status
from toolkit.jobs.wish import Wish
from toolkit.jobs.worker import work

__all__ = ["Job", "Queue", "Wish", "status", "work"]
