"""Rules on memory: lists and queues that only grow, whole clips held at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument, called, is_true, number, spread
from toolkit.profiling.lint.media import frame_loops, gives_frames, guarded, names_in, same_function
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import Source

_SHRINK = {"pop", "popleft", "clear", "remove", "popitem"}


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
        if not is_true(loop.test) or _ends(source, loop) or _caught(source, loop):
            continue
        for call in source.below(loop.body, cst.Call):
            if called(call) not in ("append", "extend") or not isinstance(call.func, cst.Attribute):
                continue
            grown = call.func.value
            made = source.values(grown)
            if not made or not same_function(source, call, loop) or any(source.inside(v, loop) for v in made):
                continue
            if isinstance(grown, cst.Name) and not all(same_function(source, v, loop) for v in made):
                continue  # it belongs to the function around, which may end the loop
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
            if called(call) == "append" and isinstance(call.func, cst.Attribute) and call.args:
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
            if called(call) != "put" or not isinstance(call.func, cst.Attribute):
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


def _ends(source: Source, loop: cst.While) -> bool:
    for node in source.below(loop.body, cst.Break, cst.Return, cst.Raise):
        if same_function(source, node, loop):
            return True
    return False


def _caught(source: Source, loop: cst.While) -> bool:
    """Whether the loop stands in a `try`, so that an exception such as StopIteration ends it."""
    tries = (t for t in source.above(loop, cst.Try) if same_function(source, t, loop))
    return any(t.handlers and source.inside(loop, t.body) for t in tries)


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
