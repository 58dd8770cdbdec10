"""Rules on temporary files and folders: names without files, folders and files that nobody removes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument, called, is_true
from toolkit.profiling.lint.media import names_in
from toolkit.profiling.lint.mend import keyword, wrap
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_REMOVE = {"remove", "unlink", "replace", "rename", "move", "rmtree", "cleanup", "removedirs"}
_CLEANS = re.compile(r"clean(_?up)?$|clean_?(up|temp|tmp|dir|folder|files?)")
_LATER = {"addCleanup", "callback", "register", "finalize", "addfinalizer", "push"}


@rule(
    "temp-name",
    "memory",
    summary="A temporary name without a file (tempfile.mktemp)",
    why="""The name is free when it is made and may be taken when it is used, and no one owns the file that is then
        written: it stays after every error.""",
    bad="""
        import tempfile

        path = tempfile.mktemp(suffix=".wav")
        """,
    good="""
        import tempfile

        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(b"...")
        """,
)
def temp_name(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("tempfile.mktemp"):
        yield call, "mktemp() gives a name that another process can take first, for a file that nobody removes"


def _mend_folder(source: Source, call: cst.Call) -> list[tuple[cst.CSTNode, Any]] | None:
    """`d = mkdtemp(); ...; rmtree(d)` becomes `with TemporaryDirectory() as d: ...`."""
    name = source.name_of(call)
    function = source.function(call)
    if name is None or _leaves(source, name, function, aliases=False):
        return None
    if not isinstance(call.func, cst.Attribute):
        return None  # the import would have to change too
    removals = [
        c
        for c in source.below(function, cst.Call)
        if source.stands_for(c.func, "shutil.rmtree") and c.args and _mentions(c.args[0].value, name)
    ]
    if len(removals) != 1 or not source.dropped(removals[0]) or not isinstance(removals[0].args[0].value, cst.Name):
        return None
    args = list(call.args)
    if len(removals[0].args) > 1:
        if len(removals[0].args) > 2 or not is_true(argument(removals[0], "ignore_errors", 1)):
            return None
        if args:
            args[-1] = args[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        args.append(keyword("ignore_cleanup_errors", "True"))
    made = call.with_changes(func=call.func.with_changes(attr=cst.Name("TemporaryDirectory")), args=args)

    def removes(line: cst.CSTNode) -> bool:
        return source.statement(removals[0]) is line

    return wrap(source, call, removes, item=cst.WithItem(made, cst.AsName(cst.Name(name))), name=name)


@rule(
    "temp-folder-kept",
    "memory",
    summary="mkdtemp() without a `with` or a `finally` that removes the folder",
    why="The folder and all in it stay on the disk when anything goes wrong before it is removed, or for ever.",
    bad="""
        import shutil
        import tempfile

        def convert(clip):
            folder = tempfile.mkdtemp()
            clip.extract(folder)
            shutil.rmtree(folder)
        """,
    good="""
        import tempfile

        def convert(clip):
            with tempfile.TemporaryDirectory() as folder:
                clip.extract(folder)
        """,
    mend=_mend_folder,
    mended="the folder is made by `with tempfile.TemporaryDirectory()`, which also removes it after an error",
)
def temp_folder_kept(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("tempfile.mkdtemp"):
        value, up = call, source.parents[call]
        if isinstance(up, cst.Arg) and source.stands_for(source.parents[up].func, "pathlib.Path"):
            value = source.parents[up]
        name, function = source.name_of(value), source.function(call)
        if source.dropped(value):
            yield call, "the folder is made and its name forgotten"
        elif name is None:
            joined = isinstance(up, cst.BinaryOperation) or (
                isinstance(up, cst.Arg) and source.stands_for(source.parents[up].func, "os.path.join")
            )
            if joined:
                yield call, "the folder's own name is lost, so nothing can remove it"
        elif _cleaned(source, name, function) is False:
            yield call, f"{name} is removed only when nothing goes wrong before"
        elif _cleaned(source, name, function) is None and not _leaves(source, name, function):
            yield call, f"nothing removes the folder {name}"


@rule(
    "temp-file-kept",
    "memory",
    summary="mkstemp() or NamedTemporaryFile(delete=False) whose file nobody removes or moves",
    why="Each call leaves one file; a job of many tapes fills the disk.",
    bad="""
        import tempfile

        def draw(page):
            with tempfile.NamedTemporaryFile("wb", delete=False) as file:
                file.write(page)
            show(file.name)
        """,
    good="""
        import os
        import tempfile

        def save(path, data):
            with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, path)
        """,
)
def temp_file_kept(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("tempfile.mkstemp", "tempfile.NamedTemporaryFile"):
        if source.stands_for(call.func, "tempfile.NamedTemporaryFile"):
            keep = argument(call, "delete")
            if not (isinstance(keep, cst.Name) and keep.value == "False"):
                continue
        function, up = source.function(call), source.parents[call]
        if isinstance(up, cst.WithItem):
            names = names_in(up.asname.name) if up.asname else set()
        elif isinstance(up, cst.Assign):
            if any(isinstance(n, cst.Attribute) for t in up.targets for n in source.below(t.target, cst.Attribute)):
                continue  # kept by an object, which may remove it later
            names = {n for t in up.targets for n in names_in(t.target)}
        elif source.dropped(call):
            names = set()
        else:
            continue
        removed = any(called(c) in _REMOVE | _LATER for c in source.below(function, cst.Call))
        if not removed and not any(_leaves(source, name, function) for name in names):
            yield call, "nothing removes or moves this file"


def _mentions(node: cst.CSTNode, name: str) -> bool:
    return name in names_in(node)


def _cleaned(source: Source, name: str, function: Any) -> bool | None:
    """True when the folder goes in any case, False when only after success, None when no one removes it."""
    found = None
    for call in source.below(function, cst.Call):
        if not any(_mentions(a.value, name) for a in call.args):
            continue
        if called(call) in _LATER or _CLEANS.search(called(call).lower()):
            return True
        if called(call) in ("rmtree", "rmdir", "removedirs"):
            if any(source.inside(call, t.finalbody) for t in source.above(call, cst.Try) if t.finalbody):
                return True
            found = bool(source.function(call) is not function) or found or False
    return found


def _leaves(source: Source, name: str, function: Any, aliases: bool = True) -> bool:
    """Whether the value, or one made from it, is returned, yielded or kept by an object."""
    names = {name}
    if aliases:
        for _ in range(3):
            for node in source.below(function, cst.Assign):
                if names & names_in(node.value):
                    if any(not isinstance(t.target, (cst.Name, cst.Tuple)) for t in node.targets):
                        return True
                    names |= {n for t in node.targets for n in names_in(t.target)}
    shared = {i.name.value for g in source.below(function, cst.Global, cst.Nonlocal) for i in g.names}
    if names & shared:
        return True
    kept = (
        a
        for a in source.below(function, cst.Assign)
        if any(isinstance(t.target, (cst.Attribute, cst.Subscript)) for t in a.targets) and names & names_in(a.value)
    )
    if next(kept, None) is not None:
        return True
    given = source.below(function, cst.Return, cst.Yield)
    return any(g.value is not None and names & names_in(g.value) for g in given)
