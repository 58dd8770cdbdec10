"""The only place that starts a program.

Every program gets a time limit and a process group of its own; its pipes are drained, and it and its children are
ended (asked first, then killed) and reaped on success, error, timeout, Ctrl-C and interpreter exit.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import RequestError, WorkError

GRACE = 2.0  # seconds between asking a program to end and killing it
NICE = 5  # of a program that makes way: a third of the share of one that does not
_running: set[subprocess.Popen] = set()


class ProgramFailed(WorkError):
    """A program could not be started, ran past its time limit, or exited with an error."""


@dataclass(frozen=True)
class Result:
    """What a program gave back.  stdout and stderr are bytes."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run(
    command: Sequence[str | os.PathLike],
    *,
    timeout: float,
    input: bytes | None = None,
    check: bool = True,
    files: str = "",
) -> Result:
    """Runs `command` (never through a shell) for at most `timeout` seconds.

    files : what an error says of the user's files; what a program did to them is known to the caller alone.
    Raises `ProgramFailed` when it cannot be started, does not end in time or, unless `check=False`, exits non-zero.
    """
    words = [os.fspath(word) for word in command]
    group = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x200}  # new process group
    try:
        program = subprocess.Popen(
            words,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **group,
        )
    except OSError as error:
        raise ProgramFailed(
            f"the program {words[0]!r} could not be started ({error.strerror})",
            files=files,
            hint="is it installed and on the PATH?",
        ) from error
    _running.add(program)
    try:
        out, err = program.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired:
        end(program)
        raise ProgramFailed(
            f"{words[0]!r} was still running after {timeout:g} s and was ended", files=files, hint="a longer time limit"
        ) from None
    finally:
        # Also when it ended by itself: a grandchild may hold on in the group.
        end(program)
        _running.discard(program)
    if check and program.returncode != 0:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ProgramFailed(f"{words[0]!r} failed with exit code {program.returncode}: {last[0]}", files=files)
    return Result(program.returncode, out, err)


def words_of(command: str, *, find: bool = True) -> list[str]:
    """The words of a command line as the system's shell would part them.

    find : whether its program must be on the PATH by now.
    Raises `RequestError` when they cannot be read or there is no such program: before the work instead of after it.
    """
    try:
        words = shlex.split(command, posix=os.name == "posix")  # elsewhere a backslash parts folders
    except ValueError as error:
        raise RequestError(
            f"the command {command!r} cannot be read ({str(error).lower()})", expected="words as in a shell", files=""
        ) from None
    if not words:
        raise RequestError("an empty command was to be run", expected="a program and its words", files="")
    if find and shutil.which(words[0]) is None:
        raise RequestError(
            f"there is no program {words[0]!r} that may be run", hint="its whole path, or the PATH", files=""
        )
    return words


def start(
    command: Sequence[str | os.PathLike],
    *,
    output: Path,
    env: Mapping[str, str] | None = None,
    makes_way: bool = False,
) -> subprocess.Popen:
    """Starts a program that works beside this one; all it says goes to the file `output`.

    Whoever starts it watches it (`poll`) and gives it back to `end`, also when it ended by itself.  Its standard input
    is a pipe that nobody writes to: it closes when this process is gone, however that came about.
    env       : its whole environment, in place of this process's own.
    makes_way : it and what it starts run at a lower priority: a notebook's sliders answer beside it.
    Raises `ProgramFailed` when it cannot be started.
    """
    words = [os.fspath(word) for word in command]
    # On Windows: a new process group, and BELOW_NORMAL_PRIORITY_CLASS.
    group = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x200 | makes_way * 0x4000}
    with output.open("wb") as file:
        try:
            program = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, env=env, **group
            )  # fmt: skip
        except OSError as error:
            raise ProgramFailed(
                f"the program {words[0]!r} could not be started ({error.strerror})", files=""
            ) from error
    _running.add(program)
    if os.name == "posix":
        nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + makes_way * NICE)
        if nice > 0:
            _make_way(program.pid, nice)
    return program


def _make_way(pid: int, nice: int) -> None:
    # Now, while it has one thread: those that come inherit it.  A session of its own is a group of its own to Linux's
    # scheduler where autogroups are on, and there only the group's niceness counts, which is not inherited.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def end(program: subprocess.Popen, grace: float = GRACE, patience: float | None = None) -> None:
    """Ends `program` and its process group: asked first, killed after `grace` seconds; reaped, pipes closed.

    patience : seconds to wait for one that was killed to be gone, for those who have a hand waiting.  It does nothing
               any more, but on a busy machine it gets its turn to go late; a thread reaps it then.
    """
    _running.discard(program)
    if program.poll() is None:
        _signal(program, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(grace)
    _signal(program, getattr(signal, "SIGKILL", signal.SIGTERM))
    try:
        program.wait(patience)
    except subprocess.TimeoutExpired:
        # lint: ignore[thread-left-running] it ends with a program that was killed
        threading.Thread(target=program.wait, name="vhs-reap", daemon=True).start()
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _signal(program: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(program.pid, number)  # the group outlives its leader while children are left
        elif program.poll() is None:
            program.terminate()


@atexit.register
def _end_all() -> None:
    for program in list(_running):
        end(program)
