"""Everything that can go wrong, as one tree.

    ToolkitError                      the base; `exit_code` is what the command line returns
    |-- RequestError        exit 2    the request was wrong; nothing was started
    |   |-- UnknownName               no such preset, stage, kernel, knob or model (near names are offered)
    |   |-- KnobError                 a knob's value is out of range or of the wrong kind
    |   |-- InputMissing              the input path is not there, or is a folder
    |   |-- OutputRefused             the output exists, equals the input, or its folder cannot be written
    |   |   `-- ResumeRefused         what is to go on was begun with another tape, pipeline, version or setting
    |   |-- UnknownJob                there is no job of that number
    |   |-- JobBusy                   the job is in a state in which this cannot be done
    |   |-- TrackMissing              the tape has no such sound track (a `SoundError` as well)
    |   |-- DeviceMissing             CUDA was asked for and cannot be had
    |   `-- WeightsError              a weight file is missing, damaged, unsafe or of another architecture
    `-- WorkError           exit 1    the work failed
        |-- InputUnreadable           empty, not a video, no picture, no frames, encrypted, too small
        |-- OutputFailed              writing failed: disk full, encoder error
        |-- OutputCheckFailed         the written file broke a promise (frame count, times, aspect, colour, sound)
        |-- QueueFailed               the queue's file cannot be read or written
        |-- PictureError              frames that do not fit a stage (size, dtype, layout)
        |-- SoundError                sound that cannot be processed as asked
        |-- ProgramFailed             a program did not start, took too long or failed (in `toolkit.process`)
        `-- ValidationFailed          tests do not pass with a patch (in `toolkit.profiling.validate`)

Every message is one sentence that says what was given, what was expected, what happened to the user's files and
what to try.  Warnings that a program may want to catch are `ToolkitWarning`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

NOTHING_WRITTEN = "nothing was written"
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def is_disk_full(error: BaseException) -> bool:
    """Whether writing failed for want of room: on the disk, in a quota, or under a limit on a file's size."""
    return getattr(error, "errno", None) in _FULL


class ToolkitError(Exception):
    """The base of every error the toolkit raises on purpose.

    `given` says what was found, `expected` what was wanted, `files` what happened to the user's files, `hint` what
    to try. `str()` joins them into the one sentence the command line prints.
    """

    exit_code = 1

    def __init__(self, given: str, *, expected: str = "", files: str = NOTHING_WRITTEN, hint: str = "") -> None:
        self.given, self.expected, self.files, self.hint = given, expected, files, hint
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = self.given
        if self.expected:
            text += f"; expected {self.expected}"
        if self.files:
            text += f"; {self.files}"
        if self.hint:
            text += f"; {self.hint}" if self.hint.startswith("did you mean") else f"; try: {self.hint}"
        return " ".join(text.split())

    def tell_of_files(self, files: str) -> None:
        """Puts another word on the user's files: whoever raises an error deep inside cannot know what is kept."""
        self.files = files
        self.args = (self._sentence(),)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback: the sentence (`%debug` still reaches the rest)."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple:  # an error of a worker crosses to another process as it is
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type, args: tuple, state: dict) -> ToolkitError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class RequestError(ToolkitError):
    exit_code = 2


class UnknownName(RequestError):
    """No such name. `near` holds the names offered instead."""

    def __init__(self, kind: str, name: str, known: Iterable[str], **more: str) -> None:
        known = sorted(known)
        self.kind, self.name, self.known = kind, name, known
        self.near = _near(name, known)
        hint = f"did you mean {' or '.join(self.near)}?" if self.near else ""
        more.setdefault("hint", hint)
        more.setdefault("expected", f"one of {', '.join(known)}")
        super().__init__(f"there is no {kind} named {name!r}", **more)


class KnobError(RequestError):
    pass


def _near(name: str, known: list[str]) -> list[str]:
    """Names like `name`.  Of "denoise.nlmean" only what stands behind the point counts: all begin alike."""
    group, point, short = name.partition(".")
    if not point or not all(k.startswith(f"{group}.") for k in known):
        return difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    found = difflib.get_close_matches(short, [k.partition(".")[2] for k in known], n=3, cutoff=0.5)
    return [f"{group}.{n}" for n in found]


class InputMissing(RequestError):
    pass


class OutputRefused(RequestError):
    pass


class ResumeRefused(OutputRefused):
    pass


class UnknownJob(RequestError):
    pass


class JobBusy(RequestError):
    pass


class DeviceMissing(RequestError):
    pass


class WeightsError(RequestError):
    pass


class WorkError(ToolkitError):
    exit_code = 1


class InputUnreadable(WorkError):
    pass


class OutputFailed(WorkError):
    pass


class OutputCheckFailed(WorkError):
    pass


class QueueFailed(WorkError):
    pass


class PictureError(WorkError):
    pass


class SoundError(WorkError):
    pass


class TrackMissing(RequestError, SoundError):
    """No such sound track.  Asked for by name or number, so another try would end alike; exit 2."""


class ToolkitWarning(UserWarning):
    """Something was mended or left out and the work went on: a truncated file, a broken packet."""
