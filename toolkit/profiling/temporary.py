"""`profile temp`: how temporary files grow, who makes them, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from toolkit.errors import InputMissing, RequestError
from toolkit.profiling.alerts import GB, MIB, Alert, temp_rate
from toolkit.profiling.looks import Tree, runs
from toolkit.profiling.sizes import disk_bytes
from toolkit.profiling.watch import SHARE, Target, _wait


@dataclass
class Made:
    """A file that came to be, or grew, while it was watched.  bytes : the most; left : now, 0 when it was removed."""

    path: str
    maker: str
    bytes: int
    left: int = 0


@dataclass
class Moment:
    """seconds since the beginning, bytes and number of all files in the folder."""

    seconds: float
    bytes: int
    files: int


@dataclass
class Temporary:
    """What became of a folder."""

    folder: str
    seconds: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    code: int | None = None

    @property
    def left(self) -> list[Made]:
        return [m for m in self.made if m.left]

    def makers(self) -> dict[str, tuple[int, int, int]]:
        """For each maker: files, bytes, and bytes left; the one with the most bytes first."""
        found: dict[str, tuple[int, int, int]] = {}
        for m in self.made:
            files, held, left = found.get(m.maker, (0, 0, 0))
            found[m.maker] = (files + 1, held + m.bytes, left + m.left)
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"makers": self.makers()}

    def __str__(self) -> str:
        first, last = self.moments[0].bytes, self.moments[-1].bytes
        most = max(m.bytes for m in self.moments)
        lines = [f"{self.folder}: {first / MIB:.1f} MiB, at most {most / MIB:.1f}, in the end {last / MIB:.1f} MiB, "
                 f"{self.seconds:.1f} s"]  # fmt: skip
        for maker, (files, held, left) in self.makers().items():
            lines.append(f"{maker}: {files} files, {held / MIB:.1f} MiB, left {left / MIB:.1f} MiB")
        for m in sorted(self.left, key=lambda m: -m.left)[:20]:
            lines.append(f"left: {m.path} ({m.left / MIB:.1f} MiB, by {m.maker})")
        if len(self.left) > 20:
            lines.append(f"and {len(self.left) - 20} more (--json)")
        return "\n".join(lines if self.made else [*lines, "no file came to be or grew"])


def follow(
    folder: Path,
    target: Target | None = None,
    *,
    every: float = 0.5,
    duration: float = 3600.0,
    rate: float = 10 * GB,
    over: float = 60.0,
    on_alert: Callable[[Alert], None] = lambda alert: None,
) -> Temporary:
    """Looks at a folder so many seconds, or until a command (`watch.by_command`) ends, whichever is first.

    rate : bytes an hour, over the last `over` seconds, beyond which there is an alert.
    The maker of a file is who was seen to have it open; of one that was opened and closed between two looks, the
    command, or else the user who owns it.  Raises `InputMissing`, `RequestError`.
    """
    if every <= 0 or duration <= 0 or rate <= 0 or over <= 0:
        raise RequestError("a time or rate of 0 or less was asked for", expected="more than 0", files="")
    if not folder.is_dir():
        raise InputMissing(f"there is no folder {folder}", files="")
    found, makers, most, high = Temporary(str(folder)), {}, {}, False
    before = sizes = disk_bytes(folder)
    began = time.monotonic()
    while True:
        spent, now = time.thread_time(), time.monotonic()
        running = target is None or target.program.poll() is None
        if target is not None and running:
            target.tree.look(began)  # so that its children are known
        sizes = disk_bytes(folder)
        found.moments.append(Moment(now - began, sum(sizes.values()), len(sizes)))
        grown = {path for path, held in sizes.items() if held > before.get(path, -1)}
        if unknown := grown - makers.keys():
            makers |= _holders(unknown, target.tree if target else None)
        for path in grown:
            most[path] = max(most.get(path, 0), sizes[path])
        speed = temp_rate([(m.seconds, m.bytes) for m in found.moments[-1000:]], over)
        if (too_fast := speed is not None and speed > rate) and not high:
            now_held = {path: sizes[path] for path in most if path in sizes}
            biggest = max(now_held, key=now_held.__getitem__, default="")
            who = makers.get(biggest) or _unseen(biggest, target)
            seen = f"temporary files grow by {speed / GB:.1f} GB an hour, more than {rate / GB:g} GB"
            found.alerts.append(Alert("temporary", now - began, seen, f"{who} makes files such as {biggest}"))
            on_alert(found.alerts[-1])
        high = too_fast
        if not running or now - began >= duration:
            break
        pause = max(every - (time.monotonic() - now), (time.thread_time() - spent) / SHARE)
        pause = min(pause, max(0.01, duration - (now - began)))
        if target is None:
            time.sleep(pause)
        else:
            _wait(target, pause)
    found.seconds = time.monotonic() - began
    found.code = target.program.poll() if target else None
    for path, held in most.items():
        found.made.append(Made(path, makers.get(path) or _unseen(path, target), held, sizes.get(path, 0)))
    return found


def _holders(paths: set[str], tree: Tree | None) -> dict[str, str]:
    """Who has these files open, as far as this user may see."""
    real = {os.path.realpath(path): path for path in paths}
    found = {}
    for process in psutil.process_iter() if tree is None else list(tree.ones):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or not runs(process):
                continue
            for file in process.open_files():
                if file.path in real:
                    found[real[file.path]] = f"{process.name()} ({process.pid})"
    return found


def _unseen(path: str, target: Target | None) -> str:
    if target is not None:
        return f"{target.tree.name} or a child, closed before it was seen"
    with contextlib.suppress(OSError, KeyError, ImportError):
        import pwd

        return f"user {pwd.getpwuid(os.lstat(path).st_uid).pw_name}, closed before it was seen"
    return "not seen"
