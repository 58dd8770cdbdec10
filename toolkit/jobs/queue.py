"""Queue: what is to be restored, in which order, and how far it is.  Every call is one transaction on the file."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from toolkit.errors import JobBusy, OutputRefused, RequestError
from toolkit.jobs import database
from toolkit.jobs.adding import insert, rows_of
from toolkit.jobs.database import existing
from toolkit.jobs.wish import Wish, discard

STATES = ("pending", "running", "paused", "done", "failed", "cancelled")
ACTIVE = ("pending", "running", "paused")


@dataclass(frozen=True)
class Job:
    """A job as it stands.  Times are seconds since 1970; `progress` is what `progress.Snapshot` holds."""

    id: int
    state: str
    priority: int
    source: Path
    output: Path
    settings: dict[str, Any]
    added: float
    started: float | None
    ended: float | None
    tries: int
    limit_of_tries: int
    reason: str
    wish: str | None
    worker: str | None
    claim: str | None
    beat: float | None
    progress: dict[str, Any] | None
    report: dict[str, Any] | None


def default_path() -> Path:
    """`VHS_TOOLKIT_QUEUE`, else a file in the user's own folder for the state of programs."""
    chosen = os.environ.get("VHS_TOOLKIT_QUEUE")
    return Path(chosen) if chosen else platformdirs.user_state_path("vhs-toolkit") / "queue.db"


