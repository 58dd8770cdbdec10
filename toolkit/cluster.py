"""The segments of one tape, spread over the workers of a Dask cluster.

    restore("tape.avi", "tape.mp4", scheduler="tcp://192.168.1.5:8786")

A worker makes a segment at a time and puts its packets into `OUT.parts`, which all must see, as the tape.  This
process alone writes the journal: it takes a segment in when its packets are what the worker says, and when the frame
with which the worker began to read is the one that the segment before saw there, in order from the first.  Then it
joins them, with the sound, as a run on one machine does.

Without recursive steps a segment depends on its own frames and their neighbours alone: the file is byte for byte that
of one machine, and either may go on with what the other began.  A recursive step would need the state that the segment
before leaves; on a cluster it is warmed up on the `WARM_UP` frames before instead; its pictures may differ a little.
Neither the number of workers nor their deaths change a byte.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

from toolkit.cluster_worker import Made, Task, look, make_segment
from toolkit.errors import OutputFailed, RequestError, WorkError
from toolkit.identity import digest_of
from toolkit.media.read import Reader
from toolkit.pipeline import GIB
from toolkit.resumable import ResumableRunner
from toolkit.stages.memory import recursive_steps

#: Frames of its input that a recursive step sees ahead of a segment.
WARM_UP = 48
AHEAD = 2  # segments in work or waiting for each worker
PATIENCE = 10.0  # seconds until what one machine wrote must be seen by another
ALONE = 300.0  # seconds without any worker, in which another one may come
LOOK, COUNT = 0.05, 2.0  # seconds between two looks for a segment that is made, and for workers that are left


class ClusterRunner(ResumableRunner):
    """A `ResumableRunner` whose segments are made by the workers of a Dask `client`."""

    def __init__(self, *run: Any, client: Any, max_memory: int = 2 * GIB, **more: Any) -> None:
        super().__init__(*run, **more)
        self._client, self._max_memory = client, max_memory
        self.warm_up = WARM_UP if recursive_steps(self.plan.pipeline) else 0
        if self.warm_up:
            self.notes.append(
                f"recursive steps were warmed up on {self.warm_up} frames ahead of each segment, so the file is not "
                "byte for byte that of one machine"
            )

    def _make_missing(self) -> None:
        journal = self.journal
        if journal.begin is None:
            frames = (self.frames[0], self.frames[0] + 2)
            with Reader(self.clip, size=1, frames=frames) as reader:
                head = next(iter(reader), None)
            if head is None:
                raise self._no_frames()
            self._settle_clock(head)
        self._task = Task(
            self.clip.path.absolute(), self.output.absolute(), journal.folder.absolute(), journal.run, journal.begin,
            self.plan.formats[0], self.frames, self.settings, self.length, self.warm_up, self._max_memory,
        )  # fmt: skip
        if journal.gap() is None:
            return
        self._see_to_workers()
        frames = self.plan.frames
        self._expected = None if frames is None else -(-frames // self.length)
        self._end, self._at, self._waiting = journal.end, 0, {}
        self._spread()
        if journal.gap() is not None:
            raise OutputFailed(
                f"the workers came to no end of {self.clip.path}",
                files=f"what is finished was kept in {journal.folder}",
            )

    def _see_to_workers(self) -> None:
        """Raises `RequestError` when a worker cannot take part, and says why."""
        token = secrets.token_hex(8)
        (self.journal.folder / f"{token}.new").write_text(token)
        try:
            answers = self._client.run(look, self._task, token, on_error="return")
        finally:
            for path in self.journal.folder.glob(f"{token}*.new"):
                path.unlink(missing_ok=True)
        if not answers:
            raise RequestError(
                f"the cluster {_address(self._client)} has no workers", hint="dask worker ADDRESS --nthreads 1"
            )
        for worker, said in answers.items():
            if isinstance(said, BaseException):
                said = f"cannot run the toolkit ({type(said).__name__}: {said})"
            if said is not None:
                raise RequestError(
                    f"the worker {worker} {said}", expected="the tape and the output's folder under the same names, "
                    "shared by all machines, and the same versions", hint="a network drive mounted everywhere alike",
                )  # fmt: skip
        if any(n > 1 for n in self._client.nthreads().values()):
            self.notes.append("workers with several threads make one segment at a time; --nthreads 1 serves better")

    # -- handing out ---------------------------------------------------------------------------------------------

    def _spread(self) -> None:
        from distributed import CancelledError, KilledWorker, as_completed

        running: dict[Any, int] = {}
        done = as_completed(loop=self._client.loop)

        def hand_out(number: int, seek: bool = True) -> None:
            future = self._client.submit(make_segment, self._task, number, seek, pure=False, priority=-number)
            running[future] = number
            done.add(future)

        try:
            while True:
                width = AHEAD * max(1, self._workers())
                while len(running) < width and (number := self._next(bool(running))) is not None:
                    hand_out(number)
                if not running:
                    return
                self._wait_for(done)
                future = next(done)
                number = running.pop(future)
                try:
                    made = future.result()
                except (KilledWorker, CancelledError) as error:
                    raise WorkError(
                        f"segment {number} could not be made on the cluster ({type(error).__name__}: its workers died "
                        "again and again, or the scheduler is gone)",
                        files=f"what is finished was kept in {self.journal.folder}",
                        hint="look whether the workers run out of memory; the same command goes on",
                    ) from error
                self._waiting[number] = made
                if made.end is not None:
                    self._end = self._end or made.end
                for again in self._take_in():
                    hand_out(again, seek=False)
        finally:
            if running:
                self._client.cancel(list(running), force=True)

    def _workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except OSError as error:
            raise WorkError(
                f"the scheduler {_address(self._client)} is gone ({type(error).__name__})",
                files=f"what is finished was kept in {self.journal.folder}",
                hint="start it and its workers again, then the same command goes on",
            ) from error

    def _wait_for(self, done: Any) -> None:
        """Waits until a segment is made.  Raises `WorkError` when there was no worker for long."""
        counted = served = time.monotonic()
        while not done.has_ready():
            time.sleep(LOOK)
            if time.monotonic() - counted < COUNT:
                continue
            served = time.monotonic() if self._workers() else served
            counted = time.monotonic()
            if counted - served > ALONE:
                raise WorkError(
                    f"the cluster {_address(self._client)} has had no workers for {round(counted - served)} s",
                    files=f"what is finished was kept in {self.journal.folder}",
                    hint="dask worker ADDRESS --nthreads 1, then the same command goes on",
                )

    def _next(self, busy: bool) -> int | None:
        """The next segment that somebody must make; None for now or for good."""
        while self._at in self.journal.segments:
            self._at += 1
        if self._end is not None and self._at >= self._end["segments"]:
            return None
        if self._expected is not None and self._at >= self._expected and busy:
            return None  # what is under way may tell that the tape ends here
        self._at += 1
        return self._at - 1

    # -- taking in -----------------------------------------------------------------------------------------------

    def _take_in(self) -> list[int]:
        """Takes in what follows on what is in the journal; returns what must be made again, without seeking."""
        journal, again = self.journal, []
        while due := [n for n in sorted(self._waiting) if n - 1 in {-1, *journal.segments}]:
            made = self._waiting.pop(due[0])
            if made.segment is None and journal.end is not None:
                continue  # it was tried past the end
            if made.number and made.head is not None and made.head != journal.seen(made.number - 1):
                again += self._misread(made)
                continue
            self.notes += [n for n in made.notes if n not in self.notes]
            for name, spent in made.seconds.items():
                self.context.seconds[name] = self.context.seconds.get(name, 0.0) + spent
            if made.segment is not None:
                self._fetch(made)
                journal.add(made.segment, {}, made.end)
                self.progress.step(made.segment.pictures)
            elif made.end is not None and journal.end is None:
                journal.add_end(made.end)
        return again

    def _misread(self, made: Made) -> list[int]:
        if made.path is not None:
            made.path.unlink(missing_ok=True)
        if not made.seek:
            raise OutputFailed(
                f"{self.clip.path} does not give the same pictures on all workers",
                files=f"what is finished was kept in {self.journal.folder}",
                hint="the same versions on all machines, or without --scheduler",
            )
        self._end = self.journal.end  # what it told of the tape's end is not to be trusted
        note = "seeking in the tape is not exact, so it was read again from its beginning"
        self.notes += [note] if note not in self.notes else []
        return [made.number]

    def _fetch(self, made: Made) -> None:
        """Waits until this machine sees the packets as the worker wrote them, and puts them where they belong."""
        begun = time.monotonic()
        while digest_of(made.path) != made.segment.packets:
            if time.monotonic() - begun > PATIENCE:
                raise OutputFailed(
                    f"a worker wrote segment {made.number} to {made.path}, and it is not seen here as it was written",
                    expected="a folder that all machines share",
                    files=f"what is finished was kept in {self.journal.folder}",
                )
            time.sleep(0.2)
        os.replace(made.path, self.journal.new_packets(made.number))


@contextlib.contextmanager
def connected(scheduler: Any) -> Any:
    """A Dask `Client` for an address, or the one that was given.  Raises `RequestError` when nobody answers."""
    if not isinstance(scheduler, (str, Path)):
        yield scheduler
        return
    try:
        from distributed import Client
    except ImportError:
        raise RequestError(
            "a cluster needs the package distributed", hint="pip install vhs-toolkit[cluster]"
        ) from None
    try:
        client = Client(str(scheduler), timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise RequestError(
            f"no Dask scheduler answers at {scheduler} ({type(error).__name__})",
            expected="an address such as tcp://192.168.1.5:8786", hint="dask scheduler starts one",
        ) from None  # fmt: skip
    try:
        yield client
    finally:
        client.close()


def _address(client: Any) -> str:
    return getattr(getattr(client, "scheduler", None), "address", "")
