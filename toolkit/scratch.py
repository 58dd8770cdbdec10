"""The only place that makes a temporary folder.

    with scratch.folder() as here: ...

Folders are named after the process that owns them (id and start time).  They go when the `with` ends, by success,
error or Ctrl-C; after a kill -9 or a power cut the next start of the toolkit removes those whose owner is gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil


def root() -> Path:
    """The folder that holds all scratch folders: `VHS_TOOLKIT_SCRATCH`, else one in the system's temporary folder."""
    chosen = os.environ.get("VHS_TOOLKIT_SCRATCH")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / "vhs-toolkit-scratch"


#: Seconds by which two tellings of a process's start may differ: a clock that is set moves them.
CLOCK = 3600


def _begun(pid: int) -> int:
    return int(psutil.Process(pid).create_time() * 100)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A fresh empty folder for the time of the `with`, gone with everything in it afterwards.

    Raises `OSError` when the place for temporary files cannot be written (set VHS_TOOLKIT_SCRATCH to another one).
    """
    sweep()
    here = root() / f"{os.getpid()}-{_begun(os.getpid())}-{secrets.token_hex(4)}"
    while not here.exists():
        root().mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process, the last one out, removed the root meanwhile
            here.mkdir(mode=0o700)
    try:
        yield here
    finally:
        shutil.rmtree(here, ignore_errors=True)
        with contextlib.suppress(OSError):
            root().rmdir()  # succeeds only for the last one out


def sweep() -> list[Path]:
    """Removes what dead processes left behind; returns the folders that were removed."""
    gone = []
    with contextlib.suppress(FileNotFoundError):
        for path in root().iterdir():
            pid, begun, *_ = *path.name.split("-"), ""
            if not pid.isdigit():
                continue
            try:
                # The start tells the owner from a later process that was given the same id.
                alive = begun.isdigit() and abs(_begun(int(pid)) - int(begun)) <= 100 * CLOCK
            except psutil.NoSuchProcess:
                alive = False
            except psutil.AccessDenied:
                alive = True
            if not alive:
                shutil.rmtree(path, ignore_errors=True)
                gone.append(path)
    return gone
