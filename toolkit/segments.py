"""The journal that makes a run resumable: finished segments of the encoded picture, kept beside the output.

    tape.mp4.parts/journal.jsonl      what the run is, then one line for each segment that was finished
    tape.mp4.parts/000003.packets     the pictures of segment 3, from an encoder of its own
    tape.mp4.parts/000003.states.npz  with what recursive steps begin segment 4

A segment's files are on the disk under their final names before its line is written, and every line carries its own
checksum, so whatever moment a kill or a power cut hits, the journal names only what is whole.  Finished segments are
verified against the SHA-256 in their line before they are used; one that does not match is made again.

States are thinned out: those in the middle of what is finished take no more room than the largest segment does, so
that the folder stays below the output and one segment more.  What is damaged is then made again from further back.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from toolkit.errors import NOTHING_WRITTEN, OutputFailed, ResumeRefused, is_disk_full
from toolkit.identity import differences, digest_of, with_threads

_JOURNAL, _LOCK = "journal.jsonl", "lock"


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    pictures       : how many are in it.
    packets, states : SHA-256 of its files; `states` None where no step is recursive.
    seen           : digest of the tape's frame from which the next segment's reading begins, None at the tape's end.
    """

    number: int
    pictures: int
    packets: str
    states: str | None
    seen: str | None


