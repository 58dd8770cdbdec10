"""`vhs-toolkit queue`: whole collections, overnight, through whatever happens."""

from __future__ import annotations

import contextlib
import json as json_text
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from toolkit.commands.how import DEFAULTS, How

app = App(name="queue", help="Restores whole collections, job by job; survives crashes, reboots and changes of mind.")

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]
Where = Annotated[Path | None, Parameter(name="--queue", help="The queue's file, in place of your own one.")]
Numbers = Annotated[list[int], Parameter(help="Numbers of jobs, see status.", negative="")]


def _open(where: Path | None, make: bool = False) -> Any:
    """The queue.  One that was named and is not there is made only where it is about to be filled."""
    from toolkit.errors import InputMissing
    from toolkit.jobs import Queue

    if where is not None and not make and not where.exists():
        raise InputMissing(f"there is no queue {where}", hint=f"vhs-toolkit queue add TAPE --queue {where}")
    return Queue(where)


@app.command
def add(
    inputs: Annotated[list[Path], Parameter(negative="")],
    *,
    to: Path | None = None,
    output: Path | None = None,
    ending: Literal[".mp4", ".mkv", ".mov"] = ".mp4",
    priority: int = 0,
    tries: int = 3,
    after: Annotated[list[int] | None, Parameter(negative="")] = None,
    how: How = DEFAULTS,
    queue: Where = None,
    json: Json = False,
) -> None:
    """Adds a job for each of INPUTS: files, folders (all video in them), or patterns such as "tapes/*.avi".

    All are added or, when one cannot be, none.  What the preset says now counts, also when it is changed later.

    Parameters
    ----------
    to
        Folder of the results; without it each lies beside its tape, as NAME.restored.mp4.
    output
        The result's name, for a single input.
    ending
        What kind of file to write.
    priority
        0 or more; higher goes first.
    tries
        How often a job is begun at most when it fails by no fault of the request.
    after
        Numbers of jobs that must be done first.
    """
    from toolkit.errors import RequestError
    from toolkit.jobs import Wish
    from toolkit.jobs.adding import check_wishes
    from toolkit.jobs.queue import default_path

    preset, steps = how.steps()
    found = _expanded(inputs)
    if output is not None and len(found) != 1:
        raise RequestError(f"--output names one file and there are {len(found)} inputs", hint="--to FOLDER")
    wishes = [
        Wish(path, output or _output(path, to, ending), preset, steps, how.settings(), priority, tries,
             tuple(after or ()))
        for path in found
    ]  # fmt: skip
    if not (queue or default_path()).exists():
        check_wishes(wishes)  # so that a refused request leaves no empty queue behind
    numbers = _open(queue, make=True).add(wishes)
    rows = [{"id": n, "source": str(w.source), "output": str(w.output)} for n, w in zip(numbers, wishes, strict=True)]
    _show(rows, json, "\n".join(f"{r['id']:>5}  {r['source']} -> {r['output']}" for r in rows))


def _expanded(inputs: list[Path]) -> list[Path]:
    import glob

    from toolkit.errors import InputMissing
    from toolkit.jobs.watch import videos_in

    found: list[Path] = []
    for path in inputs:
        more = [path]
        if path.is_dir():
            more = videos_in(path)
        elif not path.exists() and glob.has_magic(str(path)):
            more = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        if not more:
            raise InputMissing(
                f"there is no video in {path}", expected="a video file, a folder with some, or a pattern"
            )
        found += more
    return found


def _output(path: Path, to: Path | None, ending: str) -> Path:
    return to / f"{path.stem}{ending}" if to is not None else path.with_name(f"{path.stem}.restored{ending}")


