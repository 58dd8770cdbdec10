"""Rules on files: opened and not closed, read whole to be hashed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.media import names_in
from toolkit.profiling.lint.mend import wrap
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_OPEN = ("builtins.open", "io.open", "gzip.open", "bz2.open", "lzma.open")
#: Functions that read or write an open file and leave it open.
_LEAVE_OPEN = {
    "json.load", "json.dump", "pickle.load", "pickle.dump", "yaml.safe_load", "yaml.load", "yaml.dump",
    "tomllib.load", "csv.reader", "builtins.list",
}  # fmt: skip
_READS = {"read", "readline", "readlines", "write", "writelines"}


def _mend_open(source: Source, node: Any) -> list[tuple[cst.CSTNode, Any]] | None:
    call = node if isinstance(node, cst.Call) else None
    if call is None:
        return None
    name = source.name_of(call)
    if name is not None:

        def closes(line: cst.CSTNode) -> bool:
            return isinstance(line, cst.SimpleStatementLine) and source.code(line.body[0]).strip() == f"{name}.close()"

        held = source.held(name, source.function(call))
        if held.stored or len(held.methods["close"]) != 1:
            return None
        return wrap(source, call, closes, item=cst.WithItem(call, cst.AsName(cst.Name(name))), name=name)
    return _mend_once(source, call)


def _mend_once(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    """`text = open(path).read()`, `data = json.load(open(path))` on lines of their own; `for line in open(path)`."""
    up = source.parents[call]
    name = next(n for n in ("file", "opened", "open_file") if n not in names_in(source.module))
    item = cst.WithItem(call, cst.AsName(cst.Name(name)))
    if isinstance(up, cst.For):
        if up.asynchronous is not None or not isinstance(source.parents[up], (cst.IndentedBlock, cst.Module)):
            return None
        loop = up.with_changes(iter=cst.Name(name), leading_lines=[])
        return [(up, cst.With([item], cst.IndentedBlock([loop]), leading_lines=up.leading_lines))]
    if isinstance(up, cst.Attribute):
        used = source.parents[up]  # open(path).read(...)
        if not isinstance(used, cst.Call) or any(True for a in used.args for _ in source.below(a, cst.Call)):
            return None
    elif isinstance(up, cst.Arg) and source.parents[up].args[0] is up:
        used = source.parents[up]  # json.load(open(path))
        if source.stands_for(used.func, "csv.reader"):
            return None  # it reads later
    else:
        return None  # an argument after others, whose order would change
    line = source.statement(call)
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return None
    small = source.parents[used]
    if not isinstance(small, (cst.Assign, cst.Return, cst.Expr)) or small is not line.body[0]:
        return None
    if isinstance(small, cst.Assign) and not all(isinstance(t.target, cst.Name) for t in small.targets):
        return None
    inner = line.deep_replace(call, cst.Name(name)).with_changes(leading_lines=[])  # type: ignore[union-attr]
    return [(line, cst.With([item], cst.IndentedBlock([inner]), leading_lines=line.leading_lines))]


@rule(
    "open-without-context",
    "io",
    summary="A file that is opened without a `with`",
    why="It stays open when anything goes wrong, and what was written may not be on the disk yet.",
    bad="""
        def size(path):
            text = open(path).read()
            return len(text)
        """,
    good="""
        def size(path):
            with open(path) as file:
                return len(file.read())
        """,
    mend=_mend_open,
    mended="the file is opened by `with open(...)`",
)
def open_without_context(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*_OPEN):
        up = source.parents[call]
        if isinstance(up, cst.Attribute) and up.attr.value in _READS:
            yield call, "nothing closes this file"
        elif isinstance(up, cst.For) and up.iter is call:
            yield call, "nothing closes this file when the loop ends early"
        elif isinstance(up, cst.Arg) and source.stands_for(source.parents[up].func, *_LEAVE_OPEN):
            yield call, "nothing closes this file"
        elif (name := source.name_of(call)) is not None:
            held = source.held(name, source.function(call))
            if held.entered or held.stored or "close" in held.reads or held.calls("__exit__"):
                continue
            closes = held.methods.get("close", [])
            if not closes and held.passed:
                continue
            safe = any(isinstance(u, (cst.Finally, cst.ExceptHandler)) for c in closes for u in source.above(c))
            nested = any(source.function(c) is not source.function(call) for c in closes)
            if not (safe or nested):
                yield call, f"{name} is closed only when nothing goes wrong" if closes else f"nothing closes {name}"


@rule(
    "whole-file-hash",
    "io",
    summary="A file read whole to be hashed",
    why="A tape is tens of gigabytes; hashing in pieces takes 256 KiB. hashlib.file_digest does it.",
    bad="""
        import hashlib

        def key(path):
            return hashlib.sha256(path.read_bytes()).hexdigest()
        """,
    good="""
        import hashlib

        def key(path):
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        """,
)
def whole_file_hash(source: Source) -> Iterator[tuple[Any, str]]:
    if not source.imports("hashlib"):
        return
    for call in source.all(cst.Call):
        name = source.qualified(call.func) or ""
        if not name.startswith("hashlib.") or not call.args:
            continue
        given = call.args[0].value
        values = [given, *(source.values(given) if isinstance(given, cst.Name) else [])]
        for value in values:
            if isinstance(value, cst.Call) and isinstance(value.func, cst.Attribute) and not value.args:
                whole = value.func.attr.value == "read" and set(_OPEN) & source.made_by(value.func.value)
                if value.func.attr.value == "read_bytes" or whole:
                    yield call, "the whole file is in memory to be hashed; use hashlib.file_digest"
