"""Rules on memory and temporary files: names without files, folders and files nobody removes, lists that only grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.media import frame_loops, gives_frames, guarded, names_in, same_function
from toolkit.profiling.lint.mend import keyword, wrap
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source, argument, is_true, number, spread

_REMOVE = {"remove", "unlink", "replace", "rename", "move", "rmtree", "cleanup", "removedirs"}
_LATER = {"addCleanup", "callback", "register", "finalize", "addfinalizer", "push"}
_SHRINK = {"pop", "popleft", "clear", "remove", "popitem"}


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
        removed = any(_last_name(c) in _REMOVE | _LATER for c in source.below(function, cst.Call))
        if not removed and not any(_leaves(source, name, function) for name in names):
            yield call, "nothing removes or moves this file"


@rule(
    "endless-list",
    "memory",
    summary="A list that grows in an endless loop and is never shortened",
    why="A monitor that runs for days collects samples until the memory is gone.",
    bad="""
        import time

        def watch(read):
            samples = []
            while True:
                samples.append(read())
                time.sleep(5)
        """,
    good="""
        import time
        from collections import deque

        def watch(read):
            samples = deque(maxlen=1000)
            while True:
                samples.append(read())
                time.sleep(5)
        """,
)
def endless_list(source: Source) -> Iterator[tuple[Any, str]]:
    for loop in source.all(cst.While):
        if not is_true(loop.test) or _ends(source, loop):
            continue
        for call in source.below(loop.body, cst.Call):
            if _last_name(call) not in ("append", "extend") or not isinstance(call.func, cst.Attribute):
                continue
            grown = call.func.value
            made = source.values(grown)
            if not made or not same_function(source, call, loop) or any(source.inside(v, loop) for v in made):
                continue
            lists = all(isinstance(v, cst.List) or source.code(v) == "list()" for v in made)
            within = loop if isinstance(grown, cst.Name) else next(source.above(loop, cst.ClassDef), source.module)
            if lists and not _shrinks(source, source.code(grown), within, assigned=len(made) > 1):
                yield call, f"{source.code(grown)} grows in every round of a loop that never ends"


@rule(
    "whole-clip-in-memory",
    "memory",
    summary="All frames of a clip collected in a list",
    why="One hour of PAL in RGB is 112 GB; memory must not grow with the length of a tape.",
    bad="""
        import av

        def frames(path):
            with av.open(path) as container:
                return list(container.decode(video=0))
        """,
    good="""
        import av

        def frames(path):
            with av.open(path) as container:
                yield from container.decode(video=0)
        """,
)
def whole_clip_in_memory(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls("builtins.list", "builtins.tuple"):
        if call.args and gives_frames(source, call.args[0].value):
            yield call, "all frames of the clip are held at once"
    for made in source.all(cst.ListComp):
        loop = made.for_in
        if not loop.ifs and gives_frames(source, loop.iter) and _is_frame(made.elt, names_in(loop.target)):
            yield made, "all frames of the clip are held at once"
    for call in source.calls("imageio.mimread", "imageio.v2.mimread", "skvideo.io.vread", "torchvision.io.read_video"):
        if not spread(call) and len(call.args) == 1:
            yield call, "the whole clip is read at once"
    for loop, names in frame_loops(source):
        breaks = [b for b in source.below(loop.body, cst.Break, cst.Return)]
        if len(breaks) > isinstance(loop, cst.While):
            continue  # it stops early
        for call in source.below(loop.body, cst.Call):
            if _last_name(call) == "append" and isinstance(call.func, cst.Attribute) and call.args:
                grown = call.func.value
                if not _is_frame(call.args[0].value, names) or guarded(source, call, loop):
                    continue
                if not _shrinks(source, source.code(grown), loop, assigned=False):
                    yield call, f"{source.code(grown)} holds every frame of the clip"


@rule(
    "unbounded-queue",
    "memory",
    summary="A queue without a limit between a decoder and its reader",
    why="The decoder is faster than what follows, so the queue ends up holding the tape.",
    bad="""
        import queue
        import av

        waiting = queue.Queue()

        def decode(path):
            with av.open(path) as container:
                for frame in container.decode(video=0):
                    waiting.put(frame)
        """,
    good="""
        import queue
        import av

        waiting = queue.Queue(maxsize=8)

        def decode(path):
            with av.open(path) as container:
                for frame in container.decode(video=0):
                    waiting.put(frame)
        """,
)
def unbounded_queue(source: Source) -> Iterator[tuple[Any, str]]:
    for loop, _ in frame_loops(source):
        for call in source.below(loop.body, cst.Call):
            if _last_name(call) != "put" or not isinstance(call.func, cst.Attribute):
                continue
            for made in source.values(call.func.value):
                if not isinstance(made, cst.Call):
                    continue
                name = source.qualified(made.func)
                limit = argument(made, "maxsize", 0)
                if name == "queue.SimpleQueue" or (
                    name == "queue.Queue" and not spread(made) and (limit is None or number(limit) == 0)
                ):
                    yield made, "every decoded frame fits in, so the queue can hold the whole tape"


def _last_name(call: cst.Call) -> str:
    return (get_full_name_for_node(call.func) or "").rpartition(".")[2]


def _mentions(node: cst.CSTNode, name: str) -> bool:
    return name in names_in(node)


def _cleaned(source: Source, name: str, function: Any) -> bool | None:
    """True when the folder goes in any case, False when only after success, None when no one removes it."""
    found = None
    for call in source.below(function, cst.Call):
        if not any(_mentions(a.value, name) for a in call.args):
            continue
        if _last_name(call) in _LATER or "clean" in _last_name(call).lower():
            return True
        if _last_name(call) in ("rmtree", "rmdir", "removedirs"):
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


def _ends(source: Source, loop: cst.While) -> bool:
    for node in source.below(loop.body, cst.Break, cst.Return, cst.Raise):
        if same_function(source, node, loop):
            return True
    return False


def _shrinks(source: Source, name: str, within: Any, assigned: bool) -> bool:
    if assigned:
        return True
    for node in source.below(within, cst.Call, cst.Del, cst.AssignTarget):
        if isinstance(node, cst.Call):
            if source.code(node.func) in {f"{name}.{m}" for m in _SHRINK}:
                return True
            if source.code(node.func) == "len" and node.args and source.code(node.args[0].value) == name:
                return True
        elif isinstance(node, cst.Del):
            if source.code(node.target).startswith(name):
                return True
        elif source.code(node.target).partition("[")[0] == name and source.inside(node, within):
            if isinstance(within, (cst.For, cst.While)):
                return True
    return False


def _is_frame(node: cst.CSTNode, names: set[str]) -> bool:
    """The frame itself, or one of its own copies: `frame`, `frame.to_ndarray()`, `frame.copy()`."""
    while isinstance(node, (cst.Call, cst.Attribute)):
        node = node.func if isinstance(node, cst.Call) else node.value
    return isinstance(node, cst.Name) and node.value in names
