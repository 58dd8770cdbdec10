"""What a resumed run must have in common with the one that was interrupted, and how differences are named."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIECE = 1 << 20


def tape_identity(path: Path) -> dict[str, Any]:
    """What tells a tape from another: its length, time of change, and a digest of its beginning, middle and end."""
    stat, found = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        for at in (0, stat.st_size // 2, max(0, stat.st_size - _PIECE)):
            file.seek(at)
            found.update(file.read(_PIECE))
    return {"bytes": stat.st_size, "changed": stat.st_mtime_ns, "content": found.hexdigest()}


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file, None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def with_threads(run: dict[str, Any], begun: dict[str, Any] | None) -> dict[str, Any]:
    """`run` with a fixed number of encoder threads, on which the bytes of x264 and x265 depend."""
    encoder = run["encoder"]
    threads = encoder.get("threads") or (begun["encoder"]["threads"] if begun else os.cpu_count() or 1)
    return {**run, "encoder": {**encoder, "threads": threads}}


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """ "encoder crf: 18 then, 20 now" for each thing that differs between two nested settings."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for n, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{name} {n}")
    elif old != new:
        yield f"{name}: {_short(old)} then, {_short(new)} now"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
