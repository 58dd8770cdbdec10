"""`profile watch`: a running process looked at from outside, look by look, until it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from toolkit import process, scratch
from toolkit.errors import InputMissing, JobBusy, QueueFailed, RequestError, UnknownJob, WorkError
from toolkit.profiling.alerts import Alert, Alerts, Limits
from toolkit.profiling.device import Device
from toolkit.profiling.looks import Look, TempFolder, Tree, gpu_look, runs

SHARE = 0.01  # of one core: looks come further apart where they would cost more
SLICE = 0.1  # seconds in which an end or a stop is noticed


@dataclass
class Watched:
    """What was seen in all.  code : the exit code of a command that was started for it."""

    name: str
    ended: str = ""
    looks: int = 0
    seconds: float = 0.0
    peak_memory: float = 0.0
    peak_temp: float = 0.0
    alerts: list[Alert] = field(default_factory=list)
    code: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        most = f"most memory {self.peak_memory / 2**20:.0f} MiB, most temporary bytes {self.peak_temp / 2**20:.0f} MiB"
        many = f"{self.looks} {'look' if self.looks == 1 else 'looks'}"
        alerts = f"{len(self.alerts)} {'alert' if len(self.alerts) == 1 else 'alerts'}"
        return f"{self.name} {self.ended} after {self.seconds:.1f} s, {many}; {most}; {alerts}"


@dataclass
class Target:
    """What is watched.  tell adds to a look what only this kind of target knows."""

    tree: Tree
    temp: Path
    tell: Callable[[Look], None] = lambda look: None
    program: subprocess.Popen | None = None
    log: Path | None = None


def watch(
    target: Target,
    *,
    every: float = 1.0,
    duration: float | None = None,
    limits: Limits | None = None,
    on_look: Callable[[Look], None] = lambda look: None,
    on_alert: Callable[[Alert], None] = lambda alert: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Watched:
    """Looks at `target` (see `opened`) every so many seconds until it ends, `duration` is over or `stopped()`.

    Raises `RequestError` for a time that is none.
    """
    if every <= 0 or (duration is not None and duration <= 0):
        raise RequestError("a time of 0 or less was asked for", expected="seconds, for instance 1", files="")
    tree, temp, alerts = target.tree, TempFolder(target.temp), Alerts(limits or Limits())
    found = Watched(f"{tree.name} ({tree.root.pid})")
    began = time.monotonic()
    with contextlib.closing(Device()) as device:
        while True:
            spent, now = time.thread_time(), time.monotonic()
            look = tree.look(began) if target.program is None or target.program.poll() is None else None
            if look is None:
                break
            look.temp_bytes = temp.bytes()
            gpu_look(look, device)
            target.tell(look)
            found.looks += 1
            found.peak_memory = max(found.peak_memory, look.memory)
            found.peak_temp = max(found.peak_temp, look.temp_bytes)
            on_look(look)
            for alert in alerts.look(look, tree):
                found.alerts.append(alert)
                on_alert(alert)
            # The folder has a pace of its own, and the first look does much that no other has to do.
            cost = time.thread_time() - spent - temp.cost if found.looks > 1 else 0.0
            pause = max(every - (time.monotonic() - now), cost / SHARE)
            if duration is None or look.seconds + pause <= duration:
                _wait(target, pause, stopped)
                if not stopped():
                    continue
            still = "is running still; watching stopped" if target.program is None else "was stopped with the watching"
            found.ended, found.seconds = still, time.monotonic() - began
            return found
    found.seconds = time.monotonic() - began
    found.ended = "ended"
    if target.program is not None:
        found.code = target.program.wait()
        found.ended = f"ended with exit code {found.code}"
    if left := tree.left():
        cause = "started in the background and neither waited for nor ended"
        found.alerts.append(Alert("left running", found.seconds, ", ".join(left), cause))
        on_alert(found.alerts[-1])
    return found


def _wait(target: Target, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
    """Until the next look, or until the process ends."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stopped():
        # Not psutil's wait: of a child of this process it would take the exit code from whoever started it.
        if not runs(target.tree.root) if target.program is None else target.program.poll() is not None:
            return
        time.sleep(min(left, SLICE))


def system_temp() -> Path:
    return Path(tempfile.gettempdir())