class Journal:
    """The folder `OUT.parts`, held by one process at a time.  Use it as a context manager.

    run      : what determines the output's bytes; compared with what the folder was begun with.
    segments : the numbers of the finished segments, and how many pictures each has.  (All else stays in the file: a
               long tape has many.)

    Raises `ResumeRefused` when they differ (the first differences are named) or another process is at it.
    """

    def __init__(self, output: Path, run: dict[str, Any]) -> None:
        self.output, self.folder = output, parts_of(output)
        self.segments: dict[int, int] = {}
        self.begin: dict[str, Any] | None = None
        self.end: dict[str, int] | None = None
        self._states: dict[int, int] = {}  # bytes of those that are kept
        self._largest = 0  # bytes of packets in a segment
        made = not self.folder.exists()
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = filelock.FileLock(self.folder / _LOCK)
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ResumeRefused(
                f"another process is writing {output} at this moment", hint="wait for it, or choose another name"
            ) from None
        except OSError as error:
            raise writing_failed(f"writing {self.folder}", error) from error
        try:
            self.run = self._settle(run)
        except BaseException as error:
            if made:
                shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.release()
            if isinstance(error, OSError):
                raise writing_failed(f"writing {self.folder}", error) from error
            raise

    def _settle(self, run: dict[str, Any]) -> dict[str, Any]:
        lines = list(_lines(self.folder / _JOURNAL))
        if not (self.folder / _JOURNAL).exists():
            run = with_threads(run, None)
            _write_whole(self.folder / _JOURNAL, _line({"run": run}))
            return run
        if not lines or "run" not in lines[0]:
            raise ResumeRefused(
                f"{self.folder} holds a journal whose beginning is damaged", hint=f"delete {self.folder} to begin anew"
            )
        begun = lines[0]["run"]
        run = with_threads(json.loads(json.dumps(run)), begun)
        told = list(differences(begun, run))
        if told:
            more = f" (and {len(told) - 3} more)" if len(told) > 3 else ""
            raise ResumeRefused(
                f"{self.output} was begun with other settings: {'; '.join(told[:3])}{more}",
                files=f"what is finished was kept in {self.folder}",
                hint=f"the first settings again to go on, or delete {self.folder} to begin anew",
            )
        for line in lines[1:]:
            if "segment" in line:
                self.segments[line["segment"]["number"]] = line["segment"]["pictures"]
            self.begin, self.end = line.get("begin", self.begin), line.get("end", self.end)
        if self.begin is None:  # its line was damaged: without it no segment can be placed
            self.segments.clear()
        return run

    # -- what is there -------------------------------------------------------------------------------------------

    def packets(self, number: int) -> Path:
        return self.folder / f"{number:06d}.packets"

    def states(self, number: int) -> Path:
        return self.folder / f"{number:06d}.states.npz"

    def verify(self) -> tuple[list[int], list[int]]:
        """Forgets the segments whose files are not what was written, and removes files of none.

        Returns their numbers, and those of whole ones that are made again to come to what is missing, because no state
        was kept between.
        """
        told = self._told()
        damaged = [n for n in self.segments if not self._whole(told[n])]
        for number in damaged:
            del self.segments[number]
        before: list[int] = []
        for number in sorted(self.segments, reverse=True):
            if (self._leads_on(number) or number + 1 in before) and self._lacks_states(told[number]):
                before.append(number)
        known = {_JOURNAL, _LOCK}
        for number in self.segments:
            known |= {self.packets(number).name, self.states(number).name}
            self._take_note(number)
        for path in self.folder.iterdir():
            if path.name not in known and path.name.endswith((".packets", ".npz", ".new")):
                path.unlink()
        return damaged, before

    def _told(self) -> dict[int, Segment]:
        """All that the file says of segments; what was written last counts."""
        lines = (line["segment"] for line in _lines(self.folder / _JOURNAL) if "segment" in line)
        return {one["number"]: Segment(**one) for one in lines}

    def seen(self, number: int) -> str | None:
        """The digest of the frame from which reading begins after finished segment `number`."""
        return self._told()[number].seen

    def _whole(self, segment: Segment) -> bool:
        states = self.states(segment.number)
        return digest_of(self.packets(segment.number)) == segment.packets and (
            not states.exists() or digest_of(states) == segment.states
        )

    def _leads_on(self, number: int) -> bool:
        """Whether the segment after this one is still to be made."""
        return number + 1 not in self.segments and (self.end is None or number + 1 < self.end["segments"])

    def _lacks_states(self, segment: Segment) -> bool:
        return segment.states is not None and not self.states(segment.number).exists()

    def _take_note(self, number: int) -> None:
        self._largest = max(self._largest, self.packets(number).stat().st_size)
        if self.states(number).exists():
            self._states[number] = self.states(number).stat().st_size

    def gap(self) -> tuple[int, int | None] | None:
        """The first run of segments to be made: `(first, stop)`, stop None up to the tape's end; None when all are.

        It begins where the steps have the states that they begin with; what is finished there is made once more.
        """
        total = self.end["segments"] if self.end else None
        first = next(n for n in range(len(self.segments) + 1) if n not in self.segments)
        if first == total:
            return None
        stop, told = min((n for n in self.segments if n > first), default=total), self._told()
        while first and self._lacks_states(told[first - 1]):
            first -= 1
        return first, stop

    def load_states(self, number: int) -> dict[int, list[np.ndarray]]:
        """The states after segment `number`, by step: one array for each plane."""
        found: dict[int, list[np.ndarray]] = {}
        if number in self.segments and self._told()[number].states is not None:
            with np.load(self.states(number), allow_pickle=False) as file:
                for name in sorted(file.files, key=lambda n: tuple(map(int, n.split("_")))):
                    step, plane = map(int, name.split("_"))
                    states = found.setdefault(step, [])
                    states += [None] * (plane - len(states))  # a plane that its step leaves alone has none
                    states.append(file[name])
        return found

    # -- what is added -------------------------------------------------------------------------------------------

    def add_begin(self, **facts: Any) -> None:
        self.begin = facts
        self._append({"begin": facts})

    def add(
        self, segment: Segment, states: dict[int, list[np.ndarray | None]], end: dict[str, int] | None = None
    ) -> None:
        """Takes in a segment whose packets lie, whole, under `new_packets(number)`; `end` when it is the last."""
        if states:
            new = self.states(segment.number).with_suffix(".new")
            with new.open("wb") as file:
                arrays = {f"{s}_{p}": a for s, planes in states.items() for p, a in enumerate(planes) if a is not None}
                np.savez(file, **arrays)
                _sync(file)
            segment = Segment(**{**asdict(segment), "states": digest_of(new)})
            os.replace(new, self.states(segment.number))
        os.replace(self.new_packets(segment.number), self.packets(segment.number))
        _sync_folder(self.folder)
        self._append({"segment": asdict(segment)} | ({"end": end} if end else {}))
        self.segments[segment.number], self.end = segment.pictures, end or self.end
        self._take_note(segment.number)
        self._thin_out()

    def _thin_out(self) -> None:
        """Removes states until they take no more room than a segment; of those that nothing waits for, every second
        one, then every second one that is left."""
        spare, step = [n for n in self._states if not self._leads_on(n)], 1
        while spare and sum(self._states.values()) > self._largest:
            step *= 2
            for number in [n for n in spare if (n + 1) % step]:
                self.states(number).unlink(missing_ok=True)
                del self._states[number]
                spare.remove(number)

    def new_packets(self, number: int) -> Path:
        """Where the packets of a segment grow."""
        return self.folder / f"{number:06d}.packets.new"

    def add_end(self, end: dict[str, int]) -> None:
        """Notes how many segments and frames of the tape there are."""
        self.end = end
        self._append({"end": end})

    def add_joined(self, whole: Path) -> None:
        """Notes that `whole`, which takes the output's name next, is the finished file."""
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        self._append({"joined": _mark(whole)})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with (self.folder / _JOURNAL).open("rb+") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # a kill cut the last line short
                        file.write(b"\n")
                file.write(_line(entry))
                _sync(file)
        except OSError as error:
            kept = self.folder if self.segments else None
            raise writing_failed(f"writing {self.folder / _JOURNAL}", error, kept) from error

    def remove(self) -> None:
        """Takes the folder away; what it held is in the output.

        It loses its name first, so that a kill in between leaves nothing that looks like an unfinished run.
        """
        done = _cleared(self.output)
        if done.exists():
            shutil.rmtree(done)
        os.replace(self.folder, done)
        shutil.rmtree(done, ignore_errors=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder.is_dir() and not self.segments:
            shutil.rmtree(self.folder, ignore_errors=True)  # nothing was finished, so there is nothing to go on with
        self._lock.release()


def writing_failed(what: str, error: Exception, kept: Path | None = None) -> OutputFailed:
    """The error for a run that could not write; `kept` is where its finished segments lie, None without any."""
    return OutputFailed(
        f"{what} failed: {getattr(error, 'strerror', None) or error}",
        files=f"the segments that are finished were kept in {kept}" if kept else NOTHING_WRITTEN,
        hint=("free some space" if is_disk_full(error) else "look at the disk") + ", then give the same command again",
    )


def parts_of(output: Path) -> Path:
    """The folder beside `output` in which its segments are kept."""
    return output.with_name(output.name + ".parts")


def _cleared(output: Path) -> Path:
    return output.with_name(output.name + ".parts.done")


def clear_up(output: Path) -> None:
    """Removes what a run left that was killed after `output` was whole and checked, while it cleared up."""
    shutil.rmtree(_cleared(output), ignore_errors=True)


def is_joined(output: Path) -> bool:
    """Whether `output` is the finished file of its own journal, whose folder was only not taken away yet."""
    if not output.exists():
        return False
    marks = [line["joined"] for line in _lines(parts_of(output) / _JOURNAL) if "joined" in line]
    return bool(marks) and marks[-1] == _mark(output)


def _mark(path: Path) -> list[int]:
    stat = path.stat()  # none of these change when a file is renamed
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns]


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        if line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(line[9:]):
            yield json.loads(line[9:])


def _write_whole(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        _sync(file)
    os.replace(new, path)
    _sync_folder(path.parent)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
