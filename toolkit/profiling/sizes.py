"""How much the files in a folder hold, while others write and delete there: what vanishes meanwhile counts nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def file_stats(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Path and `lstat` of every file in `folder` and below."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with contextlib.suppress(OSError):
                yield path, os.lstat(path)


def bytes_under(folder: Path) -> int:
    """The lengths of all files together."""
    return sum(stat.st_size for _, stat in file_stats(folder))


def disk_bytes(folder: Path) -> dict[str, int]:
    """For every file the bytes that it takes up on the disk: fewer than its length where it has holes."""
    return {path: getattr(s, "st_blocks", -(-s.st_size // 512)) * 512 for path, s in file_stats(folder)}


def folder_bytes(folder: Path) -> int:
    """The bytes that all files take up on the disk."""
    return sum(disk_bytes(folder).values())
