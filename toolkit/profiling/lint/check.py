"""Looks through Python files with every rule: `lint(paths)` -> `Report`."""

from __future__ import annotations

import io
import os
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst

from toolkit.errors import InputMissing, RequestError
from toolkit.profiling.lint.ignores import ignores
from toolkit.profiling.lint.rule import Finding, Rule, all_rules
from toolkit.profiling.lint.source import Source

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
UNCHANGED = "nothing was changed"


@dataclass(frozen=True)
class Report:
    """What was found.

    findings : sorted by file and line.  files, lines : how much was read.
    unread   : `(path, reason)` of the files that are no readable Python.
    """

    findings: tuple[Finding, ...]
    files: int
    lines: int
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def clean(self) -> bool:
        return not self.findings and not self.unread


def lint(paths: Sequence[str | Path], rules: Iterable[Rule] | None = None) -> Report:
    """Finds leaks and wasted work in Python files and in all that lie in folders.

    Raises `InputMissing` for a path that is not there and `RequestError` for one that holds no Python.  A file that
    cannot be parsed is named in `unread`, and the rest goes on.
    """
    chosen = tuple(rules) if rules is not None else all_rules()
    found: list[Finding] = []
    unread: list[tuple[str, str]] = []
    files = python_files(paths)
    lines = 0
    for path in files:
        try:
            source = read(path)
            found += [finding for finding, _ in findings(source, chosen)]
            lines += source.text.count("\n")
        except UnreadableSource as error:
            unread.append((str(path), str(error)))
    return Report(tuple(sorted(found)), len(files), lines, tuple(unread))


class UnreadableSource(Exception):
    """The file is not Python that can be read; the text says where and why."""


def read(path: Path) -> Source:
    """The tree of a file, in the encoding that the file declares.  Raises `UnreadableSource`."""
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return Source(data.decode(encoding), path, encoding)
    except cst.ParserSyntaxError as error:
        reason = error.message.partition("\n")[0]
        raise UnreadableSource(f"line {error.raw_line}: {reason}") from None
    except (SyntaxError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise UnreadableSource(str(error).partition("\n")[0] or type(error).__name__) from None
    except RecursionError:
        raise UnreadableSource("nested too deeply to be read") from None
    except OSError as error:
        raise UnreadableSource(error.strerror or str(error)) from None


def findings(source: Source, rules: Iterable[Rule]) -> Iterator[tuple[Finding, Any]]:
    """The findings in one file that no comment silences, each with the node (or line) it is about."""
    silenced = ignores(source.text)
    for rule in rules:
        for place, message in rule.check(source):
            first, last, column = _span(source, place)
            if rule.category != "ignore" and any(rule.id in i.rules and first <= i.speaks_of <= last for i in silenced):
                continue
            if isinstance(place, int):
                line = end = place
            else:
                where = source.position(place)
                line, end = where.start.line, where.end.line
            mendable = rule.mend is not None and rule.mend(source, place) is not None
            yield Finding(str(source.path), line, column, rule.id, message, end, mendable), place


def _span(source: Source, place: Any) -> tuple[int, int, int]:
    """First and last line on which a comment speaks of `place`, and its column."""
    if isinstance(place, int):
        return place, place, 1
    where = source.position(place)
    statement = source.statement(place)
    if isinstance(statement, cst.SimpleStatementLine):
        whole = source.position(statement)
        return whole.start.line, whole.end.line, where.start.column + 1
    if isinstance(place, cst.BaseCompoundStatement):
        return where.start.line, where.start.line, where.start.column + 1
    return where.start.line, where.end.line, where.start.column + 1


def python_files(paths: Sequence[str | Path]) -> list[Path]:
    """The Python files named or lying below; hidden folders, environments and caches are left out."""
    found: dict[Path, None] = {}
    for given in map(Path, paths):
        if given.is_dir():
            below = list(_walk(given))
            if not below:
                raise RequestError(
                    f"the folder {given} holds no Python file", expected="files that end in .py", files=UNCHANGED
                )
            found.update(dict.fromkeys(below))
        elif not given.exists():
            raise InputMissing(f"there is no {given}", expected="a Python file or a folder", files=UNCHANGED)
        elif given.suffix not in (".py", ".pyi"):
            raise RequestError(f"{given} is no Python file", expected="a name that ends in .py", files=UNCHANGED)
        else:
            found[given] = None
    if not found:
        raise RequestError("no path was given", expected="Python files or folders", files=UNCHANGED)
    return list(found)


def _walk(top: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(top):
        folders[:] = sorted(
            f
            for f in folders
            if f not in _SKIPPED and not f.startswith(".") and not Path(here, f, "pyvenv.cfg").exists()
        )
        yield from (Path(here, n) for n in sorted(names) if n.endswith(".py"))
