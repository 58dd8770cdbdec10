"""The worker: takes jobs from the queue and runs each in a process of its own, watches them, and tells how it went."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from toolkit import process
from toolkit.errors import KnobError
from toolkit.jobs.claims import Claims
from toolkit.jobs.queue import Job, Queue
from toolkit.jobs.watch import WatchedFolder
from toolkit.jobs.wish import clear_done

LOOK = 0.2  # seconds between two looks at the processes
REAP = 10.0  # seconds between two looks for jobs whose worker is gone
PEER = 2.0  # seconds between two looks into a watched folder
OBEY = 20.0  # seconds in which a job has to do what is wished of it, before it is ended
STOP = 10.0  # seconds in which a job has to end when the worker stops


@dataclass
class Summary:
    """What a worker did: the numbers of the jobs by how they ended, and how long it took in seconds."""

    done: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    paused: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)  # tries that were put back
    left: int = 0  # jobs that still wait
    elapsed: float = 0.0

    def __str__(self) -> str:
        told = [f"{len(self.done)} done"]
        for name in ("failed", "cancelled", "paused"):
            if jobs := getattr(self, name):
                told.append(f"{len(jobs)} {name} (job {', '.join(map(str, jobs))})")
        if self.left:
            told.append(f"{self.left} left")
        return f"{', '.join(told)}, in {timedelta(seconds=round(self.elapsed))}"


@dataclass
class _Running:
    job: Job
    program: subprocess.Popen
    wished: float | None = None  # when a wish was first seen


def work(
    queue: Queue,
    *,
    workers: int = 1,
    until: float | None = None,
    folder: WatchedFolder | None = None,
    say: Callable[[str], None] = lambda line: None,
    scheduler: str | None = None,
) -> Summary:
    """Runs the waiting jobs, `workers` at a time, until none is left that can be run.

    until : seconds since 1970 when running jobs are stopped (they go on the next time) and no other is begun.
    folder : a folder whose new files become jobs; the worker then goes on until it is stopped.
    say   : is handed a line for each job that begins or ends.
    scheduler : address of a Dask scheduler, over whose workers the segments of each tape are spread.

    Any number of workers may be at one queue.  Ctrl-C and SIGTERM put running jobs back, what they finished is kept.
    """
    if workers < 1:
        raise KnobError(f"{workers} jobs were to run at a time", expected="1 or more", files="")
    return _Worker(queue, workers, until, folder, say, scheduler).run()


def parse_until(text: str, now: datetime | None = None) -> float:
    """ "07:00" as seconds since 1970: the next time the clock shows that.  Raises `KnobError`."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
    if not match:
        raise KnobError(f"until is {text!r}", expected="a time of day, for instance 07:00", files="")
    now = now or datetime.now()
    at = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return (at if at > now else at + timedelta(days=1)).timestamp()


class _Worker:
    def __init__(
        self,
        queue: Queue,
        slots: int,
        until: float | None,
        folder: WatchedFolder | None,
        say: Callable[[str], None],
        scheduler: str | None,
    ) -> None:
        self.queue, self.claims, self.slots, self.until = queue, Claims(queue), slots, until
        self.folder, self.say, self.scheduler = folder, say, scheduler
        self.name, self.running, self.summary = secrets.token_hex(8), [], Summary()

    def run(self) -> Summary:
        began = time.monotonic()
        self.queue.logs.mkdir(parents=True, exist_ok=True)
        before = _terminate_as_interrupt()
        try:
            with self.claims.worker_lock(self.name).acquire(timeout=30):
                try:
                    self._loop()
                finally:
                    self._stop_all()
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
            self.claims.sweep()
        self.summary.left = sum(self.queue.counts()[s] for s in ("pending", "running"))
        self.summary.elapsed = time.monotonic() - began
        return self.summary

    def _loop(self) -> None:
        reaped = looked = float("-inf")
        for job in self.queue.jobs(["done"]):
            clear_done(job.output)  # killed, together with its worker, while it cleared up
        while True:
            if time.monotonic() - reaped >= REAP:
                reaped = time.monotonic()
                for number in self.claims.reap():
                    self.say(f"job {number}: its worker was gone, it waits again")
                self.claims.sweep()
            for one in [one for one in self.running if one.program.poll() is not None]:
                self._ended(one)
            if self.until is not None and time.time() >= self.until:
                return
            while len(self.running) < self.slots and (job := self.claims.claim(self.name)) is not None:
                self._start(job)
            if self.folder is not None and time.monotonic() - looked >= PEER:
                looked = time.monotonic()
                for line in self.folder.look(self.queue):
                    self.say(line)
            elif not self.running and self.folder is None:
                return
            self._see_to_wishes()
            time.sleep(LOOK)

    def _start(self, job: Job) -> None:
        words = [sys.executable, "-m", "toolkit.jobs.run", str(self.queue.path), str(job.id), job.claim]
        words += [self.scheduler] if self.scheduler else []
        try:
            program = process.start(words, output=self.queue.log(job.id))
        except BaseException:
            self.claims.give_up(job, "its process could not be started")
            raise
        self.running.append(_Running(job, program))
        self.say(f"job {job.id}: {job.source} -> {job.output}")

    def _ended(self, one: _Running) -> None:
        self.running.remove(one)
        code = one.program.wait()
        process.end(one.program)
        now = self.queue.job(one.job.id)
        if now.state == "running" and now.claim == one.job.claim:  # it could not say itself how it ended
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self.claims.give_up(one.job, f"its process {how}{self._last_words(one.job)}")
            now = self.queue.job(one.job.id)
        if now.state == "done":
            clear_done(now.output)  # killed while it cleared up
            self.queue.log(now.id).unlink(missing_ok=True)
        ended = getattr(self.summary, now.state, None)
        (self.summary.again if ended is None else ended).append(now.id)
        self.say(f"job {now.id}: {now.state}{': ' * bool(now.reason)}{now.reason}")
        self.queue.keep_copy()

    def _last_words(self, job: Job) -> str:
        try:
            lines = self.queue.log(job.id).read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f": {lines[-1]}" if lines else ""

    def _see_to_wishes(self) -> None:
        for one in self.running:
            if self.queue.job(one.job.id).wish is None:
                continue
            one.wished = one.wished or time.monotonic()
            if time.monotonic() - one.wished > OBEY:
                process.end(one.program)

    def _stop_all(self) -> None:
        for one in list(self.running):
            process.end(one.program, grace=STOP)
            now = self.queue.job(one.job.id)
            if now.state == "running" and now.claim == one.job.claim:
                self.claims.give_up(one.job, "its worker was stopped", free=True)
            self._ended(one)


def _terminate_as_interrupt() -> Any:
    """Makes SIGTERM end the worker as Ctrl-C does; returns what was in its place, None outside the main thread."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        return None
