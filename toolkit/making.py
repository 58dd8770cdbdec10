"""What makes segments: encodes them, and remembers how the tape looked where later ones begin to read."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av

from toolkit.clip import Batch
from toolkit.media.packets import PacketFile
from toolkit.segments import Segment, writing_failed


class SegmentMaker:
    """Encodes what the compute thread sends: batches, and the ends of segments as `(states, digest, end)`."""

    def __init__(self, runner: Any, first: int) -> None:
        self._runner, self._number = runner, first
        self._file: PacketFile | None = None

    def __call__(self, item: Any) -> None:
        runner, journal = self._runner, self._runner.journal
        try:
            if isinstance(item, Batch):
                if self._file is None:
                    self._file = PacketFile(journal.new_packets(self._number), runner.encoding)
                runner.context.timed("write", lambda: self._file.write(item))
                runner.progress.step(len(item))
            else:
                checksum = runner.context.timed("write", self._file.close)
                states, seen, end = item
                journal.add(Segment(self._number, self._file.frames, checksum, None, seen), states, end)
                self._file, self._number = None, self._number + 1
        except (av.error.FFmpegError, OSError) as error:
            kept = journal.folder if self._number else None
            raise writing_failed(f"writing segment {self._number} of {runner.output}", error, kept) from error

    def abort(self) -> None:
        """Removes what is not finished; harmless when all is."""
        if self._file is not None:
            self._file.abort()


class Seen:
    """Takes the digest of the frame at which each later segment's reading begins.

    at : number of the first frame that is watched; `looked_at` says which frame matters for a segment.
    """

    def __init__(self, looked_at: Callable[[int], int], at: int, first: int) -> None:
        self._looked_at, self._at = looked_at, at
        self._numbers = (looked_at(k) for k in itertools.count(first + 1))
        self._digests: dict[int, str] = {}

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        due = next(self._numbers)
        for batch in batches:
            while due < self._at + len(batch):
                self._digests[due] = digest(batch[due - self._at :])
                due = next(self._numbers)
            self._at += len(batch)
            yield batch

    def before(self, segment: int) -> str:
        """The digest for a segment; those of the segments before it are forgotten."""
        due = self._looked_at(segment)
        self._digests = {at: found for at, found in self._digests.items() if at >= due}
        return self._digests[due]


def digest(batch: Batch) -> str:
    """A digest of the first frame of `batch`: its samples and its time."""
    found = hashlib.sha256(f"{batch.pts[0]} {batch.durations[0]}".encode())
    for plane in batch.planes:
        found.update(plane[0].tobytes())
    return found.hexdigest()


def dropped(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """The same frames without the first `count`."""
    for batch in batches:
        skip = min(count, len(batch))
        count -= skip
        if skip < len(batch):
            yield batch[skip:]
