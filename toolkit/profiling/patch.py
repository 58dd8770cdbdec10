"""Mends in Python files what `lint` finds and can be mended safely: a diff first, and nobody's open work is touched."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst

from toolkit import process
from toolkit.errors import OutputFailed, RequestError, UnknownName
from toolkit.profiling.lint.check import UNCHANGED, UnreadableSource, findings, python_files, read
from toolkit.profiling.lint.rule import Rule, all_rules
from toolkit.profiling.lint.source import Source

_GIT_LIMIT = 60.0  # seconds
_MOST = 1000  # places in one file; a mend that never comes to an end is a defect


@dataclass(frozen=True)
class Change:
    """What would be written into one file.  `places` counts what is mended by rule; `encoding` is the file's."""

    path: Path
    before: str
    after: str
    places: dict[str, int]
    encoding: str = "utf-8"

    def diff(self) -> str:
        """The change as a unified diff."""
        name = self.path.as_posix().lstrip("/")
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def patches() -> tuple[Rule, ...]:
    """The rules whose findings can be mended."""
    return tuple(rule for rule in all_rules() if rule.mendable)


def chosen(name: str) -> tuple[Rule, ...]:
    """The patch of that name, or all of them for "all".  Raises `UnknownName` with near names."""
    known = {rule.id: rule for rule in patches()}
    if name == "all":
        return tuple(known.values())
    if name not in known:
        raise UnknownName("patch", name, ["all", *known], files=UNCHANGED)
    return (known[name],)


def mended(source: Source, rules: Sequence[Rule]) -> tuple[str, dict[str, int]]:
    """The text after every place that can be mended safely, and how many places of each rule there were.

    A place with `# lint: ignore[rule] reason` stays as it is.
    """
    places: dict[str, int] = {}
    for _ in range(_MOST):
        step = next(_steps(source, rules), None)
        if step is None:
            return source.text, places
        rule, pairs = step
        module: Any = source.module
        for old, new in pairs:
            module = new if old is module else module.deep_replace(old, new)
        places[rule.id] = places.get(rule.id, 0) + 1
        source = Source(module.code, source.path, source.encoding)
    raise OutputFailed(f"mending {source.path} did not come to an end", files=UNCHANGED)


def _steps(source: Source, rules: Sequence[Rule]) -> Iterator[tuple[Rule, list[tuple[cst.CSTNode, Any]]]]:
    for rule in rules:
        for finding, place in findings(source, [rule]):
            if finding.mendable and rule.mend is not None:
                yield rule, rule.mend(source, place) or []


def plan(paths: Sequence[str | Path], rules: Sequence[Rule]) -> tuple[list[Change], list[tuple[Path, str]]]:
    """What `rules` would change below `paths`, and the files that are no readable Python.  Writes nothing.

    Raises `InputMissing` and `RequestError` as `lint` does.
    """
    changes, unread = [], []
    for path in python_files(paths):
        try:
            source = read(path)
        except UnreadableSource as error:
            unread.append((path, str(error)))
            continue
        after, places = mended(source, rules)
        if places:
            changes.append(Change(path, source.text, after, places, source.encoding))
    return changes, unread


def apply(changes: Sequence[Change], *, force: bool = False) -> None:
    """Writes the changes, each file whole or not at all.

    Raises `RequestError` before anything is written when a file has changes that are not committed, or is in no
    git repository at all (`force` writes all the same), and `OutputFailed` when writing fails.
    """
    if not force:
        loose = [change.path for change in changes if not committed(change.path)]
        if loose:
            raise RequestError(
                f"{', '.join(map(str, loose))} {'has' if len(loose) == 1 else 'have'} changes that are not in git",
                expected="files whose text is committed, so that nothing can be lost",
                files=UNCHANGED,
                hint="commit first, or --force",
            )
    for index, change in enumerate(changes):
        try:
            _write(change)
        except OSError as error:
            done = ", ".join(str(c.path) for c in changes[:index])
            files = f"mended before: {done}" if done else UNCHANGED
            raise OutputFailed(f"{change.path} could not be written ({error.strerror})", files=files) from None


def committed(path: Path) -> bool:
    """Whether git holds the file as it is on the disk."""
    here = path.resolve()
    git = ["git", "-C", str(here.parent)]
    try:
        tracked = process.run([*git, "ls-files", "--error-unmatch", here.name], timeout=_GIT_LIMIT, check=False)
        status = process.run([*git, "status", "--porcelain", "--", here.name], timeout=_GIT_LIMIT, check=False)
    except process.ProgramFailed:
        return False
    return tracked.returncode == 0 and status.returncode == 0 and not status.stdout.strip()


def _write(change: Change) -> None:
    """Under a name of its own beside the file, then moved over it, with the file's own permissions."""
    target = change.path.resolve()  # a link stays a link
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(change.after.encode(change.encoding))
            file.flush()
            os.fsync(file.fileno())
        part.chmod(target.stat().st_mode & 0o7777)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