def by_pid(pid: int) -> Target:
    """A process that runs already.  Raises `RequestError` when there is none."""
    try:
        tree = Tree(pid)
        if tree.root.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid)
    except psutil.NoSuchProcess:
        raise RequestError(f"there is no process {pid}", expected="the id of one that runs", files="") from None
    except psutil.AccessDenied:
        raise RequestError(f"process {pid} may not be looked at by this user", files="") from None
    temp = system_temp()
    with contextlib.suppress(psutil.Error, OSError):
        temp = Path(tree.root.environ().get("TMPDIR") or temp)
    return Target(tree, temp)


def by_job(queue: Any, number: int | None = None) -> Target:
    """A running job of a queue; the only running one when `number` is None.

    Raises `UnknownJob`, `JobBusy` when it does not run, `RequestError` when its process is not on this machine.
    """
    running = queue.jobs(("running",))
    if number is None:
        if len(running) != 1:
            names = ", ".join(str(j.id) for j in running) or "none"
            raise RequestError(f"jobs that run: {names}", expected="one, or a number (--job)", files="")
        number = running[0].id
    job = queue.job(number)
    if job.state != "running":
        raise JobBusy(f"job {number} is {job.state}", expected="one that runs", files="")
    for one in psutil.process_iter(["cmdline"]):
        if job.claim and job.claim in (one.info["cmdline"] or []):
            target = by_pid(one.pid)
            break
    else:
        raise RequestError(f"the process of job {number} is not to be seen", expected="one of this machine", files="")

    def tell(look: Look) -> None:
        with contextlib.suppress(UnknownJob, QueueFailed):
            now = queue.job(number)
            look.queue_latency = max(0.0, (now.started or now.added) - now.added)
            if now.progress:
                look.stage, look.frames_per_second = now.progress["stage"], now.progress["per_second"]
        look.lock_wait = queue.lock_wait()

    target.tell = tell
    return target


@contextlib.contextmanager
def opened(
    pid: int | None = None,
    *,
    command: str | Sequence[str] | None = None,
    job: int | None = None,
    queue: Path | str | None = None,
) -> Iterator[Target]:
    """What is asked for as a target: a process, a command (started, and ended with the `with`), or a running job.

    queue : the queue's file in place of the user's own; without `job`, its only running job.
    Raises `RequestError` unless it is one of them, `InputMissing` for no queue, and as the three ways do.
    """
    asked = (pid is not None) + (command is not None) + (job is not None or queue is not None)
    if asked != 1:
        raise RequestError(
            f"{asked} things to watch were given", expected="one of pid, command and job (or its queue)", files=""
        )
    if pid is not None:
        yield by_pid(pid)
    elif command is not None:
        words = process.words_of(command, find=False) if isinstance(command, str) else command
        with by_command(words) as target:
            yield target
    else:
        from toolkit.jobs import Queue
        from toolkit.jobs.queue import default_path

        path = Path(queue) if queue is not None else default_path()
        if not path.exists():  # opening would make it
            raise InputMissing(f"there is no queue {path}", files="")
        with contextlib.closing(Queue(path)) as held:
            yield by_job(held, job)


@contextlib.contextmanager
def by_command(words: Sequence[str]) -> Iterator[Target]:
    """A command, started with a folder of its own for temporary files; it and its process group end with the `with`.

    Lines of the toolkit's own JSON progress on its standard output give the stage and the frames per second.
    Raises `process.ProgramFailed` when it cannot be started.
    """
    with scratch.folder() as here:
        temp, log = here / "temporary", here / "said"
        temp.mkdir()
        env = {**os.environ, "TMPDIR": str(temp), "TEMP": str(temp), "TMP": str(temp)}
        env["VHS_TOOLKIT_SCRATCH"] = str(temp / "scratch")
        program = process.start(words, output=log, env=env)
        try:
            try:
                tree = Tree(program.pid)
            except psutil.Error:
                raise WorkError(f"{words[0]} ended before it could be looked at", files="") from None
            yield Target(tree, temp, lambda look: _tell_progress(look, log), program, log)
        finally:
            process.end(program)


def _tell_progress(look: Look, log: Path) -> None:
    for line in reversed(last_lines(log)):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            told = json.loads(line)
            look.stage, look.frames_per_second = str(told["stage"]), float(told["per_second"])
            return


def failure(code: int | None, log: Path | None) -> str:
    """A sentence on a watched command that failed, with its last words; "" for one that did not."""
    if not code or log is None:
        return ""
    said = [line for line in last_lines(log) if line.strip()][-1:] or ["it said nothing"]
    return f"the watched command failed with exit code {code}: {said[0]}"


def last_lines(log: Path, most: int = 4096) -> list[str]:
    """The last lines of a file, of at most so many bytes."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most))
        return file.read().decode(errors="replace").splitlines()
