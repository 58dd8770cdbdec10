"""What rules know of video: which loops run once for each frame, what opens a file, what FFmpeg is asked to write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node

from toolkit.profiling.lint.literals import argument, text
from toolkit.profiling.lint.source import LOOPS, Source

#: What opens a video, and how it is closed.
OPENERS = {"cv2.VideoCapture": "release", "av.open": "close", "cv2.VideoWriter": "release"}
READERS = ("cv2.VideoCapture", "av.open", "decord.VideoReader", "imageio.get_reader", "imageio.v2.get_reader")
SUBPROCESS = tuple(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen"))
_FRAME_ITERATORS = ("imageio.v3.imiter", "skvideo.io.vreader", "imageio_ffmpeg.read_frames")
_WRAPPERS = ("builtins.enumerate", "tqdm.tqdm", "tqdm.auto.tqdm", "tqdm.notebook.tqdm")
_KNOWN = ("av", "cv2", "decord", "imageio", "imageio_ffmpeg", "skvideo")


def gives_frames(source: Source, node: cst.CSTNode) -> bool:
    """Whether going through `node` yields all frames of a clip."""
    if not any(source.imports(package) for package in _KNOWN):
        return False
    if isinstance(node, cst.Name):
        return bool(source.made_by(node) & set(READERS[2:]))
    if not isinstance(node, cst.Call):
        return False
    name = source.qualified(node.func)
    if name in _WRAPPERS and node.args:
        return gives_frames(source, node.args[0].value)
    if name in _FRAME_ITERATORS:
        return True
    is_decode = isinstance(node.func, cst.Attribute) and node.func.attr.value == "decode"
    return is_decode and (argument(node, "video") is not None or "av.open" in source.made_by(node.func.value))


def frame_loops(source: Source) -> Iterator[tuple[Any, set[str]]]:
    """Every loop that runs once for each frame of a clip, with the names the frame has in it."""
    if not any(source.imports(package) for package in _KNOWN):
        return
    for loop in source.all(cst.For):
        if gives_frames(source, loop.iter):
            yield loop, names_in(loop.target)
    for call in source.all(cst.Call):
        if not (isinstance(call.func, cst.Attribute) and call.func.attr.value == "read"):
            continue
        loop = source.loop(call)
        if loop is not None and "cv2.VideoCapture" in source.made_by(call.func.value):
            up = source.parents[call]
            if isinstance(up, cst.Assign):
                yield loop, names_in(up.targets[0].target)


def names_in(node: cst.CSTNode) -> set[str]:
    """All names written in `node`."""
    found, stack = set(), [node]
    while stack:
        here = stack.pop()
        if isinstance(here, cst.Name):
            found.add(here.value)
        stack.extend(here.children)
    return found


def guarded(source: Source, node: cst.CSTNode, loop: cst.CSTNode) -> bool:
    """Whether `node` runs only in some rounds of `loop`."""
    for up in source.above(node):
        if up is loop:
            return False
        if isinstance(up, (cst.If, cst.Else, cst.ExceptHandler, cst.IfExp, cst.BooleanOperation)):
            return True
    return False


def same_function(source: Source, node: cst.CSTNode, loop: cst.CSTNode) -> bool:
    return source.function(node) is source.function(loop)


def assigned_in(source: Source, loop: Any) -> set[str]:
    """The names that get a value within `loop`, its own target included."""
    found = names_in(loop.target) if isinstance(loop, cst.For) else set()
    for target in source.below(loop, cst.AssignTarget, cst.AnnAssign, cst.NamedExpr, cst.AugAssign):
        found |= names_in(target.target)
    for inner in source.below(loop, *LOOPS):
        found |= names_in(inner.target) if isinstance(inner, cst.For) else set()
    for item in source.below(loop, cst.AsName):
        found |= names_in(item.name)
    return found


@dataclass(frozen=True)
class FFmpegRun:
    """One run of FFmpeg.  words : those that are written out.  inputs : what stands before the last word."""

    call: cst.Call
    words: frozenset[str]
    inputs: tuple[cst.BaseExpression, ...]
    output: cst.BaseExpression


def ffmpeg_runs(source: Source) -> Iterator[FFmpegRun]:
    """Every run of FFmpeg, also through a function of this file that hands its words on."""
    commands = list(_commands(source))
    for call, elements in commands:
        yield _run(source, call, elements)
    wrappers = {
        function.name.value
        for call, elements in commands
        if isinstance(function := source.function(call), cst.FunctionDef)
        and isinstance(star := function.params.star_arg, cst.Param)
        and any(isinstance(e, cst.StarredElement) and star.name.value in names_in(e.value) for e in elements)
    }
    for call in source.all(cst.Call) if wrappers else ():
        if isinstance(call.func, cst.Name) and call.func.value in wrappers:
            given = [a for a in call.args if a.keyword is None and a.star != "**"]
            if len(given) > 2:
                yield _run(source, call, given)


def _commands(source: Source) -> Iterator[tuple[cst.Call, Sequence[Any]]]:
    for call in source.calls(*SUBPROCESS):
        command = argument(call, "args", 0)
        values = [command] if not isinstance(command, cst.Name) else source.values(command)
        for value in values:
            if isinstance(value, cst.List) and len(value.elements) > 2:
                first = value.elements[0].value
                program = text(first) or get_full_name_for_node(first) or ""
                if "ffmpeg" in program.lower():
                    yield call, value.elements


def _run(source: Source, call: cst.Call, elements: Sequence[Any]) -> FFmpegRun:
    parts = [e.value for e in elements]
    for part in list(parts):
        if isinstance(part, cst.Name):  # `*where` with a list of words put together before
            lists = (v for v in source.values(part) if isinstance(v, cst.List))
            parts[:0] = [e.value for v in lists for e in v.elements]
    words = frozenset(w for p in parts if (w := text(p)) is not None)
    return FFmpegRun(call, words, tuple(parts[:-1]), parts[-1])


def ends_with(source: Source, node: cst.CSTNode, pattern: str) -> bool:
    """Whether a path, written here or where its name is assigned, ends as `pattern` says."""
    values = [node, *source.values(node)] if isinstance(node, cst.Name) else [node]
    for value in values:
        for part in source.below(value, cst.SimpleString, cst.FormattedString):
            if re.search(pattern + "$", text(part) or ""):
                return True
        if isinstance(value, cst.Call):
            if any(isinstance(a.value, cst.Name) and ends_with(source, a.value, pattern) for a in value.args):
                return True
    return False


def same_path(source: Source, one: cst.CSTNode, other: cst.CSTNode) -> bool:
    """Whether two expressions are the same path, `str(path)` and `path` alike."""

    def bare(node: Any) -> str:
        if isinstance(node, cst.Call) and node.args and source.stands_for(node.func, "builtins.str", "os.fspath"):
            node = node.args[0].value
        return source.code(node)

    return bare(one) == bare(other)
