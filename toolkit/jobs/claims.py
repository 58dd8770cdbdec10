"""Claims: which worker has which job, and what becomes of it when the worker is gone.

Whether a worker or a job's own process is alive is told by a lock that it holds and that the system lets go when it is
gone: no process number that another may have been given, and no clock that someone may have set back.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import Any

import filelock

from toolkit.jobs.queue import ACTIVE, Job, Queue, existing, job_of
from toolkit.jobs.wish import discard


class Claims:
    """What workers do with a `Queue`.

    A running job belongs to its claim, a random word: whoever comes with another one changes nothing.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def claim(self, worker: str) -> Job | None:
        """Takes the next waiting job for a worker; no other gets it."""
        with self._queue.change() as db:
            row = db.execute(
                "SELECT * FROM jobs WHERE state = 'pending' AND NOT EXISTS (SELECT 1 FROM needs JOIN jobs AS other "
                "ON other.id = needed WHERE job = jobs.id AND other.state <> 'done') "
                "ORDER BY priority DESC, place LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            now = time.time()
            changed = {"worker": worker, "claim": secrets.token_hex(8), "started": now, "beat": now}
            db.execute(
                "UPDATE jobs SET state = 'running', worker = :worker, claim = :claim, started = :started, "
                "ended = NULL, beat = :beat, tries = tries + 1, wish = NULL, reason = '', progress = NULL "
                "WHERE id = :id",
                {**changed, "id": row["id"]},
            )
            return job_of(existing(db, row["id"]))

    def beat(self, job: Job, progress: dict[str, Any] | None) -> str | None:
        """Says that a job is alive and how far; returns what is wished of it, "lost" when it is another's by now."""
        with self._queue.change() as db:
            row = db.execute(
                "UPDATE jobs SET beat = ?, progress = ? WHERE id = ? AND claim = ? AND state = 'running' "
                "RETURNING wish",
                (time.time(), json.dumps(progress), job.id, job.claim),
            ).fetchone()
            return "lost" if row is None else row[0]

    def end(
        self, job: Job, state: str, reason: str = "", report: dict[str, Any] | None = None, free: bool = False
    ) -> bool:
        """Ends a running job in `state`; False when its claim is not valid any more.  `free` does not count the try."""
        ended = None if state in ACTIVE else time.time()
        with self._queue.change() as db:
            return bool(
                db.execute(
                    "UPDATE jobs SET state = ?, reason = ?, report = ?, ended = ?, tries = tries - ?, wish = NULL, "
                    "worker = NULL, claim = NULL WHERE id = ? AND claim = ? AND state = 'running'",
                    (state, reason, json.dumps(report), ended, int(free), job.id, job.claim),
                ).rowcount
            )

    def give_up(self, job: Job, reason: str, free: bool = False) -> None:
        """Ends a try that came to nothing: what was wished of the job comes true, or it waits for its next try, or
        it has failed.  A try that ended by no fault of the job is `free`.
        """
        now = self._queue.job(job.id)
        if now.wish == "cancel":
            discard(job.output)
            self.end(job, "cancelled", "asked for")
        elif now.wish == "pause":
            self.end(job, "paused", "asked for", free=True)
        elif free:
            self.end(job, "pending", reason, free=True)
        elif now.tries < now.limit_of_tries:
            self.end(job, "pending", f"try {now.tries} of {now.limit_of_tries}: {reason}")
        else:
            self.end(job, "failed", reason)

    # -- who is alive --------------------------------------------------------------------------------------------

    def worker_lock(self, name: str) -> filelock.FileLock:
        """What a worker holds as long as it lives."""
        return self._lock(f"worker-{name}")

    def job_lock(self, claim: str) -> filelock.FileLock:
        """What a job's own process holds as long as it lives."""
        return self._lock(f"job-{claim}")

    def _lock(self, name: str) -> filelock.FileLock:
        folder = self._queue.files / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / name)

    def reap(self) -> list[int]:
        """Puts back the jobs whose worker and own process are both gone; returns their numbers.

        Both locks are held while that is written, so that a process that only now comes up finds its claim void.
        """
        found = []
        for job in self._queue.jobs(["running"]):
            try:
                with self.worker_lock(job.worker).acquire(timeout=0), self.job_lock(job.claim).acquire(timeout=0):
                    self.give_up(job, "its worker was gone", free=True)
                    found.append(job.id)
            except filelock.Timeout:
                continue
        return found

    def sweep(self) -> None:
        """Removes locks that nobody holds and that no running job knows."""
        running = self._queue.jobs(["running"])
        known = {f"worker-{j.worker}" for j in running} | {f"job-{j.claim}" for j in running}
        folder = self._queue.files / "locks"
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in known:
                with contextlib.suppress(filelock.Timeout), self._lock(path.name).acquire(timeout=0):
                    path.unlink(missing_ok=True)