@app.command
def run(
    *,
    workers: int = 1,
    until: str | None = None,
    then: str | None = None,
    watch_folder: Path | None = None,
    to: Path | None = None,
    preset: str = "vhs",
    ending: Literal[".mp4", ".mkv", ".mov"] = ".mp4",
    scheduler: str | None = None,
    queue: Where = None,
    json: Json = False,
) -> None:
    """Runs the waiting jobs until none is left, and prints a summary.  Ctrl-C stops; the next run goes on.

    Parameters
    ----------
    workers
        Jobs at a time, each in a process of its own.
    until
        HH:MM, when to stop; what is unfinished goes on with the next run.
    then
        A command to run at the end, for ten minutes at most; it gets the summary as JSON on its standard input.
    watch_folder
        Add what is put into this folder, once it is completely written, and go on until Ctrl-C.
    to
        Folder for the results of the watched folder; another one than that.
    preset
        Preset for the watched folder.
    ending
        What kind of file to write from the watched folder.
    scheduler
        Address of a Dask scheduler, over whose workers the segments of every tape are spread.
    """
    from dataclasses import asdict

    from toolkit import process
    from toolkit.jobs.worker import parse_until, work

    words = None if then is None else process.words_of(then)
    end = None if until is None else parse_until(until)
    folder = None if watch_folder is None else _watched(watch_folder, to, preset, ending)
    found = work(
        _open(queue, make=folder is not None),
        workers=workers,
        until=end,
        folder=folder,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        scheduler=scheduler,
    )
    _show(asdict(found), json, found)
    if words:
        summary = json_text.dumps(asdict(found)).encode()
        process.run(words, timeout=600, input=summary, files="the jobs are as the summary says")


def _watched(folder: Path, to: Path | None, preset: str, ending: str) -> Any:
    from toolkit.errors import RequestError
    from toolkit.jobs import Wish
    from toolkit.jobs.watch import WatchedFolder
    from toolkit.presets import preset as find

    if to is None or (to.exists() and folder.exists() and to.samefile(folder)):
        raise RequestError(
            "a watched folder needs another folder for its results", hint="--to FOLDER", files="no job was added"
        )
    chosen = find(preset)
    return WatchedFolder(folder, lambda path: Wish(path, _output(path, to, ending), chosen))


@app.command
def status(
    *, watch: Annotated[bool, Parameter(negative="")] = False, limit: int = 100, queue: Where = None, json: Json = False
) -> None:
    """Lists the jobs, how far they are and why they failed.

    Parameters
    ----------
    watch
        Show it again every second while there is something to be done, until Ctrl-C.
    limit
        At most so many jobs; -1 for all.
    """
    from toolkit.jobs import status as look
    from toolkit.jobs.claims import Claims

    found = _open(queue)
    claims = Claims(found)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            claims.reap()
            now = look(found, limit)
            if watch and not json and sys.stdout.isatty():
                print("\033[H\033[2J", end="")
            _show(now.to_dict(), json, now)
            if not watch or not (now.counts["pending"] or now.counts["running"]):
                return
            time.sleep(1)


@app.command
def cancel(numbers: Numbers, *, queue: Where = None) -> None:
    """Cancels jobs, also running ones; their unfinished files are removed."""
    _open(queue).cancel(*numbers)


@app.command
def pause(numbers: Numbers, *, queue: Where = None) -> None:
    """Keeps jobs back; running ones stop and go on after "resume" where they stopped."""
    _open(queue).pause(*numbers)


@app.command
def resume(numbers: Numbers, *, queue: Where = None) -> None:
    """Lets paused jobs wait for their turn again."""
    _open(queue).resume(*numbers)


@app.command
def retry(numbers: Numbers, *, queue: Where = None) -> None:
    """Puts failed or cancelled jobs back; failed ones go on where they stopped."""
    _open(queue).retry(*numbers)


@app.command
def move(number: int, place: int, *, queue: Where = None) -> None:
    """Makes job NUMBER the PLACE-th of those that wait; 1 is next."""
    _open(queue).move(number, place)


@app.command
def clear(*, failed: Annotated[bool, Parameter(negative="")] = False, queue: Where = None, json: Json = False) -> None:
    """Takes done and cancelled jobs off the list; their outputs stay.

    Parameters
    ----------
    failed
        Failed ones too.
    """
    count = _open(queue).clear(("done", "cancelled", "failed") if failed else ("done", "cancelled"))
    _show({"cleared": count}, json, f"{count} jobs taken off the list")


def _show(data: Any, as_json: bool, text: Any) -> None:
    print(json_text.dumps(data, default=str) if as_json else text, flush=True)
