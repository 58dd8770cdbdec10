"""A watched folder: what is put there becomes a job once it is completely written."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from toolkit.errors import InputMissing, ToolkitError
from toolkit.jobs.queue import Queue
from toolkit.jobs.wish import Wish

#: Files of these endings are taken from a folder.
ENDINGS = (".avi", ".dv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".vob", ".wmv")


def videos_in(folder: Path) -> list[Path]:
    """The video files right in a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.is_file())


class WatchedFolder:
    """Adds a job for each video that comes to lie in `folder`.

    wish    : what to do with a file.
    settled : seconds for which a file's size and time of change must have stood still.  (Looked at again and again
              rather than told by the system, which says nothing of changes on network drives.)

    Raises `InputMissing` when there is no such folder.
    """

    def __init__(
        self,
        folder: Path,
        wish: Callable[[Path], Wish],
        settled: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            raise InputMissing(f"there is no folder {folder} to watch", hint="create it first", files="")
        self.folder, self._wish, self._settled, self._clock = folder, wish, settled, clock
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}  # what a file looked like, and since when
        self._handled: dict[Path, tuple[int, int]] = {}
        self._gone = False

    def look(self, queue: Queue) -> list[str]:
        """Looks once; returns a line for each file that was taken or could not be.

        A folder that cannot be read for a while (a network drive) is said once and looked for again.
        """
        told, now = [], self._clock()
        try:
            found = videos_in(self.folder)
        except OSError as error:
            first, self._gone = not self._gone, True
            return [f"the folder {self.folder} cannot be read ({error.strerror}); it is looked for again"] * first
        if self._gone:
            self._gone = False
            told.append(f"the folder {self.folder} can be read again")
        known = queue.sources()
        for path in map(Path.absolute, found):
            try:
                stat = path.stat()
            except OSError:
                continue  # gone again
            looks = (stat.st_size, stat.st_mtime_ns)
            if self._handled.get(path) == looks or known.get(path, float("-inf")) >= stat.st_mtime:
                continue
            before, since = self._seen.get(path, (None, now))
            if looks != before:
                self._seen[path] = (looks, now)
            elif now - since >= self._settled and stat.st_size:
                self._handled[path] = looks
                try:
                    told.append(f"job {queue.add([self._wish(path)])[0]}: {path} was put into the folder")
                except ToolkitError as error:
                    told.append(f"{path} was put into the folder and cannot be a job: {error}")
        return told
