"""A job's own process: `python -m toolkit.jobs.run QUEUE NUMBER CLAIM [SCHEDULER]`.  A crash takes down this job alone.

It holds a lock as long as it lives, says every second how far it is and hears what is wished of it.  It ends when its
worker is gone: then its standard input closes.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolkit.errors import QueueFailed, RequestError, ToolkitError
from toolkit.jobs.claims import Claims
from toolkit.jobs.queue import Job, Queue
from toolkit.progress import Progress, Snapshot

BEAT = 1.0  # seconds
AGAIN = 5  # beats after which a wish is told once more: Python drops what is raised where nobody can catch it
_VOID = 3  # exit code: the claim was another's


class Heart:
    """Says that the job is alive and hears what is wished of it, in a thread of its own."""

    def __init__(self, queue: Queue, job: Job) -> None:
        self._queue, self._job = queue, job
        self._stop, self._snapshot, self._told = threading.Event(), None, 0
        self._thread = threading.Thread(target=self._beat, name="vhs-job-heart", daemon=True)

    def see(self, snapshot: Snapshot) -> None:
        self._snapshot = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(snapshot).items()}

    def _beat(self) -> None:
        claims = Claims(self._queue)
        while not self._stop.wait(BEAT):
            try:
                wish = claims.beat(self._job, self._snapshot)
            except QueueFailed:
                continue  # held by another for long; the next beat will do
            if wish == "lost":
                os._exit(_VOID)
            self._told += wish is not None
            if self._told % AGAIN == 1:
                _thread.interrupt_main(signal.SIGTERM)  # SIGINT is ignored by what was started in the background

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def restore(job: Job, progress: Progress, done: Any, scheduler: str | None) -> None:
    """What the job asks for, in segments that a later try goes on with."""
    from toolkit.pipeline import Pipeline
    from toolkit.presets import Preset
    from toolkit.runner import restore as run

    settings = dict(job.settings)
    pipeline = Pipeline.from_dict(settings.pop("pipeline"))
    preset = Preset(pipeline=pipeline, **settings.pop("preset"))
    if "frames" in settings:
        settings["frames"] = tuple(settings["frames"])
    how = {"resume": True, "scheduler": scheduler, "progress": progress, "done": done}
    run(job.source, job.output, preset=preset, **how, **settings)


def main(words: list[str]) -> int:
    path, number, claim, *more = words
    queue = Queue(Path(path))
    claims, job = Claims(queue), queue.job(int(number))
    if job.claim != claim:
        return _VOID
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_worker, name="vhs-job-watch", daemon=True).start()
    with claims.job_lock(claim).acquire(timeout=30):
        if claims.beat(job, None) == "lost":
            return _VOID
        heart = Heart(queue, job)

        def finished(run: Any) -> None:
            if not claims.end(job, "done", report=run.to_dict()):
                os._exit(_VOID)

        try:
            with heart:
                restore(job, Progress(heart.see), finished, more[0] if more else None)
        except KeyboardInterrupt:
            claims.give_up(job, "its worker was stopped", free=True)
        except RequestError as error:
            claims.end(job, "failed", str(error))
        except ToolkitError as error:
            claims.give_up(job, str(error))
        except Exception as error:
            traceback.print_exc()
            claims.give_up(job, f"{type(error).__name__}: {error}")
    return 0


def _end_with_worker() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(_VOID)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the thread that waits on standard input would stand in the way of an orderly exit
