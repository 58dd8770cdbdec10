"""What a worker of a cluster does: looks whether it can take part, and makes one segment of another machine's run."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.clip import Batch, Clip, PictureFormat
from toolkit.errors import InputUnreadable, WorkError
from toolkit.identity import differences, digest_of, tape_identity
from toolkit.making import digest
from toolkit.notes import warnings_noted
from toolkit.pipeline import GIB, Pipeline
from toolkit.progress import Progress
from toolkit.resumable import ResumableRunner
from toolkit.runner import versions
from toolkit.segments import Segment
from toolkit.soundtrack import SoundPlan

#: Two threads in parallel Numba code would end the process.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Task:
    """All that a worker needs to make segments of a tape; plain data, the same for every segment."""

    tape: Path
    output: Path
    folder: Path
    run: dict[str, Any]  # what the journal was begun with
    begin: dict[str, Any]
    picture: PictureFormat
    frames: tuple[int, int | None]
    settings: dict[str, Any]
    length: int
    warm_up: int
    max_memory: int = 2 * GIB

    def problem(self) -> str | None:
        """Why this machine cannot take part, None when it can."""
        run = self.run
        if not self.tape.is_file():
            return f"does not see the tape {self.tape}"
        told = tape_identity(self.tape)
        if (told["bytes"], told["content"]) != (run["tape"]["bytes"], run["tape"]["content"]):
            return f"sees another tape under the name {self.tape}"
        if not self.folder.is_dir():
            return f"does not see the output's folder {self.folder}"
        if not os.access(self.folder, os.W_OK | os.X_OK):
            return f"may not write into the output's folder {self.folder}"
        here = versions()
        other = list(differences({n: run["version of"][n] for n in here}, here))
        if other:
            return f"has another version ({other[0].replace(' then', ' here').replace(' now', ' there')})"
        if any(digest_of(Path(name)) != found for name, found in run["weights"].items()):
            return "does not see the same weight files"
        if run["cores"] not in (None, os.cpu_count()):
            return f"has {os.cpu_count()} cores, on which the bytes of x265 depend, and not {run['cores']}"
        return None


@dataclass
class Made:
    """What came of a segment.

    segment : None where the tape has ended before it.   head : digest of the frame that its reading began with.
    """

    number: int
    seek: bool
    segment: Segment | None = None
    head: str | None = None
    path: Path | None = None
    end: dict[str, int] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _PastTheEnd(InputUnreadable):
    pass


class _Slip:
    """What stands in for the journal on a worker: takes in one segment and leaves the folder's other files alone."""

    def __init__(self, task: Task, made: Made) -> None:
        self.run, self.begin, self.folder, self._made = task.run, task.begin, task.folder, made
        # A name of its own: the task of a worker that was taken for dead may still be at work.
        self._path = task.folder / f"{made.number:06d}.{secrets.token_hex(4)}.packets.new"

    def load_states(self, number: int) -> dict[int, Any]:
        return {}

    def new_packets(self, number: int) -> Path:
        return self._path

    def add(self, segment: Segment, states: dict[int, Any], end: dict[str, int] | None = None) -> None:
        self._made.segment, self._made.path, self._made.end = segment, self._path, end

    @property
    def end(self) -> dict[str, int] | None:
        return self._made.end

    def add_end(self, end: dict[str, int]) -> None:
        self._made.end = end


class _Hand(ResumableRunner):
    """Makes one segment of a run whose journal another process keeps."""

    def __init__(self, task: Task, made: Made) -> None:
        pipeline = Pipeline.from_dict(task.run)
        plan = pipeline.plan(task.picture, max_memory=task.max_memory, device=task.run["device"])
        sound = SoundPlan((), "")
        super().__init__(
            Clip.open(task.tape), task.output, plan, sound, task.frames, True, task.settings, Progress(), [],
            segment=1.0, wish={},
        )  # fmt: skip
        self.length, self.warm_up = task.length, task.warm_up
        self.journal, self.made = _Slip(task, made), made
        self._recall()

    def _is_due(self, first: int, head: Batch) -> bool:
        self.made.head = digest(head)  # whoever keeps the journal judges
        return True

    def _settle_clock(self, head: Batch) -> None:
        self.made.head = digest(head)

    def _no_frames(self) -> InputUnreadable:
        return _PastTheEnd("there are no frames")


def make_segment(task: Task, number: int, seek: bool) -> Made:
    """Makes one segment; runs on a worker.  Raises `WorkError`."""
    if problem := task.problem():
        raise WorkError(f"the worker on {platform.node()} {problem}", files="what is finished was kept")
    made = Made(number, seek)
    with _one_at_a_time, warnings_noted(made.notes):
        hand = _Hand(task, made)
        with contextlib.suppress(_PastTheEnd):
            hand._make(number, number + 1, seek)
    made.seconds = hand.context.seconds
    return made


def look(task: Task, token: str) -> str | None:
    """Why a worker cannot take part, None when it can; what it sees of a folder it says by writing beside `token`."""
    if problem := task.problem():
        return problem
    try:
        if (task.folder / f"{token}.new").read_text() != token:
            return f"sees another folder under the name {task.folder}"
        (task.folder / f"{token}.{secrets.token_hex(4)}.new").write_text(token)
    except OSError as error:
        return f"cannot share the output's folder {task.folder} ({error.strerror})"
    return None
