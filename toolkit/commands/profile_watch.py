"""`vhs-toolkit profile watch` and `temp`: a run looked at from outside while it works."""

from __future__ import annotations

import contextlib
import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from toolkit.profiling.looks import Look

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]


def watch(
    pid: int | None = None,
    *,
    command: str | None = None,
    job: int | None = None,
    queue: Path | None = None,
    every: float = 1.0,
    duration: float | None = None,
    output: Path | None = None,
    json: Json = False,
    memory: str = "4GB",
    temp_per_hour: str = "10GB",
    temp_over: float = 60.0,
    cpu: float = 95.0,
    cpu_for: float = 300.0,
    gpu: float = 60.0,
    gpu_for: float = 30.0,
    open_files: int = 1000,
    zombies_for: float = 5.0,
) -> None:
    """Watches a run from outside until it ends: memory, temporary files, processor, GPU, disk, frames per second.

    Alerts say what was seen and the likely cause.

    Parameters
    ----------
    pid
        Number of a process that runs.
    command
        A command to start and watch, in quotes; it reads no input, and what it says is not shown.
    job
        Number of a running job of the queue; says also how long it was queued, and how long one waits to write there.
    queue
        The queue's file, in place of your own one; without --job its only running job.
    every
        Seconds between two looks; more where looking would take over 1 % of a core.
    duration
        Most seconds to watch.  A command that runs still is ended then.
    output
        Every look into a .jsonl or .parquet file; written over.
    memory
        Alert above so much memory of all its processes.
    temp_per_hour
        Alert when temporary files grow faster than this an hour ...
    temp_over
        ... over so many seconds.
    cpu
        Alert when the machine's processor is busier than so many per cent ...
    cpu_for
        ... for so many seconds.
    gpu
        Alert when the GPU is busy for less than so many per cent while the run works and has opened it ...
    gpu_for
        ... for so many seconds.
    open_files
        Alert above so many open files.
    zombies_for
        Alert when a child that ended was not waited for in so many seconds.
    """
    from toolkit.errors import WorkError
    from toolkit.profiling import watch as watching
    from toolkit.profiling.alerts import Limits
    from toolkit.profiling.looks import Look
    from toolkit.profiling.records import Records
    from toolkit.settings import parse_bytes

    limits = Limits(
        float(parse_bytes(memory)), float(parse_bytes(temp_per_hour)), temp_over,
        cpu / 100, cpu_for, gpu / 100, gpu_for, open_files, zombies_for,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(watching.opened(pid, command=command, job=job, queue=queue))
        records = None if output is None else stack.enter_context(Records(output, Look))
        if not json:
            print(HEAD.replace("stage", f"{JOB_HEAD}  stage") if command is None and pid is None else HEAD)

        def on_look(look: Look) -> None:
            if records is not None:
                records.add(look)
            _say({"event": "look", **vars(look)}, json, _line(look))

        found = watching.watch(
            target, every=every, duration=duration, limits=limits, on_look=on_look,
            on_alert=lambda alert: _say({"event": "alert", **vars(alert)}, json, alert),
        )  # fmt: skip
        _say({"event": "end", **found.to_dict()}, json, found)
        failed = watching.failure(found.code, target.log)
    if failed:
        raise WorkError(failed, files="")


def temp(
    *,
    duration: float = 3600.0,
    command: str | None = None,
    folder: Path | None = None,
    every: float = 0.5,
    rate: str = "10GB",
    over: float = 60.0,
    json: Json = False,
) -> None:
    """Says how temporary files grow, who makes them and what is left of them.

    Parameters
    ----------
    duration
        Seconds to watch, or fewer when the command ends.
    command
        A command to start and watch, in quotes.  Its temporary files go into a folder of its own, removed at the end.
    folder
        This folder in place of the system's one, or of the command's own one.
    every
        Seconds between two looks; more where looking would take over 1 % of a core.
    rate
        Alert when the files grow faster than this an hour ...
    over
        ... over so many seconds.
    """
    from toolkit.errors import WorkError
    from toolkit.profiling import temporary, watch
    from toolkit.settings import parse_bytes

    with contextlib.ExitStack() as stack:
        target = stack.enter_context(watch.opened(command=command)) if command is not None else None
        here = folder or (target.temp if target else watch.system_temp())
        found = temporary.follow(
            here, target, every=every, duration=duration, rate=parse_bytes(rate), over=over,
            on_alert=lambda alert: None if json else print(alert, file=sys.stderr),
        )  # fmt: skip
        print(json_module.dumps(found.to_dict()) if json else found)
        failed = watch.failure(found.code, target.log if target else None)
    if failed:
        raise WorkError(failed, files="")


def _say(data: dict[str, Any], as_json: bool, text: Any) -> None:
    print(json_module.dumps(data, default=vars) if as_json else text, flush=True)


HEAD = "       s  memory MiB  temp MiB  cpu %  gpu %  read MiB/s  write MiB/s  files  processes     fps  stage"
JOB_HEAD = "queued s  lock ms"


def _line(look: Look) -> str:
    def told(value: float | None, width: int, unit: float = 1.0, digits: int = 0) -> str:
        return f"{'-' if value is None else f'{value / unit:.{digits}f}':>{width}}"

    mib, job = 2.0**20, []
    if look.lock_wait is not None:  # of a job
        job = [told(look.queue_latency, 8, digits=1), told(look.lock_wait, 7, 1e-3, 1)]
    return "  ".join([
        told(look.seconds, 8, digits=1), told(look.memory, 10, mib), told(look.temp_bytes, 8, mib, 1),
        told(look.cpu, 5, 0.01), told(look.gpu, 5, 0.01), told(look.read_rate, 10, mib, 1),
        told(look.write_rate, 11, mib, 1), told(look.open_files, 5), told(look.processes, 9),
        told(look.frames_per_second, 6, digits=1), *job, look.stage or "",
    ]).rstrip()  # fmt: skip