class Queue:
    """The jobs in the SQLite file `path`.  Usable from any number of threads and processes at once.

    Opening examines the file; a damaged one is replaced by its last intact copy, with a `ToolkitWarning`.
    Raises `QueueFailed` when the file cannot be used, or is not a queue.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path or default_path()).absolute()
        self._local = threading.local()
        self._local.db = database.connect(self.path, check=True)
        self.files = self.path.with_name(self.path.name + ".files")
        self.logs = self.files / "logs"

    def _db(self) -> sqlite3.Connection:
        db = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = database.connect(self.path)
        return db

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or nothing."""
        with database.failures(self.path), database.transaction(self._db()) as db:
            yield db

    def lock_wait(self, patience: float = 1.0) -> float:
        """Seconds until this program might write, for others that do; `patience` when it was not its turn by then."""
        db, began = self._db(), time.monotonic()
        db.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")
        try:
            with contextlib.suppress(sqlite3.OperationalError), database.transaction(db):
                pass
            return time.monotonic() - began
        finally:
            db.execute(f"PRAGMA busy_timeout = {round(1000 * database.PATIENCE)}")

    def close(self) -> None:
        """Closes this thread's connection."""
        db, self._local.db = getattr(self._local, "db", None), None
        if db is not None:
            db.close()

    def keep_copy(self) -> None:
        database.keep_copy(self._db(), self.path)

    def log(self, number: int) -> Path:
        """What a job's process said; kept for as long as the job is on the list and not done."""
        return self.logs / f"{number}.log"

    # -- adding --------------------------------------------------------------------------------------------------

    def add(self, wishes: Iterable[Wish]) -> list[int]:
        """Adds all of them or, when one cannot be, none; returns their numbers.

        Raises `RequestError`: a missing source, an output that exists, equals an input or belongs to another job, an
        unknown preset, a negative priority, an unknown job to wait for.
        """
        rows = rows_of(wishes)
        with self.change() as db:
            ids = insert(db, rows)
        self.keep_copy()
        return ids

    # -- looking -------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state; one consistent moment, whatever others write."""
        with database.failures(self.path):
            return dict(self._db().execute("SELECT state, jobs FROM counts").fetchall())

    def jobs(self, states: Sequence[str] = STATES, limit: int = -1) -> list[Job]:
        """Running jobs, then waiting ones in the order in which they run, then finished ones, the newest first."""
        marks = ", ".join("?" * len(states))
        with database.failures(self.path):
            rows = self._db().execute(
                f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY "
                "CASE WHEN state = 'running' THEN 0 WHEN state IN ('pending', 'paused') THEN 1 ELSE 2 END, "
                "CASE WHEN state IN ('done', 'failed', 'cancelled') THEN -ended ELSE 0 END, "
                "priority DESC, place LIMIT ?",
                (*states, limit),
            )
            return [job_of(row) for row in rows]

    def job(self, number: int) -> Job:
        """Raises `UnknownJob`."""
        with database.failures(self.path):
            return job_of(existing(self._db(), number))

    def sources(self) -> dict[Path, float]:
        """The tapes of all jobs, and when each was last added."""
        with database.failures(self.path):
            rows = self._db().execute("SELECT source, max(added) FROM jobs GROUP BY source").fetchall()
            return {Path(source): added for source, added in rows}

    def waits(self, numbers: Sequence[int]) -> dict[int, list[int]]:
        """For each of the jobs that wait for others: the ones that are not done yet."""
        found: dict[int, list[int]] = {}
        with database.failures(self.path):
            rows = self._db().execute("SELECT job, needed FROM needs JOIN jobs ON id = needed WHERE state <> 'done'")
            for job, needed in rows.fetchall():
                found.setdefault(job, []).append(needed)
        return {n: found[n] for n in numbers if n in found}

    # -- what people ask for -------------------------------------------------------------------------------------

    def cancel(self, *numbers: int) -> None:
        """Waiting jobs are cancelled at once, running ones within seconds.

        Their unfinished segments are removed, and so is an output that was written but not checked yet.
        """
        self._ask(numbers, "cancel", "cancelled")

    def pause(self, *numbers: int) -> None:
        """Waiting jobs are kept back, running ones stop within seconds; `resume` goes on where they stopped."""
        self._ask(numbers, "pause", "paused")

    def _ask(self, numbers: Sequence[int], wish: str, state: str) -> None:
        from toolkit.jobs.claims import Claims

        Claims(self).reap()  # nobody would hear what is wished of a job whose worker is gone
        gone = []
        with self.change() as db:
            for number in numbers:
                job = existing(db, number)
                if job["state"] == "running":
                    db.execute("UPDATE jobs SET wish = ? WHERE id = ?", (wish, number))
                elif job["state"] == "pending" or (job["state"] == "paused" and wish == "cancel"):
                    ended = time.time() if wish == "cancel" else None
                    db.execute(
                        "UPDATE jobs SET state = ?, ended = ?, reason = 'asked for' WHERE id = ?",
                        (state, ended, number),
                    )
                    if job["started"] is not None:  # else what lies beside its output is none of its own
                        gone.append(Path(job["output"]))
                elif job["state"] != state:
                    raise JobBusy(f"job {number} is {job['state']}", expected="a waiting or running job", files="")
        if wish == "cancel":
            for output in gone:
                discard(output)
        self.keep_copy()

    def resume(self, *numbers: int) -> None:
        """Lets paused jobs wait for their turn again."""
        with self.change() as db:
            for number in numbers:
                job = existing(db, number)
                if job["state"] == "running" and job["wish"] == "pause":
                    raise JobBusy(f"job {number} is about to stop", hint="try again in some seconds", files="")
                if job["state"] != "paused":
                    raise JobBusy(f"job {number} is {job['state']}", expected="a paused job", files="")
                db.execute("UPDATE jobs SET state = 'pending', wish = NULL, reason = '' WHERE id = ?", (number,))
        self.keep_copy()

    def retry(self, *numbers: int) -> None:
        """Puts failed or cancelled jobs back, with all their tries; a failed one goes on where it stopped."""
        with self.change() as db:
            for number in numbers:
                job = existing(db, number)
                if job["state"] not in ("failed", "cancelled"):
                    raise JobBusy(f"job {number} is {job['state']}", expected="a failed or cancelled job", files="")
                try:
                    db.execute(
                        "UPDATE jobs SET state = 'pending', wish = NULL, tries = 0, reason = '', ended = NULL, "
                        "progress = NULL WHERE id = ?",
                        (number,),
                    )
                except sqlite3.IntegrityError:
                    raise OutputRefused(f"another job writes {job['output']} by now", files="") from None
        self.keep_copy()

    def move(self, number: int, place: int) -> None:
        """Makes a waiting job the `place`-th (from 1) of those that wait; it takes on a priority that fits there."""
        if place < 1:
            raise RequestError(f"the place is {place}", expected="1 or more", files="")
        with self.change() as db:
            job = existing(db, number)
            if job["state"] not in ("pending", "paused"):
                raise JobBusy(f"job {number} is {job['state']}", expected="a waiting job", files="")
            order = [
                (row["id"], row["priority"])
                for row in db.execute(
                    "SELECT id, priority FROM jobs WHERE state IN ('pending', 'paused') AND id <> ? "
                    "ORDER BY priority DESC, place",
                    (number,),
                )
            ]
            at = min(place - 1, len(order))
            highest = order[at - 1][1] if at else None
            lowest = order[at][1] if at < len(order) else 0
            fitting = max(job["priority"], lowest)
            order.insert(at, (number, fitting if highest is None else min(fitting, highest)))
            db.executemany(
                "UPDATE jobs SET place = ?, priority = ? WHERE id = ?", [(n, p, i) for n, (i, p) in enumerate(order, 1)]
            )
        self.keep_copy()

    def clear(self, states: Sequence[str] = ("done", "cancelled")) -> int:
        """Takes jobs in `states` (never active ones) off the list; returns how many.  Their outputs stay."""
        if set(states) - {"done", "failed", "cancelled"}:
            raise RequestError(
                f"jobs that are {', '.join(states)} were to be cleared", expected="done, failed or cancelled",
                hint="cancel them first", files="",
            )  # fmt: skip
        marks = ", ".join("?" * len(states))
        with self.change() as db:
            gone = db.execute(f"DELETE FROM jobs WHERE state IN ({marks}) RETURNING id", tuple(states)).fetchall()
        for row in gone:
            self.log(row["id"]).unlink(missing_ok=True)
        self.keep_copy()
        return len(gone)


def job_of(row: sqlite3.Row) -> Job:
    told = {k: row[k] for k in row.keys() if k != "place"}  # noqa: SIM118 (a Row iterates over values)
    for name in ("settings", "progress", "report"):
        told[name] = json.loads(told[name]) if told[name] else None
    return Job(**{**told, "source": Path(told["source"]), "output": Path(told["output"])})
